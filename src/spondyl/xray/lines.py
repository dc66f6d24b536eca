"""The lines of a view through a voxel grid: where each ray crosses each plane of voxels.

Joseph, "An improved algorithm for reprojecting rays through pixel images", IEEE Trans. Med. Imaging 1 (1982) 192-196:
march along the grid axis that the beam follows most, sample every plane once by bilinear interpolation, weigh each sample
with the length of ray between two planes. One axis serves a whole view (the central ray's), so that the image stays smooth.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.geometry import View


@dataclass(frozen=True, eq=False)
class Lines:
    """One view's rays in voxel coordinates, as lines over the plane index.

    Args:
        axis: the marching axis of the grid: 0 for x, 1 for y, 2 for z.
        coefficients: per pixel x_mid, dx, y_mid, dy. At plane k the ray passes the in-plane point
            (x_mid + (k - k_mid) dx, y_mid + (k - k_mid) dy), in voxels. The in-plane axes are (y, z), (x, z) or (x, y).
        step_mm: length of ray between two planes.
        k_mid: the middle plane, (planes - 1) / 2: positions are kept there, where float32 loses least.
    """

    axis: int
    coefficients: Float[Tensor, "4 h w"]
    step_mm: Float[Tensor, "h w"]
    k_mid: float


def aim(
    view: View, world_from_voxel: Float[Tensor, "4 4"], shape_voxels: tuple[int, int, int]
) -> tuple[int, Float[Tensor, "3 3"], Float[Tensor, "3"], float]:
    """The marching axis; the detector's axes and centre along the grid's (in-plane, in-plane, marching) axes; k_mid."""
    voxel_from_world = torch.linalg.inv(world_from_voxel.to(view.device, torch.float64))
    placed = voxel_from_world @ view.world_from_detector.double()
    axis = int(placed[:3, 2].detach().abs().argmax())
    order = [*((1, 2), (0, 2), (0, 1))[axis], axis]
    return axis, placed[order, :3], placed[order, 3], (shape_voxels[2 - axis] - 1) / 2


def lines_of(
    view: View,
    world_from_voxel: Float[Tensor, "4 4"],
    shape_voxels: tuple[int, int, int],
    dtype: torch.dtype = torch.float32,
) -> Lines:
    """The rays of one view (not a batch) as lines through a grid of shape (z, y, x); differentiable in the view.

    Any invertible affine grid is right: oblique, anisotropic, mirrored or sheared. float64 inside, `dtype` out.
    """
    axis, turn, origin, k_mid = aim(view, world_from_voxel, shape_voxels)
    (h, w), (pitch_v, pitch_u) = view.shape_px, view.pixel_spacing_mm
    count = {"dtype": torch.float64, "device": view.device}
    y = ((torch.arange(h, **count) - (h - 1) / 2) * pitch_v)[:, None]  # type: ignore[call-overload]
    x = ((torch.arange(w, **count) - (w - 1) / 2) * pitch_u)[None, :]  # type: ignore[call-overload]
    sdd = view.source_to_detector_mm.double()
    vector_x = x if view.beam != "parallel" else torch.zeros_like(x)
    vector_y = y if view.beam == "cone" else torch.zeros_like(y)
    direction = [turn[i, 0] * vector_x + turn[i, 1] * vector_y + turn[i, 2] * sdd for i in range(3)]
    # through the pixel rather than the source: nearer to the grid, so less is lost to cancellation
    through = [turn[i, 0] * x + turn[i, 1] * y + origin[i] for i in range(3)]

    per_plane = 1 / direction[2]
    to_mid = k_mid - through[2]
    dx, dy = direction[0] * per_plane, direction[1] * per_plane
    maps = (through[0] + to_mid * dx, dx, through[1] + to_mid * dy, dy)
    coefficients = torch.stack([m.expand(h, w) for m in maps])
    length_mm = torch.sqrt(vector_x**2 + vector_y**2 + sdd**2)
    step_mm = (length_mm * per_plane.abs()).expand(h, w)
    return Lines(axis, coefficients.to(dtype), step_mm.to(dtype), k_mid)
