"""Paths and solids that several organs share: points beside the bodies, tubes along the tables of anatomy.toml."""

import numpy as np

from spondyl.images import STRUCTURE_LABELS
from spondyl.sim.patient.anatomy import Place, number
from spondyl.sim.patient.shapes import Bound, Shape, Solid, Vector, vector
from spondyl.sim.patient.vertebra import Vertebra


def beside(v: Vertebra, x: float, y: float, k: float, z: float = 0.0) -> Vector:
    """A point beside a body in the world's directions, half of the spine's lateral deviation taken back."""
    return np.asarray(v.centre * np.array([0.45, 1.0, 1.0]) + vector(x, y, z) * k)


def line_of(rows: list[Place], at: dict[str, Vertebra], k: float, shift: Vector | None = None) -> list[Vector]:
    """The points of a table's path, all moved by `shift` (mm at the table's size)."""
    moved = np.zeros(3) if shift is None else shift * k
    return [beside(at[p.level], p.x, p.y, k, p.z) + moved for p in rows]


def plain(
    label: str, hu: float, shapes: list[Shape], blend_mm: float, within: Bound | None = None, gap_mm: float = 0.0
) -> Solid:
    """A solid of one value."""
    return Solid(STRUCTURE_LABELS[label], tuple(shapes), hu, hu, 0.0, blend_mm, within=within, gap_mm=gap_mm)


def wrapped(
    label: str, hu: float, shapes: list[Shape], blend_mm: float, within: Bound | None = None, gap_mm: float = 0.0
) -> Solid:
    """A solid with a sheet of fat around it: the plane that separates it from its neighbours."""
    sheet, fat = number("fat_planes", "sheet_mm"), number("fat_planes", "hu")
    return Solid(STRUCTURE_LABELS[label], tuple(shapes), hu, fat, sheet, blend_mm, within=within, gap_mm=gap_mm)
