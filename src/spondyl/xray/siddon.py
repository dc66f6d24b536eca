"""Exact path lengths of rays through voxels: the yardstick of the tests, in float64 and in no hurry.

Siddon, "Fast calculation of the exact radiological path for a three-dimensional CT array", Med. Phys. 12 (1985) 252-255:
cut each ray at every voxel face; between two cuts it lies in one voxel.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.geometry import View

RAYS_AT_ONCE = 4096


def project_exact(
    channels: Float[Tensor, "m z y x"], world_from_voxel: Float[Tensor, "4 4"], view: View
) -> Float[Tensor, "m h w"]:
    """Line integrals of piecewise constant voxels along every ray of one view, unit of the channels times mm, float64.

    Integrates over the part of the ray between source and pixel plane and beyond, as if the detector were behind the grid.
    """
    start, vector = view.to(dtype=torch.float64).rays()
    voxel_from_world = torch.linalg.inv(world_from_voxel.double())
    origin = (start.reshape(-1, 3) @ voxel_from_world[:3, :3].T) + voxel_from_world[:3, 3]
    step = vector.reshape(-1, 3) @ voxel_from_world[:3, :3].T
    length_mm = vector.reshape(-1, 3).norm(dim=-1)
    flat = channels.double().reshape(channels.shape[0], -1)
    shape = torch.tensor(channels.shape[:0:-1])  # (x, y, z)
    parts = [
        _integrate(flat, shape, origin[i : i + RAYS_AT_ONCE], step[i : i + RAYS_AT_ONCE])
        * length_mm[i : i + RAYS_AT_ONCE]
        for i in range(0, len(step), RAYS_AT_ONCE)
    ]
    return torch.cat(parts, dim=-1).reshape(channels.shape[0], *view.shape_px)


def _integrate(
    flat: Float[Tensor, "m n"], shape: Tensor, origin: Float[Tensor, "r 3"], step: Float[Tensor, "r 3"]
) -> Float[Tensor, "m r"]:
    """Sum of value times length in units of the step vector, for rays in voxel coordinates (centres at whole numbers)."""
    # a ray along a voxel face has no crossing with it: a step of exactly zero would divide by zero
    safe = torch.where(step.abs() < 1e-12, torch.full_like(step, 1e-12), step)
    cuts = []
    for axis in range(3):
        faces = torch.arange(int(shape[axis]) + 1, dtype=torch.float64) - 0.5
        cuts.append((faces - origin[:, axis : axis + 1]) / safe[:, axis : axis + 1])
    near = torch.stack([c.amin(dim=1) for c in cuts]).amax(dim=0).clamp(min=0)[:, None]
    far = torch.stack([c.amax(dim=1) for c in cuts]).amin(dim=0)[:, None]
    alphas = torch.cat(cuts, dim=1).clamp(min=near, max=torch.maximum(near, far)).sort(dim=1).values
    lengths = alphas.diff(dim=1)
    middle = (alphas[:, 1:] + alphas[:, :-1]) / 2
    voxel = (origin[:, None] + middle[..., None] * step[:, None] + 0.5).floor().long()
    inside = ((voxel >= 0) & (voxel < shape)).all(dim=-1)
    voxel = voxel.clamp(min=torch.zeros(3, dtype=torch.long), max=shape - 1)
    index = (voxel[..., 2] * shape[1] + voxel[..., 1]) * shape[0] + voxel[..., 0]
    return (flat[:, index] * torch.where(inside, lengths, torch.zeros_like(lengths))).sum(dim=-1)
