"""The trabecular texture of cancellous bone: one random tile, repeated in space and fixed to the world."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from spondyl.sim.patient.anatomy import number
from spondyl.sim.patient.shapes import Coordinates

PITCH_MM = 0.9
TILE = 72


@dataclass(frozen=True, eq=False)
class Texture:
    """HU to add to cancellous bone; the tile repeats every 65 mm."""

    tile: Float[Tensor, "n n n"]
    spacing_mm: float = PITCH_MM

    @classmethod
    def drawn(cls, spacing_mm: float, device: torch.device | str, *, generator: torch.Generator) -> "Texture":
        """A tile for voxels of this size: coarser voxels average the trabeculae away; struts run upright."""
        noise = torch.randn((1, 1, TILE, TILE, TILE), generator=generator)
        noise = functional.avg_pool3d(functional.pad(noise, (0, 1, 0, 1, 1, 2), mode="circular"), (4, 2, 2), stride=1)
        noise = noise / noise.std()
        return cls((noise[0, 0] * number("vertebra", "texture_hu") * faded(spacing_mm)).to(device), spacing_mm)

    def at(self, where: Coordinates, grain: float = 1.0) -> Float[Tensor, "z y x"]:
        """Texture at world positions (the nearest tile voxel), `grain` times coarser than trabeculae."""
        x, y, z = (c / (PITCH_MM * grain) for c in (where.x, where.y, where.z))
        if grain > 1:  # grains larger than a voxel would show the tile's cubes: turn it out of the grid
            x, y, z = 0.8 * x + 0.36 * y + 0.48 * z, 0.8 * y - 0.6 * z, 0.48 * y + 0.64 * z - 0.6 * x
        x, y, z = (c.round().long() % TILE for c in (x, y, z))
        return self.tile[z, y, x] * (faded(self.spacing_mm / grain) / faded(self.spacing_mm))


def faded(spacing_mm: float) -> float:
    """What is left of the trabeculae's spread in voxels of this size."""
    return float(min(1.0, (PITCH_MM / spacing_mm) ** 1.5))
