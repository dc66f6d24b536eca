"""The trunk as nested surfaces: sections of the skin, the loops of the chest, the diaphragm. Signed distances, mm."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spondyl.sim.patient.anatomy import Body, number
from spondyl.sim.patient.block import superellipse_distance
from spondyl.sim.patient.pelvis import Pelvis
from spondyl.sim.patient.sections import Profile, fat_mm, loop_profile, skin_profile
from spondyl.sim.patient.shapes import Coordinates, Ellipsoid, Rod, Shape, chain, vector
from spondyl.sim.patient.shoulder import elbow, shoulder_marks
from spondyl.sim.patient.thorax import Cage
from spondyl.sim.patient.vertebra import Vertebra, by_level

Array = NDArray[np.float64]
SKIN_MM = 2.0
LEVER_REACH_MM = 130.0


@dataclass(frozen=True, eq=False)
class Torso:
    """The soft parts of one patient, ready to be painted."""

    body: Body
    cage: Cage
    skin: Profile
    loops: Profile
    limbs: tuple[Shape, ...]
    arms: tuple[Rod, ...]
    crotch_mm: float
    domes_mm: tuple[float, float]

    @property
    def fat_mm(self) -> float:
        """Thickness of the fat below the skin on the trunk, from the body mass index."""
        return fat_mm(self.body)

    @property
    def cover_mm(self) -> float:
        """From the inner side of the ribs to the skin over them: the ribs themselves, a sheet of muscle, fat and skin."""
        return number("skin", "over_ribs") + self.fat_mm + SKIN_MM


def torso_of(vertebrae: tuple[Vertebra, ...], cage: Cage, pelvis: Pelvis, body: Body, surface_deg: Array) -> Torso:
    """The soft parts that belong to these bones; the skin beside each vertebra is turned by `surface_deg`."""
    limbs: list[Shape] = []
    arms: list[Rod] = []
    k = body.trunk
    for sign in (-1.0, 1.0):
        marks = shoulder_marks(cage, body, sign)
        arms.append(Rod(marks.joint, elbow(marks, sign, body), 38.0 * k, 32.0 * k))
        slope = np.array(
            [marks.acromion[0] - sign * 6.0 * k, marks.acromion[1] + 2.0 * k, marks.acromion[2] - 19.0 * k]
        )
        limbs.append(Rod(vertebrae[0].centre + vector(sign * 30.0, 16.0, -22.0) * k, slope, 34.0 * k, 34.0 * k))
        ridge = marks.acromion + vector(-sign * 8.0, 4.0, -6.0) * k
        limbs.append(Rod(marks.superior, marks.inferior, 15.0 * k, 14.0 * k))
        limbs.append(Rod(marks.spine_root, ridge, 15.0 * k, 20.0 * k))
        limbs += _over_crest(pelvis, sign, body)
        hip = pelvis.hip(sign)
        limbs.append(
            Rod(hip + vector(sign * 8.0, 6.0, -12.0) * k, hip + vector(sign * 2.0, 0.0, -420.0) * k, 84.0 * k, 66.0 * k)
        )
        limbs.append(
            Rod(pelvis.point(sign * 16.0, -38.0, -20.0), pelvis.point(sign * 10.0, -32.0, -50.0), 29.0 * k, 26.0 * k)
        )
        if body.sex == "female" and body.age_years > 11:
            chest = cage.point(4.0, sign * 142.0) + vector(0.0, -8.0, -34.0) * k
            limbs.append(Ellipsoid(chest, np.array([48.0, 24.0, 40.0]) * k))
    floor = float(by_level(vertebrae)["T10"].centre[2]) - 2.0
    return Torso(
        body, cage, skin_profile(vertebrae, cage, pelvis, body, surface_deg), loop_profile(cage, body), tuple(limbs), tuple(arms),
        float(pelvis.origin[2]) - 78.0 * k, (floor, floor - 14.0 * k),
    )  # fmt: skip


def _over_crest(pelvis: Pelvis, sign: float, body: Body) -> list[Shape]:
    """The skin over the iliac crest: it never lies nearer to the bone than a few millimetres of fat."""
    crest, radius = pelvis.crest(sign), 10.0 * body.trunk + 0.5 * fat_mm(body) + SKIN_MM
    return list(chain([crest[0], crest[4], crest[8], crest[12]], [radius] * 4))


def cage_distance(torso: Torso, at: Coordinates, outside_mm: float) -> Tensor:
    """Signed distance to the cage's loops grown by `outside_mm`, mm."""
    middle = torso.cage.centre_mm[:, 1].mean() + torso.cage.half_depth_mm.mean()
    start = at.z + (float(middle) - at.y) * 0.8 + 0.0 * at.x
    for _ in range(6):  # the loop through a voxel: the inverse of Cage.point, a contraction of about 0.6
        x, y, a, b, sine, cosine, whole, slope, lean = torso.loops.at(start)
        dx, dy = at.x - x, at.y - y
        u, v = dx * cosine + dy * sine, dy * cosine - dx * sine
        start = at.z + (whole - v) * slope + u * lean
    a, b = (a + outside_mm).clamp_min(1.0), (b + outside_mm).clamp_min(1.0)
    h = torso.cage.height_mm
    side, front = (
        float(h[10]),
        float(h[6]),
    )  # the eleventh rib ends at the side; in front the sternum ends with the seventh
    free = (side + (front - side) * (-v / b).clamp(0, 1) ** 2 - start).clamp_min(0.0)
    return superellipse_distance(u / a, v / b, a, b) + 0.6 * free * torch.sigmoid(-v / 12.0)


def skin_distance(torso: Torso, at: Coordinates, cage: Tensor) -> Tensor:
    """Signed distance to the skin, mm; `cage` (distance to the inner side of the ribs) pushes it outwards."""
    x, y, a, b, sine, cosine = torso.skin.at(at.z, 6)
    dx, dy = at.x - x, at.y - y
    u, v = dx * cosine + dy * sine, dy * cosine - dx * sine
    distance = superellipse_distance(u / a, v / b, a, b)
    distance = melt(distance, cage - torso.cover_mm, 16.0)
    return -melt(-distance, at.z - torso.crotch_mm, 50.0)


def trunk_distance(torso: Torso, at: Coordinates, inside: Tensor | None = None) -> Tensor:
    """Signed distance to the skin of the trunk, breasts, shoulder blades and thighs included, arms not; mm.

    `inside` is the distance to the inner side of the ribs, where it is known already.
    """
    inside = cage_distance(torso, at, -6.0) if inside is None else inside
    distance = skin_distance(torso, at, inside)
    for shape in torso.limbs:
        distance = melt(distance, shape.distance(at), 18.0)
    rows = torso.skin.at(at.z)
    behind, aside = torch.sigmoid((at.y - rows[1]) / 12.0), at.x - rows[6]
    lever = aside * torch.exp(-((aside / LEVER_REACH_MM) ** 2) / 2)
    furrow = rows[8] * torch.exp(-(aside**2) / (2 * 11.0**2))
    # however the back is twisted, the skin keeps clear of the ribs
    return melt(distance + behind * (furrow - rows[10] * lever), inside - number("skin", "least_over_ribs"), 6.0)


def melt(a: Tensor, b: Tensor, blend_mm: float) -> Tensor:
    """Union of two signed distances (mm) with a fillet of about `blend_mm`: the polynomial smooth minimum."""
    h = (blend_mm - (a - b).abs()).clamp_min_(0.0)
    return torch.minimum(a, b) - h * h / (4 * blend_mm)


def diaphragm_mm(torso: Torso, at: Coordinates) -> Tensor:
    """Height of the diaphragm below or above each voxel: two domes, the right one higher."""
    x, y, a, b = torso.loops.at(torch.tensor([torso.domes_mm[0] + 60.0], device=at.x.device))[:4]
    heights = []
    for sign, top in ((-1.0, torso.domes_mm[0]), (1.0, torso.domes_mm[1])):
        u = (at.x - x - sign * 0.46 * a) / (0.54 * a)
        u = torch.where(u * sign < 0, u * 0.4, u)
        v = (at.y - y + 8.0) / (0.95 * b)
        heights.append(top - 62.0 * (u * u + v * v * 0.85))
    return torch.maximum(heights[0], heights[1])
