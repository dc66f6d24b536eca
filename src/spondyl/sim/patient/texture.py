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

    @classmethod
    def drawn(cls, spacing_mm: float, device: torch.device | str, *, generator: torch.Generator) -> "Texture":
        """A tile for voxels of this size: coarser voxels average the trabeculae away; struts run upright."""
        noise = torch.randn((1, 1, TILE, TILE, TILE), generator=generator)
        noise = functional.avg_pool3d(functional.pad(noise, (0, 1, 0, 1, 1, 2), mode="circular"), (4, 2, 2), stride=1)
        noise = noise / noise.std()
        faded = min(1.0, (PITCH_MM / spacing_mm) ** 1.5)
        return cls((noise[0, 0] * number("vertebra", "texture_hu") * faded).to(device))

    def at(self, where: Coordinates) -> Float[Tensor, "z y x"]:
        """Texture at world positions (the nearest tile voxel)."""
        x, y, z = ((c / PITCH_MM).round().long() % TILE for c in (where.x, where.y, where.z))
        return self.tile[z, y, x]
