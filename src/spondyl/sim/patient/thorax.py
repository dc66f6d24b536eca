"""The rib cage: a surface that carries the ribs and bounds the lungs, twelve pairs of ribs, sternum and shoulder girdle.

Each rib is a loop of one oblique plane. The cage is that family of loops: at rib i its section has half-width A and front
depth F, turned and shifted with the spine. Lungs, ribs and skin use the same sections, so they deform together.
"""

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spondyl.images import STRUCTURE_LABELS
from spondyl.sim.patient.anatomy import Body, number, series
from spondyl.sim.patient.shapes import Rod, Shape, Solid, Vector, chain, cross, unit, vector
from spondyl.sim.patient.vertebra import Vertebra

Array = NDArray[np.float64]
EXPONENT = 2.5
RIBBED = tuple(f"T{i}" for i in range(1, 13))


@dataclass(frozen=True, eq=False)
class Cage:
    """Loops of the rib cage, cranial to caudal, mm and degrees; arrays have one entry a rib.

    height_mm is where the loop starts behind; centre_mm (x, y) its middle; half_width_mm and half_depth_mm its half-axes;
    turn_deg its axial rotation; lean_deg its coronal tilt; slope_deg how steeply its plane falls forward.
    """

    height_mm: Array
    centre_mm: Array
    half_width_mm: Array
    half_depth_mm: Array
    turn_deg: Array
    lean_deg: Array
    slope_deg: Array

    def point(self, rib: float, angle_deg: float, outside_mm: float = 0.0) -> Vector:
        """A point of loop `rib` (0 is the first; fractions interpolate): 0 degrees behind, 90 to the left."""
        z0, cx, cy, a, b, turn, lean, slope = self._at(rib)
        phi = math.radians(angle_deg)
        s, c = math.sin(phi), math.cos(phi)
        r = (abs(s) ** EXPONENT + abs(c) ** EXPONENT) ** (-1 / EXPONENT)
        u, v = (a + outside_mm) * r * s, (b + outside_mm) * r * c
        t = math.radians(turn)
        x, y = u * math.cos(t) - v * math.sin(t), u * math.sin(t) + v * math.cos(t)
        z = z0 - (b - v) * math.tan(math.radians(slope)) - u * math.tan(math.radians(lean))
        return vector(cx + x, cy + y, z)

    @cached_property
    def _table(self) -> Array:
        """All numbers of a loop in a row, a row a rib."""
        rows = (
            self.height_mm, self.centre_mm[:, 0], self.centre_mm[:, 1], self.half_width_mm, self.half_depth_mm,
            self.turn_deg, self.lean_deg, self.slope_deg,
        )  # fmt: skip
        return np.stack(rows, axis=1)

    def _at(self, rib: float) -> list[float]:
        table = self._table
        rib = min(max(rib, 0.0), len(table) - 1.0)
        first = min(int(rib), len(table) - 2)
        row: list[float] = (table[first] + (rib - first) * (table[first + 1] - table[first])).tolist()
        return row


def axial_turn_deg(v: Vertebra) -> float:
    """Axial rotation of a vertebra, from its own left axis."""
    return math.degrees(math.atan2(float(v.axes[0, 1]), float(v.axes[0, 0])))


def coronal_lean_deg(v: Vertebra) -> float:
    """Coronal tilt of a vertebra, positive to the left."""
    return math.degrees(math.atan2(float(v.axes[2, 0]), float(v.axes[2, 2])))


def cage_of(vertebrae: tuple[Vertebra, ...], body: Body) -> Cage:
    """The cage that hangs on these vertebrae."""
    owners = [v for v in vertebrae if v.size.level in RIBBED]
    n, k = len(owners), body.trunk
    width = np.array(series("ribs", "half_width"))[:n] * k
    front = np.array(series("ribs", "front"))[:n] * k
    tips = [(v.transverse_tip(1.0) + v.transverse_tip(-1.0)) / 2 for v in owners]
    back = np.array([tip[1] for tip in tips]) + (6.0 + 0.04 * width) * k
    body_y = np.array([v.centre[1] for v in owners])
    depth = (back - (body_y - front)) / 2
    shift, turned = number("deformity", "cage_shift"), number("deformity", "cage_rotation")
    x = np.array([v.centre[0] for v in owners])
    turn = _smooth(np.array([axial_turn_deg(v) for v in owners])) * turned
    centre_x = _smooth(x) * shift + (_smooth(x) - _smooth(x, 2)) * 0.5
    return Cage(
        np.array([tip[2] for tip in tips]) - 3.0,
        np.stack([centre_x, back - depth], axis=1),
        width,
        depth,
        turn,
        np.clip(_smooth(np.array([coronal_lean_deg(v) for v in owners])) * np.linspace(0.6, 0.25, n), -9.0, 9.0),
        np.array(series("ribs", "slope"))[:n],
    )


def _smooth(values: Array, passes: int = 1) -> Array:
    for _ in range(passes):
        padded = np.pad(values, 1, mode="edge")
        values = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return values


def rib_path(vertebra: Vertebra, cage: Cage, rib: int, sign: float, length_mm: float) -> list[Vector]:
    """Middle line of one rib (sign +1 left): from the costovertebral joint over the transverse process to its front end."""
    s = vertebra.size
    high = 0.0 if rib in (0, 9, 10, 11) else 0.42
    head = vertebra.point(sign * (s.epwu / 2 - 0.5), vertebra.half_depth - 4.0, (high + 0.05) * s.height)
    tip = vertebra.transverse_tip(sign)
    short = rib >= 10
    neck = head * 0.35 + tip * 0.65 + vector(0, -6.0, 0) if short else tip + vector(sign * 1.0, -7.0, 0.0)
    points = [head, (head + neck) / 2 + vector(0, 1.0, 0), neck]
    start = max(24.0, math.degrees(math.asin(min(0.9, 40.0 / cage.half_width_mm[rib]))))
    angles = np.arange(start, 176.0, 5.0)
    points += [cage.point(float(rib), sign * a) for a in angles]
    return _cut(_round(points), length_mm)


def _round(points: list[Vector]) -> list[Vector]:
    """The polyline with its corners near the spine rounded (one Chaikin pass on the first points)."""
    out = [points[0]]
    for i in range(1, 7):
        out += [points[i - 1] * 0.25 + points[i] * 0.75, points[i] * 0.75 + points[i + 1] * 0.25]
    return out + points[7:]


def _cut(points: list[Vector], length_mm: float) -> list[Vector]:
    out, left = [points[0]], length_mm
    for a, b in itertools.pairwise(points):
        step = float(np.linalg.norm(b - a))
        if step >= left:
            return [*out, a + (b - a) * (left / step)]
        out.append(b)
        left -= step
    return out


def rib_lengths(body: Body) -> list[float]:
    """Bony length of each rib, mm: the table of an adult man at the body's own size."""
    return [value * 0.90 * body.trunk for value in series("ribs", "length")]


def rib_solids(vertebrae: tuple[Vertebra, ...], cage: Cage, body: Body) -> list[Solid]:
    """All ribs, then their cartilages."""
    owners = [v for v in vertebrae if v.size.level in RIBBED]
    bone, core = number("tissue", "cortical_rib"), 140.0
    ribs, cartilages = [], []
    gristle = number("tissue", "cartilage")
    for i, (v, length) in enumerate(zip(owners, rib_lengths(body), strict=False)):
        for sign in (-1.0, 1.0):
            path = rib_path(v, cage, i, sign, length)
            thick = 3.4 if i else 3.6
            radii = (
                np.interp(np.linspace(0, 1, len(path)), [0, 0.1, 0.3, 0.9, 1], [3.6, 2.7, thick, thick, 2.8])
                * body.trunk
            )
            up = [_across(a, b, cage, i) for a, b in itertools.pairwise(path)]
            shapes: list[Shape] = list(chain(path, [float(r) for r in radii], up, 1.85))
            ribs.append(
                Solid(STRUCTURE_LABELS["rib"], tuple(shapes), core, bone, number("tissue", "rib_shell_mm"), 0.0)
            )
            if i < 10:
                rods: list[Shape] = list(chain(*_cartilage(path, cage, i, sign)))
                cartilages.append(Solid(STRUCTURE_LABELS["cartilage"], tuple(rods), gristle, gristle))
    return cartilages + ribs


def _across(a: Vector, b: Vector, cage: Cage, rib: int) -> Vector:
    """Direction of a rib's tall side: on the cage, across its course."""
    middle = (a + b) / 2
    out = middle - np.array([cage.centre_mm[rib, 0], cage.centre_mm[rib, 1], middle[2]])
    return unit(cross(unit(b - a), unit(out)))


def _cartilage(path: list[Vector], cage: Cage, rib: int, sign: float) -> tuple[list[Vector], list[float]]:
    """From the rib's end to the sternum; ribs 7 to 10 rise to join the one above."""
    end, forward = path[-1], unit(path[-1] - path[-2])
    target = sternum_line(cage, min(rib, 6) / 6.4) + vector(sign * (14.0 if rib < 6 else 8.0), -1.0, 0.0)
    if rib >= 7:
        target = cage.point(6.0, sign * (150.0 - 12.0 * (rib - 7))) + vector(0, -2, -38.0 - 9.0 * (rib - 7))
    span = float(np.linalg.norm(target - end))
    bow = end + forward * span * 0.35
    points = [end * (1 - t) ** 2 + bow * 2 * t * (1 - t) + target * t**2 for t in np.linspace(0, 1, 6)]
    return points, [4.6, 4.4, 4.2, 4.0, 3.8, 3.6]


def sternum_line(cage: Cage, along: float) -> Vector:
    """A point of the sternum's middle: 0 at the notch, 1 at the lower end of its body."""
    top = cage.point(0.0, 180.0) + vector(0, 0, -6.0)
    bottom = cage.point(6.3, 180.0)
    low = vector(bottom[0] * 0.4, bottom[1] + 2.0, 0.55 * bottom[2] + 0.45 * cage.height_mm[6])
    return np.asarray(top + (low - top) * along + vector(0, -7.0 * math.sin(math.pi * along), 0))


def sternum_solid(cage: Cage, body: Body) -> Solid:
    """Manubrium, body and xiphoid."""
    k = body.trunk
    marks = [sternum_line(cage, t) for t in (0.03, 0.27, 0.33, 0.6, 0.97, 1.1)]
    left = vector(1, 0, 0)
    shapes: list[Shape] = [
        Rod(marks[0], marks[1], 4.6 * k, 4.2 * k, left, 4.6),
        Rod(marks[2], marks[3], 4.0 * k, 4.2 * k, left, 3.4),
        Rod(marks[3], marks[4], 4.2 * k, 4.0 * k, left, 4.0),
        Rod(marks[4], marks[5], 2.5 * k, 1.8 * k, left, 2.5),
    ]
    return Solid(STRUCTURE_LABELS["sternum"], tuple(shapes), 150.0, 700.0, 0.8, 1.0)
