"""What surgeons and orthotists add: pedicle screws, rods, and a brace around the trunk."""

import numpy as np

from spondyl.images import STRUCTURE_LABELS
from spondyl.sim.patient.anatomy import number
from spondyl.sim.patient.patient import Hardware
from spondyl.sim.patient.shapes import Rod, Shape, Solid, Vector, chain
from spondyl.sim.patient.vertebra import Vertebra
from spondyl.spine import level_index


def hardware_solid(vertebrae: tuple[Vertebra, ...], hardware: Hardware) -> Solid:
    """Screws of 5.5 mm through both pedicles of every fused level, and two rods of 5.5 mm over their heads."""
    first, last = level_index(hardware.upper), level_index(hardware.lower)
    fused = [v for v in vertebrae if first <= level_index(v.size.level) <= last]
    shapes: list[Shape] = []
    for sign in (-1.0, 1.0):
        heads: list[Vector] = []
        for v in fused:
            entry, tip = screw_line(v, sign)
            shapes += [Rod(entry, tip, 2.9, 2.2), Rod(entry, entry + (entry - tip) * 0.16, 5.0, 5.0)]
            heads.append(np.asarray(entry + (entry - tip) * 0.14))
        shapes += chain(heads, [2.75] * len(heads))
    metal = number("tissue", "metal")
    return Solid(STRUCTURE_LABELS["metal"], tuple(shapes), metal, metal, 0.0, 0.3)


def screw_line(v: Vertebra, sign: float) -> tuple[Vector, Vector]:
    """Entry behind the facet and tip in the body of one screw (+1 left), world mm."""
    s = v.size
    x = s.scw / 2 + s.pw / 2
    z = s.height / 2 - s.ph / 2 - 1.0
    return v.point(sign * (x + 3.0), v.canal_back - 1.0, z), v.point(sign * (x - 5.0), -0.35 * v.half_depth, z - 2.0)
