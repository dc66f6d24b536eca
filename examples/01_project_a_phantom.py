"""Project a phantom: a water trunk with seventeen bone ellipsoids, seen from behind and from its right side.

Usage:
    python examples/01_project_a_phantom.py [FOLDER]

Writes pa.png and lateral.png into FOLDER (default: out/phantom) and prints where each view shows T8: once from geometry, once from
the picture, as the centre of what T8 adds to it. The two agree because one `View` makes both.
"""

import math
import sys
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from spondyl import View, Volume
from spondyl.xray.detector import body_window, display
from spondyl.xray.project import project

LEVELS = (*(f"T{i}" for i in range(1, 13)), *(f"L{i}" for i in range(1, 6)))
PITCH_MM, VOXEL_MM = 27.0, 3.0
WATER_HU, BONE_HU, AIR_HU = 0.0, 400.0, -1000.0


def centres_mm() -> Tensor:
    """Centres of the vertebral bodies: a right thoracic and a left lumbar curve, kyphosis and lordosis; world LPS mm."""
    z = PITCH_MM * (len(LEVELS) - 1) / 2 - PITCH_MM * torch.arange(len(LEVELS))
    return torch.stack([-25 * torch.sin(math.pi * z / 200), 40 + 15 * torch.cos(math.pi * (z - 90) / 240), z], dim=-1)


def phantom(*, without: str = "") -> Volume:
    """HU on a 3 mm grid, 94 x 80 x 166 voxels: air, an elliptical cylinder of water, bone in it; one level left out."""
    shape = (166, 80, 94)  # z, y, x
    z, y, x = torch.meshgrid(*((torch.arange(n) - (n - 1) / 2) * VOXEL_MM for n in shape), indexing="ij")
    hu = torch.where((x / 130) ** 2 + (y / 100) ** 2 < 1, WATER_HU, AIR_HU)
    for level, (cx, cy, cz) in zip(LEVELS, centres_mm().tolist(), strict=True):
        if level != without:
            hu[((x - cx) / 18) ** 2 + ((y - cy) / 15) ** 2 + ((z - cz) / 11) ** 2 < 1] = BONE_HU
    world_from_voxel = torch.diag(torch.tensor([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1.0]))
    world_from_voxel[:3, 3] = -torch.tensor([(n - 1) / 2 * VOXEL_MM for n in reversed(shape)])
    return Volume(hu, world_from_voxel)


def centre_of(picture: Tensor) -> tuple[float, float]:
    """The centre of mass of a picture, as a pixel position (v, u)."""
    rows, columns = picture.sum(dim=1), picture.sum(dim=0)
    at_row, at_column = torch.arange(len(rows)), torch.arange(len(columns))
    return float((rows * at_row).sum() / rows.sum()), float((columns * at_column).sum() / columns.sum())


def main(folder: Path) -> None:
    """Take both films, write them, and compare the two places of T8."""
    folder.mkdir(parents=True, exist_ok=True)
    volume, rest, t8 = phantom(), phantom(without="T8"), centres_mm()[[LEVELS.index("T8")]]
    for name, angle_deg in (("pa", 0.0), ("lateral", 90.0)):
        view = View.around(volume.centre_mm, angle_deg=angle_deg, shape_px=(560, 360), beam="slot")
        film = project(volume, view, energy_kev=70.0)
        grey = display(film.optical_depth, body_window(film.optical_depth))
        Image.fromarray((grey * 255).to(torch.uint8).numpy()).save(folder / f"{name}.png")
        v, u = view.project_points(t8)[0].tolist()
        seen_v, seen_u = centre_of(film.optical_depth - project(rest, view, energy_kev=70.0).optical_depth)
        print(f"{name:8} T8 by geometry (v {v:.1f}, u {u:.1f}), in the picture (v {seen_v:.1f}, u {seen_u:.1f})")
    print(f"wrote {folder / 'pa.png'} and {folder / 'lateral.png'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("out/phantom"))
