"""The patient as one value: posture, body, exact spine, and what else is known of the person."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from spondyl.sim.patient.alignment import curve_shares, spine_of
from spondyl.sim.patient.anatomy import Body, make_body
from spondyl.sim.patient.pelvis import Pelvis, pelvis_of
from spondyl.sim.patient.posture import Curve, Posture, surface_rotation_of, turn_sign
from spondyl.sim.patient.surface import with_surface_rotation
from spondyl.sim.patient.thorax import Cage, cage_of
from spondyl.sim.patient.threads import one_thread
from spondyl.sim.patient.torso import Torso, torso_of
from spondyl.sim.patient.vertebra import Vertebra, vertebrae_of
from spondyl.spine import SpineCurve, level_index

Stance = Literal["standing", "supine"]


@dataclass(frozen=True)
class Hardware:
    """Pedicle screws on both sides of every level from `upper` to `lower`, and two rods."""

    upper: str
    lower: str

    def __post_init__(self) -> None:
        if level_index(self.upper) >= level_index(self.lower):
            raise ValueError(f"hardware {self.upper}-{self.lower}: upper must lie above lower; swap them")


@dataclass(frozen=True)
class Traits:
    """What a posture and a body do not say.

    Args:
        cohort: the population drawn from, "" for a patient made by hand.
        curve_type: Lenke-like "1" to "6", or "none".
        skin_type: Fitzpatrick 1 to 6.
        stance: "standing" or "supine".
        flexibility: share of a curve that side bending takes away (metadata; 0 to 1).
        atr_deg: forward-bend trunk rotation of each curve, cranial to caudal.
        braced: wears a brace.
        hardware: screws and rods, or None.
        tissue_hu: HU by which this person's cancellous bone, muscle and fat differ from the tables'.
    """

    cohort: str = ""
    curve_type: str = "none"
    skin_type: int = 2
    stance: Stance = "standing"
    flexibility: float = 0.5
    atr_deg: tuple[float, ...] = ()
    braced: bool = False
    hardware: Hardware | None = None
    tissue_hu: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Patient:
    """One virtual patient. `spine` is exact; `seed` decides what nobody measures (texture, lung vessels, bowel gas)."""

    posture: Posture
    body: Body
    spine: SpineCurve
    seed: int = 0
    traits: Traits = field(default_factory=Traits)

    def __post_init__(self) -> None:
        if self.traits.hardware is not None:
            for level in (self.traits.hardware.upper, self.traits.hardware.lower):
                self.spine.index(level)


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The parts of one patient, posed in the world: what painting and landmarks both start from."""

    vertebrae: tuple[Vertebra, ...]
    cage: Cage
    pelvis: Pelvis
    torso: Torso


def make_patient(posture: Posture, body: Body | None = None, *, seed: int = 0, traits: Traits | None = None) -> Patient:
    """A patient of this posture; the default body is a girl of 14."""
    body = make_body() if body is None else body
    return Patient(posture, body, spine_of(posture, body), seed, Traits() if traits is None else traits)


def demo_patient() -> Patient:
    """A girl of 14 with a right thoracic curve of 42 degrees (T6-T11) and the counter curves that balance it."""
    curves = (
        Curve("T1", "T5", 18.0, "left"),
        Curve("T6", "T11", 42.0, "right", 14.0),
        Curve("T12", "L4", 26.0, "left", 7.0),
    )
    return make_patient(
        Posture(curves, kyphosis_deg=30.0, lordosis_deg=56.0, sacral_slope_deg=39.0, pelvic_tilt_deg=8.0),
        seed=42,
        traits=Traits(curve_type="1"),
    )


def posed_vertebrae(patient: Patient) -> tuple[Vertebra, ...]:
    """The vertebrae in their places, with what their curves did to them."""
    curves = patient.posture.curves
    bow = _total([turn_sign(c) * c.cobb_deg for c in curves], curve_shares(patient.posture, patient.spine))
    return vertebrae_of(patient.spine, patient.body.sizes, bow)


def anatomy_of(patient: Patient) -> Anatomy:
    """Every part of the patient in its place; the back's surface is rotated as the curves say."""
    body, vertebrae = patient.body, posed_vertebrae(patient)
    cage, pelvis = cage_of(vertebrae, body), pelvis_of(patient.posture, body)
    turns = [turn_sign(c) * surface_rotation_of(c) for c in patient.posture.curves]
    surface = _total(turns, curve_shares(patient.posture, patient.spine))
    torso = torso_of(vertebrae, cage, pelvis, body, surface[:-1])
    chest = [i for i, v in enumerate(vertebrae) if v.size.level not in ("C7", "T1", "T2")]
    heights = torch.tensor([float(vertebrae[i].centre[2]) for i in chest])
    wanted = torch.tensor(surface[chest], dtype=torch.float32)
    with one_thread():
        return Anatomy(vertebrae, cage, pelvis, with_surface_rotation(torso, heights, wanted))


def _total(values: list[float], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.array(values, dtype=np.float64) @ shares)
