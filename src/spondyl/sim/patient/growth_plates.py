"""What a growing skeleton shows: ring apophyses, the cap of the iliac crest (Risser), the plates at hip and shoulder.

They change HU and, for the cap, add bone; the designed endplates and angles stay where they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spondyl.images import STRUCTURE_LABELS
from spondyl.sim.patient.anatomy import Body, Sex, number, series
from spondyl.sim.patient.block import Block
from spondyl.sim.patient.pelvis import Pelvis
from spondyl.sim.patient.shapes import Coordinates, Ellipsoid, Shape, Solid, Vector, chain, cross, unit
from spondyl.sim.patient.vertebra import Vertebra, body_block
from spondyl.spine import LEVEL_LABELS


def risser(sex: Sex, age_years: float) -> float:
    """Risser's sign of an average girl or boy: 0 no cap, 1 to 4 quarters of the crest capped, 5 fused."""
    return float(np.interp(age_years, series("growth_plates", f"risser_age_{_who(sex)}"), [0.0, 1.0, 4.0, 5.0]))


def is_open(name: str, sex: Sex, age_years: float) -> bool:
    """Whether a growth plate ("ring", "head", "triradiate", "humerus") is still cartilage at this age."""
    return age_years < number("growth_plates", f"{name}_closes_{_who(sex)}")


@dataclass(frozen=True, eq=False)
class RimPlate:
    """Cartilage below the rims of a body's endplates: a thin line, or, before the ring has ossified, the whole corner."""

    block: Block
    depth_mm: float
    thick_mm: float
    whole_corner: bool

    @property
    def box_mm(self) -> tuple[Vector, Vector]:
        """Lowest and highest corner."""
        return self.block.box_mm

    def distance(self, at: Coordinates) -> Tensor:
        """Signed distance, mm."""
        side, rho, *lids = self.block.layers(at)
        inner = (number("growth_plates", "rim_from") - rho) * 8.0
        lid = torch.maximum(*lids) + self.depth_mm
        band = -lid if self.whole_corner else lid.abs() - self.thick_mm / 2
        return torch.maximum(torch.maximum(band, inner), side)


def ring_solid(v: Vertebra, body: Body) -> Solid | None:
    """The cartilage between a body and its ring apophyses; None where growth has ended."""
    who = _who(body.sex)
    if not is_open("ring", body.sex, body.age_years):
        return None
    young = body.age_years < number("growth_plates", f"ring_ossifies_{who}")
    k = number("growth_plates", "ring_depth") * v.size.height
    plate = RimPlate(body_block(v), k, number("growth_plates", "ring_line_mm"), young)
    hu = number("tissue", "cartilage")
    return Solid(LEVEL_LABELS[v.size.level], (plate,), hu, hu)


def crest_caps(pelvis: Pelvis, body: Body) -> list[Solid]:
    """The apophysis along each iliac crest, from the front backwards, as far as Risser's sign has come."""
    sign_now = risser(body.sex, body.age_years)
    if not 0 < sign_now < 5:
        return []
    out: list[Solid] = []
    for sign in (-1.0, 1.0):
        crest = pelvis.crest(sign)
        reach = max(2, round(min(sign_now / 4.0, 1.0) * (len(crest) - 1)) + 1)
        middle = pelvis.point(sign * 84.0, 4.0, 30.0)
        outside = [c + unit(c - middle) * (number("growth_plates", "cap_off_mm") * pelvis.scale) for c in crest[:reach]]
        radius = number("growth_plates", "cap_mm") / 2 * pelvis.scale
        rods: Sequence[Shape] = chain(outside, [radius] * reach, [pelvis.axes[1]] * reach, 1.6)
        out.append(Solid(STRUCTURE_LABELS["pelvis"], tuple(rods), 220.0, 800.0, 0.7, 0.5))
    return out


def hip_plates(pelvis: Pelvis, body: Body) -> list[Solid]:
    """The plates of the femoral heads and the triradiate cartilages, where they are open."""
    out: list[Solid] = []
    k = pelvis.scale
    for sign in (-1.0, 1.0):
        hip, side = pelvis.hip(sign), sign * pelvis.axes[0]
        if is_open("head", body.sex, body.age_years):
            neck = unit(side * 40.0 + pelvis.axes[1] * 2.0 - pelvis.axes[2] * 27.0)
            out.append(_plate("femur", hip + neck * 10.0 * k, neck, 18.0 * k))
        if is_open("triradiate", body.sex, body.age_years):
            out.append(_plate("pelvis", hip - side * 26.0 * k, pelvis.axes[2], 9.5 * k))
    return out


def humeral_plate(joint: Vector, body: Body) -> list[Solid]:
    """The plate below one humeral head, where it is open."""
    if not is_open("humerus", body.sex, body.age_years):
        return []
    k = body.trunk
    return [_plate("humerus", joint + np.array([0.0, 0.0, -9.0]) * k, np.array([0.0, 0.0, 1.0]), 18.0 * k)]


def _plate(label: str, centre: Vector, normal: Vector, radius: float) -> Solid:
    """A disc of cartilage between two bright lines of calcified cartilage."""
    across = unit(cross(normal, np.array([0.31, 0.87, 0.39])))
    axes = np.stack([normal, across, cross(normal, across)])
    half = number("growth_plates", "plate_mm") / 2 + number("growth_plates", "calcified_mm")
    disc = Ellipsoid(centre, np.array([half, radius, radius]), axes)
    bright = number("growth_plates", "calcified_hu")
    return Solid(
        STRUCTURE_LABELS[label], (disc,), number("tissue", "cartilage"), bright, number("growth_plates", "calcified_mm")
    )


def _who(sex: Sex) -> str:
    return "girls" if sex == "female" else "boys"
