"""A chest of ellipsoids: exact line integrals, and the voxels that a projector sees of it. Needs numpy only."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Ellipsoid:
    """One solid; densities of overlapping solids add up.

    Args:
        centre_mm: world x, y, z.
        half_axes_mm: along its own x, y, z, before the turn.
        turn_deg: about the world's z axis, counter-clockwise seen from +z.
        density_per_mm: may be negative, for a hole in another solid.
    """

    centre_mm: tuple[float, float, float]
    half_axes_mm: tuple[float, float, float]
    turn_deg: float
    density_per_mm: float

    def unit_from_world(self) -> Array:
        """The 3 x 3 map under which world vectors from the centre reach length 1 on the surface."""
        c, s = np.cos(np.radians(self.turn_deg)), np.sin(np.radians(self.turn_deg))
        turn = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
        return np.asarray(turn / np.array(self.half_axes_mm)[:, None])

    def mass(self) -> float:
        """Density integrated over the solid, mm^2."""
        return float(self.density_per_mm * 4 / 3 * np.pi * np.prod(self.half_axes_mm))


# Attenuation as of water, lung and bone near 60 keV; made up, for its thin, long and dense parts rather than for looks.
CHEST = (
    Ellipsoid((0, 0, 0), (105, 72, 118), 0, 0.0200),  # body
    Ellipsoid((-42, -6, 10), (34, 46, 78), 8, -0.0150),  # lungs
    Ellipsoid((42, -6, 10), (34, 46, 78), -8, -0.0150),
    Ellipsoid((8, -14, -6), (24, 28, 36), 30, 0.0150),  # heart, partly in a lung
    Ellipsoid((0, 50, 0), (15, 13, 108), 0, 0.0210),  # spine
    Ellipsoid((-88, 0, 20), (7, 20, 70), 0, 0.0230),  # plates like ribs
    Ellipsoid((88, 0, 20), (7, 20, 70), 0, 0.0230),
    Ellipsoid((0, -62, 20), (17, 5, 62), 0, 0.0190),  # sternum
    Ellipsoid((30, 20, -80), (38, 28, 22), 20, 0.0012),  # liver
    Ellipsoid((-30, 10, -85), (14, 12, 14), 0, 0.0300),  # something dense
    Ellipsoid((-45, -20, 40), (6, 6, 6), 0, 0.0150),  # nodules
    Ellipsoid((50, -10, 55), (4, 5, 4), 45, 0.0150),
    Ellipsoid((0, 30, 60), (3, 30, 3), 25, 0.0500),  # a screw
)


def line_integrals(solids: Sequence[Ellipsoid], starts_mm: Array, vectors_mm: Array) -> Array:
    """Density along the whole line through each start, [...] for rays [..., 3]; dimensionless.

    A ray is taken as endless both ways: source and detector must lie outside every solid. The chord of a quadric:
    |o + t d| = 1 has roots 2 sqrt(disc) / a apart.
    """
    total = np.zeros(np.broadcast_shapes(starts_mm.shape, vectors_mm.shape)[:-1])
    length_mm = np.linalg.norm(vectors_mm, axis=-1)
    for solid in solids:
        m = solid.unit_from_world()
        o = (starts_mm - np.array(solid.centre_mm)) @ m.T
        d = vectors_mm @ m.T
        a, b, c = (d * d).sum(-1), (o * d).sum(-1), (o * o).sum(-1) - 1
        total += solid.density_per_mm * 2 * np.sqrt(np.maximum(b * b - a * c, 0)) / a * length_mm
    return total


def voxelise(
    solids: Sequence[Ellipsoid], shape_zyx: tuple[int, int, int], world_from_voxel: Array, *, parts: int = 5
) -> NDArray[np.float32]:
    """Mean density of each voxel, [z, y, x], 1/mm; voxels on a surface are sampled at parts^3 points.

    `world_from_voxel` is any invertible affine; whole numbers are voxel centres.
    """
    volume = np.zeros(shape_zyx, np.float32)
    for solid in solids:
        _add(solid, volume, world_from_voxel, parts)
    return volume


def _add(solid: Ellipsoid, volume: NDArray[np.float32], world_from_voxel: Array, parts: int) -> None:
    """Add one solid, plane by plane, within the box of voxels that it reaches."""
    unit_from_voxel = solid.unit_from_world() @ world_from_voxel[:3, :3]
    centre = np.linalg.solve(world_from_voxel[:3, :3], np.array(solid.centre_mm) - world_from_voxel[:3, 3])
    reach = np.linalg.norm(np.linalg.inv(unit_from_voxel), axis=1) + 1
    size = np.array(volume.shape[::-1])
    first = np.clip(np.floor(centre - reach), 0, size).astype(int)
    last = np.clip(np.ceil(centre + reach) + 1, 0, size).astype(int)
    steps = (np.arange(parts) + 0.5) / parts - 0.5
    inside = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3) @ unit_from_voxel.T
    corners = np.stack(np.meshgrid(*[(-0.5, 0.5)] * 3), -1).reshape(-1, 3) @ unit_from_voxel.T
    margin = np.linalg.norm(corners, axis=1).max()
    x, y = np.meshgrid(*(np.arange(first[i], last[i]) - centre[i] for i in (0, 1)))
    for z in range(first[2], last[2]):
        unit = np.stack([x, y, np.full_like(x, z - centre[2])], -1) @ unit_from_voxel.T
        radius = np.linalg.norm(unit, axis=-1)
        filled = (radius <= 1).astype(np.float32)
        edge = np.abs(radius - 1) <= margin
        filled[edge] = (((unit[edge][:, None] + inside) ** 2).sum(-1) <= 1).mean(1)
        volume[z, first[1] : last[1], first[0] : last[0]] += np.float32(solid.density_per_mm) * filled
