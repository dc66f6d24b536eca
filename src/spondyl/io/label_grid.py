"""Carry a label map to the grid of its CT."""

import numpy as np
from jaxtyping import Float, Integer

from spondyl.io.grid import corners_mm

# Two grids are one where no corner lies further apart than this share of a voxel.
_SAME_WITHIN_VOXELS = 0.1


def onto_grid(
    labels: Integer[np.ndarray, "a b c"],
    world_from_label: Float[np.ndarray, "4 4"],
    shape: tuple[int, int, int],
    world_from_voxel: Float[np.ndarray, "4 4"],
    name: str,
) -> tuple[Integer[np.ndarray, "z y x"], tuple[str, ...]]:
    """The labels on the CT's grid of `shape` (z, y, x), nearest neighbour, and a note where that moved anything.

    Raises:
        ValueError: for a map with the CT's affine and another shape (a crop whose origin was lost), and for one of
            which no labelled voxel lies inside the CT.
    """
    ours, theirs = corners_mm(shape, world_from_voxel), corners_mm(shape, world_from_label)
    spacing = np.linalg.norm(world_from_voxel[:3, :3], axis=0)
    same = float(np.abs(ours - theirs).max()) < _SAME_WITHIN_VOXELS * float(spacing.min())
    if same and labels.shape == shape:
        return labels, ()
    if same:
        raise ValueError(
            f"{name} is {_size(labels.shape)} voxels with the affine of a CT of {_size(shape)}; wanted the same grid, "
            "or an affine that says where the labels lie"
        )
    placed = _nearest(labels, np.linalg.inv(world_from_label) @ world_from_voxel, shape)
    if not placed.any():
        raise ValueError(
            f"no label of {name} lies inside the CT (the CT is centred at {_at(ours)} mm, the labels' grid at "
            f"{_at(corners_mm(_triple(labels.shape), world_from_label))} mm LPS); wanted labels in the CT's frame"
        )
    volume_ratio = abs(float(np.linalg.det(world_from_voxel[:3, :3]) / np.linalg.det(world_from_label[:3, :3])))
    kept = min(1.0, float(np.count_nonzero(placed)) * volume_ratio / float(np.count_nonzero(labels)))
    their_spacing = np.linalg.norm(world_from_label[:3, :3], axis=0)
    return placed, (
        f"labels lie on another grid ({_size(labels.shape)} voxels of {' x '.join(f'{s:.3g}' for s in their_spacing)} mm): "
        f"carried to the CT's by nearest neighbour, {100 * kept:.0f} % of the labelled volume lies inside",
    )


def _nearest(
    labels: Integer[np.ndarray, "a b c"], label_from_voxel: Float[np.ndarray, "4 4"], shape: tuple[int, int, int]
) -> Integer[np.ndarray, "z y x"]:
    nz, ny, nx = shape
    out = np.zeros(shape, dtype=labels.dtype)
    m = label_from_voxel
    top = np.array(labels.shape[::-1])[:, None, None]
    plane = m[:3, :1, None] * np.arange(nx)[None, None, :] + m[:3, 1:2, None] * np.arange(ny)[None, :, None]
    for k in range(nz):
        # half a voxel is rounded up always, so that a grid of twice the spacing is hit evenly
        at = np.floor(plane + (m[:3, 2] * k + m[:3, 3])[:, None, None] + 0.5 + 1e-9).astype(np.int64)
        inside = ((at >= 0) & (at < top)).all(axis=0)
        i, j, kk = at[:, inside]
        out[k][inside] = labels[kk, j, i]
    return out


def _triple(shape: tuple[int, ...]) -> tuple[int, int, int]:
    return (shape[0], shape[1], shape[2])


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in reversed(shape))


def _at(corners: Float[np.ndarray, "8 3"]) -> str:
    return ", ".join(f"{c:.0f}" for c in corners.mean(axis=0))
