"""Size, centre and spread of every label of a map: enough to tell one numbering from another, or up from down."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer

# Statistics need no finer grid than this.
_STEP_MM = 1.5


@dataclass(frozen=True, eq=False)
class LabelShape:
    """One label: how many voxels of the file carry it, its centre (world LPS mm) and its standard deviation in mm."""

    voxels: int
    centre_mm: Float[np.ndarray, "3"]
    spread_mm: Float[np.ndarray, "3"]


def thinned(
    labels: Integer[np.ndarray, "z y x"], world_from_voxel: Float[np.ndarray, "4 4"], step_mm: float
) -> tuple[Integer[np.ndarray, "c b a"], Float[np.ndarray, "4 4"]]:
    """Every n-th voxel along each axis, so that the spacing comes up to, not over, `step_mm`; with the new affine."""
    spacing = np.linalg.norm(world_from_voxel[:3, :3], axis=0)
    n = [max(1, int(step_mm / s)) for s in spacing]
    return labels[:: n[2], :: n[1], :: n[0]], world_from_voxel @ np.diag([*n, 1.0])


def label_shapes(
    labels: Integer[np.ndarray, "z y x"], world_from_voxel: Float[np.ndarray, "4 4"]
) -> dict[int, LabelShape]:
    """The shape of every label but 0, by value. Labels too small for the thinned grid keep their voxel count only: NaN."""
    top = int(labels.max()) + 1
    voxels = np.zeros(top, dtype=np.int64)
    for plane in labels:
        voxels += np.bincount(plane.ravel(), minlength=top)
    thin, affine = thinned(labels, world_from_voxel, _STEP_MM)
    count, first, second = np.zeros(top), np.zeros((3, top)), np.zeros((3, top))
    for k, plane in enumerate(thin):
        j, i = np.nonzero(plane)
        value = plane[j, i]
        world = affine[:3, :3] @ np.stack([i, j, np.full_like(i, k)]).astype(np.float64) + affine[:3, 3:]
        count += np.bincount(value, minlength=top)
        for axis in range(3):
            first[axis] += np.bincount(value, world[axis], minlength=top)
            second[axis] += np.bincount(value, world[axis] ** 2, minlength=top)
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = first / count
        spread = np.sqrt(np.maximum(second / count - centre**2, 0.0))
    return {
        int(v): LabelShape(int(voxels[v]), centre[:, v], spread[:, v]) for v in np.nonzero(voxels)[0].tolist() if v > 0
    }
