"""The shoulder girdle: scapulae lying on the cage, clavicles, and the upper arms as they are held for a film."""

import math
from dataclasses import dataclass

import numpy as np

from spondyl.images import STRUCTURE_LABELS
from spondyl.sim.patient.anatomy import Body
from spondyl.sim.patient.growth_plates import humeral_plate
from spondyl.sim.patient.shapes import Plate, Rod, Shape, Solid, Vector, chain, unit, vector
from spondyl.sim.patient.thorax import Cage, sternum_line


def girdle_solids(cage: Cage, body: Body) -> list[Solid]:
    """Scapulae, clavicles and the upper ends of the humeri."""
    out: list[Solid] = []
    for sign in (-1.0, 1.0):
        marks = shoulder_marks(cage, body, sign)
        out += [
            _scapula(marks),
            _clavicle(cage, marks, sign),
            _humerus(marks, sign, body),
            *humeral_plate(marks.joint, body),
        ]
    return out


@dataclass(frozen=True, eq=False)
class Shoulder:
    """Landmarks of one shoulder, world mm."""

    superior: Vector
    inferior: Vector
    spine_root: Vector
    glenoid: Vector
    acromion: Vector
    joint: Vector


def shoulder_marks(cage: Cage, body: Body, sign: float) -> Shoulder:
    """Where the scapula lies on the cage on one side (+1 left)."""
    k = body.trunk

    def on_cage(rib: float, angle: float, off: float, dz: float = 0.0) -> Vector:
        return np.asarray(cage.point(rib, sign * angle, off) + vector(0, 0, dz))

    superior, inferior = on_cage(1.2, 44.0, 12.0 * k, 12.0), on_cage(6.3, 38.0, 13.0 * k, 6.0)
    root = on_cage(2.4, 36.0, 13.0 * k, 6.0)
    middle = on_cage(2.3, 62.0, 16.0 * k)
    joint = vector(sign * 148.0 * k + cage.centre_mm[1, 0], middle[1] - 30.0 * k, cage.height_mm[1] - 14.0)
    glenoid = joint + vector(-sign * 24.0 * k, 8.0 * k, -2.0)
    acromion = joint + vector(sign * 6.0 * k, 6.0 * k, 27.0 * k)
    return Shoulder(superior, inferior, root, glenoid, acromion, joint)


def _scapula(m: Shoulder) -> Solid:
    neck = m.glenoid * 0.8 + m.inferior * 0.2
    coracoid = m.joint * 0.8 + m.glenoid * 0.2 + vector(0, -24.0, 14.0)
    shapes: list[Shape] = [
        Plate(m.superior, m.spine_root, m.glenoid, 1.8),
        Plate(m.spine_root, m.inferior, m.glenoid, 1.7),
        Rod(m.inferior, neck, 2.8, 4.0),
        Rod(m.superior, m.spine_root, 1.8, 1.8),
        Rod(m.spine_root, m.inferior, 1.8, 2.6),
        Rod(m.spine_root + vector(0, 3, 0), m.acromion + vector(0, 8, -6), 2.4, 4.6),
        Rod(m.acromion + vector(0, 8, -6), m.acromion + vector(0, -10, 0), 4.6, 4.2, vector(1, 0, 0), 2.0),
        Rod(m.glenoid + vector(0, 0, 11), m.glenoid + vector(0, 0, -11), 6.0, 7.0),
        Rod(m.glenoid + vector(0, 0, 12), coracoid, 5.0, 4.2),
    ]
    return Solid(STRUCTURE_LABELS["scapula"], tuple(shapes), 220.0, 900.0, 1.0, 3.0)


def _clavicle(cage: Cage, m: Shoulder, sign: float) -> Solid:
    inner = sternum_line(cage, 0.0) + vector(sign * 19.0, -1.0, 3.0)
    outer = m.acromion + vector(-sign * 10.0, -4.0, -2.0)
    t = np.linspace(0, 1, 9)[:, None]
    line = inner + (outer - inner) * t
    line[:, 1] += 13.0 * np.sin(2 * math.pi * t[:, 0]) * -1.0
    shapes: list[Shape] = list(chain(list(line), [6.0, 5.2, 4.6, 4.2, 4.2, 4.2, 4.4, 4.8, 5.0]))
    return Solid(STRUCTURE_LABELS["clavicle"], tuple(shapes), 200.0, 1000.0, 1.1, 1.0)


def elbow(m: Shoulder, sign: float, body: Body) -> Vector:
    """Where the upper arm points: forward and out, hands towards the clavicles, as for a biplanar film."""
    return np.asarray(m.joint + vector(sign * 105.0, -190.0, -95.0) * body.trunk)


def _humerus(m: Shoulder, sign: float, body: Body) -> Solid:
    k, end = body.trunk, elbow(m, sign, body)
    neck = m.joint + unit(end - m.joint) * 28.0 * k + vector(sign * 6.0, 0, 0)
    shapes: list[Shape] = [
        Rod(m.joint, m.joint + vector(sign * 2.0, 0, 0), 20.5 * k, 20.5 * k),
        Rod(m.joint + vector(sign * 11.0, 0, 0) * k, neck, 13.0 * k, 10.5 * k),
        Rod(neck, end, 10.5 * k, 9.5 * k),
    ]
    return Solid(STRUCTURE_LABELS["humerus"], tuple(shapes), 160.0, 1100.0, 2.2, 4.0)
