"""Landmarks that other modalities show: bone echoes of a coronal ultrasound, and points on the back; with their angles."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from spondyl.sim.patient.patient import Anatomy, Patient, anatomy_of, posed_vertebrae
from spondyl.sim.patient.posture import Curve
from spondyl.sim.patient.shapes import Vector, vector
from spondyl.sim.patient.shoulder import shoulder_marks
from spondyl.sim.patient.surface import skin_behind

Array = NDArray[np.float64]
SIDES = (1.0, -1.0)  # left, right


@dataclass(frozen=True, eq=False)
class UltrasoundLandmarks:
    """What a coronal volume-projection image of the back shows of each vertebra, world mm; left before right.

    Args:
        levels: C7 to the last lumbar vertebra.
        transverse_tips_mm, laminae_mm: tips of the transverse processes; middle of the back of the laminae.
        spinous_tips_mm: tips of the spinous processes.
    """

    levels: tuple[str, ...]
    transverse_tips_mm: Float[Tensor, "l 2 3"]
    laminae_mm: Float[Tensor, "l 2 3"]
    spinous_tips_mm: Float[Tensor, "l 3"]


@dataclass(frozen=True, eq=False)
class BackLandmarks:
    """Named points of the back's skin, world mm: C7, both PSIS, inferior and superior scapular angles, acromia, cleft."""

    names: tuple[str, ...]
    points_mm: Float[Tensor, "n 3"]

    def point(self, name: str) -> Float[Tensor, "3"]:
        """One point by its name. Raises ValueError for an unknown one."""
        if name not in self.names:
            raise ValueError(f"landmark is {name!r}; wanted one of {', '.join(self.names)}")
        return self.points_mm[self.names.index(name)]


def ultrasound_landmarks(patient: Patient) -> UltrasoundLandmarks:
    """The bone landmarks of one patient."""
    vertebrae = posed_vertebrae(patient)
    return UltrasoundLandmarks(
        tuple(v.size.level for v in vertebrae),
        _stack([[v.transverse_tip(s) for s in SIDES] for v in vertebrae]),
        _stack([[v.lamina(s) for s in SIDES] for v in vertebrae]),
        _stack([v.spinous_tip() for v in vertebrae]),
    )


def back_landmarks(patient: Patient, anatomy: Anatomy | None = None) -> BackLandmarks:
    """The skin over the bony points that a photograph of the back is read by."""
    a = anatomy_of(patient) if anatomy is None else anatomy
    k = patient.body.trunk
    found: list[tuple[str, Vector]] = [("C7", a.vertebrae[0].spinous_tip())]
    for name, sign in (("left", 1.0), ("right", -1.0)):
        marks = shoulder_marks(a.cage, patient.body, sign)
        found += [
            (f"PSIS {name}", a.pelvis.psis(sign)),
            (f"scapula inferior {name}", marks.inferior),
            (f"scapula superior {name}", marks.superior),
            (f"acromion {name}", marks.acromion + vector(-sign * 6.0, 6.0, -12.0) * k),
        ]
    found.append(("cleft", a.pelvis.point(0.0, 70.0, 28.0)))
    found += [(f"spine {v.size.level}", v.spinous_tip()) for v in a.vertebrae[1:]]
    return BackLandmarks(tuple(n for n, _ in found), skin_behind(a.torso, _stack([p for _, p in found])))


def uca_deg(marks: UltrasoundLandmarks, curve: Curve) -> float:
    """Ultrasound curve angle of one curve (Lee 2021), degrees, on the coronal plane.

    Thoracic levels use the line through both transverse processes, lumbar ones the line through both laminae; the angle
    lies between the most tilted lines above and below the apex, one level beyond the end vertebrae included.
    """
    tilts = np.array([_line_deg(marks, i) for i in range(len(marks.levels))])
    first, last = (marks.levels.index(level) for level in (curve.upper, curve.lower))
    return _spread(tilts[max(first - 1, 0) : last + 2], curve)


def spa_deg(marks: UltrasoundLandmarks, curve: Curve) -> float:
    """Spinous-process angle of one curve, degrees: between the steepest lines joining neighbouring tips."""
    x, _, z = marks.spinous_tips_mm.double().numpy().T
    between = np.degrees(np.arctan(np.diff(x) / np.diff(z)))
    first, last = (marks.levels.index(level) for level in (curve.upper, curve.lower))
    return _spread(between[max(first - 1, 0) : last + 1], curve)


def _line_deg(marks: UltrasoundLandmarks, row: int) -> float:
    pair = marks.laminae_mm[row] if marks.levels[row].startswith("L") else marks.transverse_tips_mm[row]
    left, right = pair.tolist()
    return math.degrees(math.atan2(right[2] - left[2], left[0] - right[0]))


def _spread(tilts: Array, curve: Curve) -> float:
    """From the most tilted one above the middle to the most tilted one below it, in the sense of the curve."""
    signed = tilts if curve.side == "right" else -tilts
    middle = len(tilts) // 2
    return float(signed[: middle + 1].max() - signed[middle:].min())


def _stack(points: list[Vector] | list[list[Vector]]) -> Tensor:
    return torch.from_numpy(np.array(points)).to(torch.float32)
