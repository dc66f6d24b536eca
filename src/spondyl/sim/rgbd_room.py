"""The room behind the patient: a wall or a curtain, and the floor."""

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from spondyl.sim.redraw import between, check_settings
from spondyl.sim.rgbd_camera import Pinhole
from spondyl.sim.rgbd_raster import unit
from spondyl.sim.rgbd_texture import texture

SKIRTING_MM = 70.0
FOLD_MM = 130.0  # mean width of a fold of the curtain


@dataclass(frozen=True)
class Room:
    """What stands behind the patient.

    Args:
        wall_mm: from the skin of the back to the wall.
        floor_below_mm: from the lens down to the floor.
        folds_mm: depth of a curtain's folds; below 4 mm it is a flat wall.
        wall_grey, wall_tint: albedo of the wall, and its colour from red (-1) over grey to blue (1).
        floor_grey: albedo of the floor.
    """

    wall_mm: float = field(default=900.0, metadata=between(500.0, 2800.0))
    floor_below_mm: float = field(default=1150.0, metadata=between(950.0, 1300.0))
    folds_mm: float = field(default=0.0, metadata=between(-30.0, 40.0))
    wall_grey: float = field(default=0.5, metadata=between(0.2, 0.75))
    wall_tint: float = field(default=0.15, metadata=between(-0.6, 0.8))
    floor_grey: float = field(default=0.25, metadata=between(0.1, 0.4))

    def __post_init__(self) -> None:
        check_settings(self, positive=("wall_mm", "floor_below_mm"))
        if not -1 <= self.wall_tint <= 1:
            raise ValueError(f"wall_tint is {self.wall_tint}; wanted -1 (red) to 1 (blue)")


@dataclass(frozen=True, eq=False)
class Backdrop:
    """Depth (mm), camera-frame normals towards the camera and linear RGB albedo of the room without the patient."""

    depth_mm: Float[Tensor, "h w"]
    normal: Float[Tensor, "3 h w"]
    albedo: Float[Tensor, "3 h w"]


def backdrop(room: Room, pinhole: Pinhole, skin_mm: Float[Tensor, "3"], *, generator: torch.Generator) -> Backdrop:
    """The room as the camera sees it; `skin_mm` is the point of the back that the wall's distance is counted from."""
    m = pinhole.world_from_camera
    rays = (m[:3, :3] @ pinhole.rays().reshape(3, -1)).reshape(3, *pinhole.shape_px)
    lens = m[:3, 3]
    wall_y, floor_z = float(skin_mm[1]) - room.wall_mm, float(lens[2]) - room.floor_below_mm
    far = ((wall_y - float(lens[1])) / rays[1].clamp(max=-0.05)).clamp(max=20_000.0)
    x = float(lens[0]) + rays[0] * far
    out, slope = _folds(room, x, generator=generator)
    far = far + out / rays[1].clamp(max=-0.05)
    down = torch.where(
        rays[2] < -1e-4, (floor_z - float(lens[2])) / rays[2].clamp(max=-1e-4), torch.full_like(far, 1e6)
    )
    floor = down < far
    depth = torch.minimum(far, down)
    world = torch.stack([-slope, torch.ones_like(slope), torch.zeros_like(slope)]) * ~floor
    world[2] += floor.to(world.dtype)
    normal = unit((m[:3, :3].T @ world.reshape(3, -1)).reshape(world.shape))
    height = float(lens[2]) + rays[2] * depth - floor_z
    return Backdrop(depth, normal, _paint(room, rays * depth, floor, height, generator=generator))


def _folds(room: Room, x: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """How far a curtain stands out of the wall at each pixel, mm, and its slope along x. Three random numbers are always drawn."""
    turn = (torch.rand(3, generator=generator, device=generator.device) * 2 * math.pi).tolist()
    if room.folds_mm < 4:
        return torch.zeros_like(x), torch.zeros_like(x)
    out, slope = torch.zeros_like(x), torch.zeros_like(x)
    for phase, share, stretch in zip(turn, (1.0, 0.5, 0.35), (1.0, 1.62, 0.57), strict=True):
        k = 2 * math.pi / (FOLD_MM * stretch)
        out = out + room.folds_mm / 2 * share * torch.sin(k * x + phase)
        slope = slope + room.folds_mm / 2 * share * k * torch.cos(k * x + phase)
    return out, slope


def _paint(room: Room, points_mm: Tensor, floor: Tensor, height_mm: Tensor, *, generator: torch.Generator) -> Tensor:
    # marks on a wall are broad: every fourth pixel will do
    few = points_mm[:, ::4, ::4]
    wear = 0.02 * texture(few.reshape(3, -1).T, 300.0, generator=generator)
    wear = functional.interpolate(wear.reshape(1, 1, *few.shape[1:]), size=floor.shape, mode="bilinear")[0, 0]
    t = room.wall_tint
    colour = points_mm.new_tensor([1 - 0.14 * max(t, 0.0), 1 - 0.05 * abs(t), 1 + 0.2 * min(t, 0.0)])
    skirting = (height_mm < SKIRTING_MM) & (room.folds_mm < 4)
    wall = room.wall_grey * (1 - 0.35 * skirting.to(points_mm.dtype))
    warm = points_mm.new_tensor([1.1, 0.95, 0.8])
    plain = torch.where(floor, room.floor_grey * warm[:, None, None], wall * colour[:, None, None])
    return plain * wear.exp()
