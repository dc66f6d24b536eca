"""Small volumes, grids and views on which every projector must agree."""

import math

import torch
from ellipsoids import CHEST, line_integrals, voxelise
from torch import Tensor

from spondyl.geometry import View


def affine(
    spacing_mm: tuple[float, float, float], shape_zyx: tuple[int, int, int], linear: Tensor | None = None
) -> Tensor:
    """World from voxel of a grid centred on the origin; `linear` (3 x 3) turns, mirrors or shears it."""
    m = torch.eye(4, dtype=torch.float64)
    m[:3, :3] = (torch.eye(3, dtype=torch.float64) if linear is None else linear.double()) @ torch.diag(
        torch.tensor(spacing_mm, dtype=torch.float64)
    )
    middle = torch.tensor([(n - 1) / 2 for n in reversed(shape_zyx)], dtype=torch.float64)
    m[:3, 3] = -m[:3, :3] @ middle
    return m


def turn(degrees: float, axis: int) -> Tensor:
    """A rotation matrix about one world axis."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    m = torch.eye(3, dtype=torch.float64)
    i, j = [k for k in range(3) if k != axis]
    m[i, i], m[i, j], m[j, i], m[j, j] = c, -s, s, c
    return m


SHEAR = torch.tensor([[1.0, 0.05, 0.1], [0.0, 1.0, 0.25], [0.0, 0.0, 1.0]])
# name -> (shape z y x, affine): plain, off-centre, oblique, anisotropic, mirrored, sheared (gantry tilt), odd sizes
GRIDS: dict[str, tuple[tuple[int, int, int], Tensor]] = {
    "plain": ((24, 20, 28), affine((2.0, 2.0, 2.0), (24, 20, 28))),
    "oblique": ((17, 23, 31), affine((1.7, 2.0, 2.9), (17, 23, 31), turn(25, 2) @ turn(-20, 0))),
    "mirrored": ((16, 16, 33), affine((2.0, 1.0, 3.0), (16, 16, 33), torch.diag(torch.tensor([-1.0, 1.0, 1.0])))),
    "sheared": ((20, 21, 22), affine((2.0, 2.0, 3.0), (20, 21, 22), SHEAR)),
    "thin": ((3, 40, 2), affine((1.0, 1.0, 1.0), (3, 40, 2))),
}


def view(
    angle_deg: float = 0.0,
    tilt_deg: float = 0.0,
    beam: str = "cone",
    shape_px: tuple[int, int] = (19, 37),
    pitch_mm: float = 3.0,
    sdd_mm: float = 500.0,
    centre_mm: tuple[float, float, float] = (3.1, -2.3, 5.7),
) -> View:
    """A view whose detector reaches past the small grids on every side."""
    return View.around(
        centre_mm,
        angle_deg=angle_deg,
        tilt_deg=tilt_deg,
        source_to_detector_mm=sdd_mm,
        source_to_centre_mm=sdd_mm * 0.6,
        pixel_spacing_mm=(pitch_mm * 1.3, pitch_mm),
        shape_px=shape_px,
        beam=beam,  # type: ignore[arg-type]
    )


ANGLES: tuple[tuple[float, float], ...] = ((0, 0), (90, 0), (30, 10), (45, -25), (135, 5), (250, 30), (0, 75))


def noise(
    shape_zyx: tuple[int, int, int], channels: int = 1, seed: int = 0, dtype: torch.dtype = torch.float32
) -> Tensor:
    """White noise: the hardest volume for an interpolator."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((channels, *shape_zyx), generator=generator, dtype=dtype)


def chest(spacing_mm: float) -> tuple[Tensor, Tensor]:
    """The ellipsoid chest in voxels with true partial volume: (channels, world from voxel)."""
    n = int(260 / spacing_mm)
    world_from_voxel = affine((spacing_mm,) * 3, (n, n, n))
    volume = voxelise(CHEST, (n, n, n), world_from_voxel.numpy(), parts=4)
    return torch.from_numpy(volume)[None], world_from_voxel


def chest_truth(v: View) -> Tensor:
    """The chest's exact line integrals in a view."""
    start, vector = v.to(dtype=torch.float64).rays()
    return torch.from_numpy(line_integrals(CHEST, start.numpy(), vector.numpy()))
