"""Sacrum, pelvis and upper femora, placed by pelvic incidence and tilt. Shapes are for an adult woman's size times scale."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spondyl.images import STRUCTURE_LABELS
from spondyl.sim.patient.alignment import frame
from spondyl.sim.patient.anatomy import Body, number
from spondyl.sim.patient.posture import Posture
from spondyl.sim.patient.shapes import Ellipsoid, Plate, Rod, Shape, Solid, Vector, unit, vector
from spondyl.sim.patient.vertebra import Block
from spondyl.spine import LEVEL_LABELS, SpineCurve

Array = NDArray[np.float64]
NEUTRAL_TILT_DEG = 8.0
INCIDENCE_RADIUS_MM = 104.0  # mid-S1 to the hip axis, girl of 14: 95-110 (estimate)


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
    line = [plate[0] - up * 10.0 * k + back * 4.0]
    tilt, direction = np.radians([4.0, 13.0, 15.0, 16.0, 20.0]), -up
    widths, thick = [50.0, 45.0, 36.0, 27.0, 18.0, 9.0], [9.0, 8.5, 7.0, 6.0, 5.0, 4.0]
    for step, turn in zip((20.0, 22.0, 20.0, 17.0, 14.0), tilt, strict=True):
        direction = unit(direction * math.cos(turn) - np.cross(left, direction) * math.sin(turn))
        line.append(line[-1] + direction * step * k)
    shapes: list[Shape] = [block]
    for i in range(5):
        t = thick[i] * k
        shapes.append(Rod(line[i], line[i + 1], t, thick[i + 1] * k, left, widths[i] / thick[i]))
    for sign in (-1.0, 1.0):
        root = plate[0] - up * 9.0 * k + left * sign * 18.0 * k + back * 4.0
        shapes.append(Rod(root, root + (left * sign * 27.0 - up * 9.0 + back * 5.0) * k, 9.0 * k, 10.0 * k))
    for i in range(1, 5):
        behind = np.cross(left, unit(line[i + 1] - line[i])) * -1.0
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
    asis, crest, tubercle, back = at(112, -42, 78), at(119, 14, 132), at(123, -18, 116), at(92, 44, 133)
    psis, piis, notch, aiis = at(40, 74, 82), at(46, 64, 46), at(62, 36, 40), at(97, -30, 40)
    rear = at(64, 64, 118)
    roof, inner = at(84, 4, 30), at(70, 18, 44)
    ischium, spine, pubis, low = at(56, 26, -72), at(48, 36, -22), at(11, -46, -22), at(10, -38, -52)
    joint = at(54, 48, 84)
    shapes: list[Shape] = [
        Plate(roof, crest, tubercle, 3.0 * k), Plate(roof, tubercle, asis, 2.8 * k), Plate(roof, asis, aiis, 3.0 * k),
        Plate(roof, crest, back, 2.8 * k), Plate(inner, roof, back, 3.4 * k), Plate(inner, back, joint, 4.0 * k),
        Plate(joint, back, rear, 3.5 * k), Plate(joint, rear, psis, 4.5 * k), Plate(joint, psis, piis, 5.0 * k),
        Plate(inner, joint, notch, 5.5 * k),
        Plate(joint, piis, notch, 4.5 * k),
        Rod(asis, tubercle, 4.5 * k, 5.5 * k), Rod(tubercle, crest, 5.5 * k, 5.0 * k), Rod(crest, back, 5.0 * k, 5.5 * k),
        Rod(back, rear, 5.5 * k, 6.0 * k), Rod(rear, psis, 6.0 * k, 7.0 * k), Rod(asis, aiis, 4.0 * k, 5.0 * k),
        Rod(aiis, roof, 6.0 * k, 9.0 * k),
        Rod(inner, roof, 8.0 * k, 12.0 * k), Rod(notch, at(66, 26, 10), 6.0 * k, 10.0 * k),
        Ellipsoid(at(74, 6, 2), np.full(3, 30.0 * k)),
        Rod(at(66, 24, -8), ischium, 14.0 * k, 15.0 * k), Rod(at(60, 30, -6), spine, 6.0 * k, 2.5 * k),
        Rod(ischium, at(30, -8, -66), 10.0 * k, 7.0 * k), Rod(at(30, -8, -66), low, 7.0 * k, 7.5 * k),
        Rod(at(70, -14, 4), pubis, 10.5 * k, 9.0 * k), Rod(pubis, low, 9.0 * k, 8.0 * k),
    ]  # fmt: skip
    socket = Ellipsoid(p.hip(sign) + p.axes[0] * sign * 3.0, np.full(3, 24.0 * k))
    mouth = Rod(
        p.hip(sign),
        p.hip(sign) + (p.axes[0] * sign * 40.0 - p.axes[2] * 22.0 - p.axes[1] * 10.0) * k,
        23.0 * k,
        30.0 * k,
    )
    return Solid(STRUCTURE_LABELS["pelvis"], tuple(shapes), 190.0, 900.0, 1.1, 5.0, (socket, mouth), 0.7)


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
