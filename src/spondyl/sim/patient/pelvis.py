"""Sacrum, pelvis and upper femora, placed by pelvic incidence and tilt. Shapes are for an adult woman's size times scale."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spondyl.images import STRUCTURE_LABELS
from spondyl.sim.patient.alignment import frame
from spondyl.sim.patient.anatomy import Body, number
from spondyl.sim.patient.block import Block
from spondyl.sim.patient.posture import Posture
from spondyl.sim.patient.shapes import Ellipsoid, Plate, Rod, Shape, Sheet, Solid, Vector, chain, cross, unit, vector
from spondyl.spine import LEVEL_LABELS, SpineCurve

Array = NDArray[np.float64]
NEUTRAL_TILT_DEG = 8.0
INCIDENCE_RADIUS_MM = 104.0  # mid-S1 to the hip axis, girl of 14: 95-110 (estimate)


# The iliac crest from front to back, at the table's size, and the half thickness of its rim (estimate).
CREST = ((112.0, -42, 78), (122, -22, 108), (121, 8, 129), (104, 36, 137), (76, 58, 126), (52, 70, 104), (40, 74, 82))
CREST_AT, CREST_RADII = (0.0, 3.0, 6.0, 10.0, 12.0), (4.5, 5.5, 4.8, 5.5, 7.0)


def _catmull_rom(p: Array, t: float) -> Array:
    """A smooth curve through the middle two of four points (Catmull and Rom 1974), t from 0 to 1."""
    a, b, c, d = p
    return np.asarray(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))


@dataclass(frozen=True, eq=False)
class Pelvis:
    """The pelvic frame: origin between the hip joints, rows of `axes` its left, posterior, cranial unit vectors."""

    origin: Vector
    axes: Array
    scale: float
    hip_half_mm: float

    def point(self, x: float, y: float, z: float) -> Vector:
        """World position of a point given at the table's size."""
        return np.asarray(self.origin + np.array([x, y, z]) * self.scale @ self.axes)

    def hip(self, sign: float) -> Vector:
        """Centre of a femoral head (+1 left), world mm."""
        return np.asarray(self.origin + sign * self.hip_half_mm * self.axes[0])

    def crest(self, sign: float) -> Array:
        """Points along the iliac crest from the anterior to the posterior superior spine (+1 left), world mm, (n, 3)."""
        marks = np.array(CREST)
        marks = np.concatenate([2 * marks[:1] - marks[1:2], marks, 2 * marks[-1:] - marks[-2:-1]])
        rows = [_catmull_rom(marks[i : i + 4], t) for i in range(len(CREST) - 1) for t in (0.0, 0.5)]
        return np.stack([self.point(sign * float(r[0]), float(r[1]), float(r[2])) for r in (*rows, marks[-2])])

    def psis(self, sign: float) -> Vector:
        """Posterior superior iliac spine, world mm."""
        return self.point(sign * 40.0, 74.0, 82.0)


def pelvis_of(posture: Posture, body: Body) -> Pelvis:
    """The pelvis below a sacral endplate at the origin: the line S1 - hip axis stands at the pelvic tilt."""
    k, pt = body.trunk, math.radians(posture.pelvic_tilt_deg)
    down = vector(0.0, -math.sin(pt), -math.cos(pt)) * INCIDENCE_RADIUS_MM * k
    axes = frame(posture.pelvic_obliquity_deg, NEUTRAL_TILT_DEG - posture.pelvic_tilt_deg, 0.0).T
    obliquity = frame(posture.pelvic_obliquity_deg, 0.0, 0.0)
    return Pelvis(obliquity @ down, axes, k, 79.0 * k)


def sacrum_solid(spine: SpineCurve, body: Body) -> Solid:
    """S1 with its endplate, four more segments bending forward, alae, median crest and foramina."""
    k = body.trunk
    row = spine.index("S1")
    plate, axes = spine.endplates_mm[row, 0].double().numpy(), spine.axes[row].double().numpy()
    left, back, up = axes
    bottom = plate.copy()
    bottom[0] = plate[0] - up * 26.0 * k
    bottom[1:] *= 0.72
    block = Block(plate[0] - up * 13.0 * k, axes, plate, bottom, 1.5)
    # the rods start low enough, and melt little enough, that nothing but the block reaches the endplate
    line = [plate[0] - up * 15.5 * k + back * 4.0]
    tilt, direction = np.radians([4.0, 13.0, 15.0, 16.0, 20.0]), -up
    widths, thick = [50.0, 45.0, 36.0, 27.0, 18.0, 9.0], [9.0, 8.5, 7.0, 6.0, 5.0, 4.0]
    for step, turn in zip((14.5, 22.0, 20.0, 17.0, 14.0), tilt, strict=True):
        direction = unit(direction * math.cos(turn) - cross(left, direction) * math.sin(turn))
        line.append(line[-1] + direction * step * k)
    shapes: list[Shape] = [block]
    for i in range(5):
        t = thick[i] * k
        shapes.append(Rod(line[i], line[i + 1], t, thick[i + 1] * k, left, widths[i] / thick[i]))
    for sign in (-1.0, 1.0):
        root = plate[0] - up * 13.0 * k + left * sign * 18.0 * k + back * 4.0
        shapes.append(Rod(root, root + (left * sign * 27.0 - up * 7.0 + back * 5.0) * k, 9.0 * k, 10.0 * k))
    for i in range(1, 5):
        behind = cross(left, unit(line[i + 1] - line[i])) * -1.0
        shapes.append(Rod(line[i] + behind * 4.0, line[i] + behind * (15.0 - 2.0 * i) * k, 5.0 * k, 2.5 * k))
    holes = tuple(
        _foramen(line[i], line[i + 1], left, back, sign * (20.0 - 2.3 * i) * k, (4.6 - 0.5 * i) * k)
        for i in range(4)
        for sign in (-1.0, 1.0)
    )
    return Solid(LEVEL_LABELS["S1"], tuple(shapes), number("tissue", "cancellous") - 20.0, 900.0, 0.8, 4.0, holes, 0.8)


def _foramen(a: Vector, b: Vector, left: Vector, back: Vector, x: float, radius: float) -> Rod:
    middle = a * 0.2 + b * 0.8 + left * x
    return Rod(middle - back * 30.0, middle + back * 30.0, radius, radius, left, 1.25)


def coccyx_solid(spine: SpineCurve, body: Body) -> Solid:
    """Three small segments below the sacrum."""
    k, row = body.trunk, spine.index("S1")
    left, back, up = spine.axes[row].double().numpy()
    start = spine.endplates_mm[row, 0, 0].double().numpy() - up * 78.0 * k - back * 38.0 * k * 0.6
    end = start - (up * 14.0 + back * 18.0) * k
    shapes = (Rod(start, end, 5.5 * k, 2.5 * k, left, 1.6),)
    return Solid(27, shapes, 180.0, 700.0, 0.8)


def hip_solids(pelvis: Pelvis) -> list[Solid]:
    """Both hip bones and both upper femora."""
    out: list[Solid] = []
    for sign in (-1.0, 1.0):
        out += [_hip_bone(pelvis, sign), _femur(pelvis, sign)]
    return out


def _hip_bone(p: Pelvis, sign: float) -> Solid:
    def at(x: float, y: float, z: float) -> Vector:
        return p.point(sign * x, y, z)

    k = p.scale
    crest = p.crest(sign)
    psis, piis, notch, aiis = at(40, 74, 82), at(46, 64, 46), at(62, 36, 40), at(97, -30, 40)
    roof, inner, joint = at(84, 4, 30), at(70, 18, 44), at(54, 48, 84)
    ischium, spine, pubis, low = at(56, 26, -72), at(48, 36, -22), at(11, -46, -22), at(10, -38, -52)
    shapes: list[Shape] = [
        _wing(crest, (roof, inner, joint), k), Plate(roof, crest[0], aiis, 3.0 * k), Plate(inner, joint, notch, 5.5 * k),
        Plate(joint, psis, piis, 5.0 * k), Plate(joint, piis, notch, 4.5 * k),
        *chain(list(crest), list(np.interp(np.arange(len(crest)), CREST_AT, CREST_RADII) * k)),
        Rod(crest[0], aiis, 4.0 * k, 5.0 * k), Rod(aiis, roof, 6.0 * k, 9.0 * k), Rod(inner, roof, 8.0 * k, 12.0 * k),
        Rod(notch, at(66, 26, 10), 6.0 * k, 10.0 * k), Ellipsoid(at(74, 6, 2), np.full(3, 30.0 * k)),
        Rod(at(66, 24, -8), at(63, 30, -44), 14.0 * k, 13.0 * k), Rod(at(63, 30, -44), ischium, 13.0 * k, 15.0 * k),
        Rod(at(60, 30, -6), spine, 6.0 * k, 2.5 * k),
        *chain([ischium, at(46, 8, -76), at(27, -16, -68), low], [11.0 * k, 8.0 * k, 6.5 * k, 7.5 * k]),
        *chain([at(70, -14, 4), at(44, -36, -4), pubis], [10.5 * k, 8.0 * k, 9.0 * k]), Rod(pubis, low, 9.0 * k, 8.0 * k),
    ]  # fmt: skip
    socket = Ellipsoid(p.hip(sign) + p.axes[0] * sign * 3.0, np.full(3, 24.0 * k))
    mouth = Rod(
        p.hip(sign),
        p.hip(sign) + (p.axes[0] * sign * 40.0 - p.axes[2] * 22.0 - p.axes[1] * 10.0) * k,
        23.0 * k,
        30.0 * k,
    )
    return Solid(STRUCTURE_LABELS["pelvis"], tuple(shapes), 190.0, 900.0, 1.1, 5.0, (socket, mouth), 0.7)


def _wing(crest: Array, inner: tuple[Vector, Vector, Vector], k: float) -> Sheet:
    """The wing between the crest and the line from the socket's roof to the sacroiliac joint: thin in its middle."""
    n = len(crest)
    knots = np.array([0.0, 0.5, 0.72, 1.0])
    base = np.stack([np.interp(np.linspace(0, 1, n), knots, [inner[i][c] for i in (0, 0, 1, 2)]) for c in range(3)], 1)
    thick = np.interp(np.linspace(0, 1, n), [0.0, 0.4, 0.7, 1.0], [3.4, 2.9, 3.6, 4.8]) * k
    out: list[Plate] = []
    for i in range(n - 1):
        out.append(Plate(base[i], crest[i], crest[i + 1], float(thick[i])))
        if not np.allclose(base[i], base[i + 1]):
            out.append(Plate(base[i], crest[i + 1], base[i + 1], float(thick[i])))
    return Sheet(tuple(out))


def _femur(p: Pelvis, sign: float) -> Solid:
    k, hip = p.scale, p.hip(sign)

    def at(x: float, y: float, z: float) -> Vector:
        return np.asarray(hip + np.array([sign * x, y, z]) * k)

    shapes: list[Shape] = [
        Ellipsoid(hip, np.full(3, 20.5 * k)),
        Rod(hip, at(40, 2, -27), 12.5 * k, 14.5 * k, vector(0, 0, 1), 1.15),
        Rod(at(46, 4, -22), at(50, 10, -6), 13.0 * k, 10.0 * k),
        Rod(at(42, 4, -34), at(41, 2, -64), 16.0 * k, 13.5 * k),
        Rod(at(30, 12, -52), at(36, 4, -66), 7.5 * k, 8.0 * k),
        Rod(at(41, 2, -64), at(34, -2, -320), 13.0 * k, 12.0 * k),
    ]
    return Solid(STRUCTURE_LABELS["femur"], tuple(shapes), 200.0, 1150.0, 1.6, 6.0, (), 0.7)
