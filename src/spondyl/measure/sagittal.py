"""Sagittal angles: kyphosis, lordosis and sacral slope between named endplates, in space or in a lateral picture.

Lean is the angle of an endplate's normal forward of the vertical, degrees: T4 leans forward, T12 backward, S1 forward.
An angle is the lean of the upper minus that of the lower endplate, so kyphosis is positive.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.measure.tilt import LEAST_SHARE_OF_AXIS, upright_mm
from spondyl.spine import Corners, Sagittal, SpineCurve, level_index

Facing = Literal["left", "right"]


@dataclass(frozen=True, eq=False)
class LeanProfile:
    """Endplates seen from the side: levels, cranial to caudal, and the lean of both endplates, degrees; NaN unseen."""

    levels: tuple[str, ...]
    leans_deg: Float[Tensor, "l 2"]

    def __post_init__(self) -> None:
        if tuple(self.leans_deg.shape) != (len(self.levels), 2):
            raise ValueError(f"leans_deg has shape {tuple(self.leans_deg.shape)}; wanted {(len(self.levels), 2)}")
        for level in self.levels:
            level_index(level)

    def lean_deg(self, level: str, end: Literal["superior", "inferior"]) -> float:
        """Lean of one endplate; NaN where it was not seen."""
        if level not in self.levels:
            return math.nan
        return float(self.leans_deg[self.levels.index(level), 0 if end == "superior" else 1])


def leans_of_spine(spine: SpineCurve) -> LeanProfile:
    """Endplate normals projected onto the world's sagittal plane: lean = atan2(n_anterior, n_cranial)."""
    normals = spine.endplate_normals()
    return LeanProfile(spine.levels, torch.rad2deg(torch.atan2(-normals[..., 1], normals[..., 2])))


def faces_right(corners: Corners, faces: Facing | None) -> bool:
    """Whether the patient of a lateral picture looks to high columns: by its view, or as said where it knows none.

    Raises:
        ValueError: for a view from the front or back, or where nobody says.
    """
    if corners.view is None:
        if faces is None:
            raise ValueError("the corners know no view; say faces='left' or faces='right'")
        return faces == "right"
    backward = float(corners.view.world_from_detector[..., 1, 0])
    if abs(backward) < LEAST_SHARE_OF_AXIS:
        raise ValueError("the view looks from the front or back; a sagittal angle wants a lateral view")
    return backward < 0


def leans_of_corners(
    corners: Corners, *, faces: Facing | None = None, u_magnification: float | None = None
) -> LeanProfile:
    """Chords between the corners of a lateral picture, in its own plane.

    Args:
        faces: the side of the picture that the patient looks to. Asked for only where the corners know no view.
        u_magnification: source-detector over source-spine distance; asked for only where the view is a slot's.

    Raises:
        ValueError: for a coronal view, where neither view nor `faces` tells front from back, for a slot view without
            magnification.
    """
    looks_right = faces_right(corners, faces)
    low_u, high_u = upright_mm(corners, u_magnification).unbind(dim=2)
    step = high_u - low_u
    # Where the patient looks right, the high-u end is the front; it lies low on an endplate that leans forward.
    lean = torch.atan2(-step[..., 1] if looks_right else step[..., 1], step[..., 0])
    return LeanProfile(corners.levels, torch.rad2deg(lean))


def sagittal_angles(spine: SpineCurve) -> tuple[Sagittal, ...]:
    """Every angle of `WANTED` whose two endplates were seen; `missing` says why the others are not there."""
    return angles_of_leans(leans_of_spine(spine))


def sagittal_from_corners(
    corners: Corners, *, faces: Facing | None = None, u_magnification: float | None = None
) -> tuple[Sagittal, ...]:
    """The same from a lateral picture. Raises ValueError as `leans_of_corners`."""
    return angles_of_leans(leans_of_corners(corners, faces=faces, u_magnification=u_magnification))


def angles_of_leans(profile: LeanProfile) -> tuple[Sagittal, ...]:
    """Every angle of `WANTED` whose two endplates were seen."""
    found = []
    for wanted in _for_this_spine(profile):
        angle = profile.lean_deg(wanted.upper, "superior") - profile.lean_deg(wanted.lower, wanted.end)
        if math.isfinite(angle):
            found.append(Sagittal(angle, f"{wanted.upper} superior", f"{wanted.lower} {wanted.end}"))
    return tuple(found)


def missing(spine: SpineCurve | LeanProfile) -> tuple[str, ...]:
    """One sentence for every angle of `WANTED` that cannot be had, and for a sacral slope that cannot."""
    profile = leans_of_spine(spine) if isinstance(spine, SpineCurve) else spine
    sentences = []
    for wanted in _for_this_spine(profile):
        ends: tuple[tuple[str, Literal["superior", "inferior"]], ...]
        ends = ((wanted.upper, "superior"), (wanted.lower, wanted.end))
        lacking = [f"the {end} endplate of {v}" for v, end in ends if not math.isfinite(profile.lean_deg(v, end))]
        if lacking:
            which = f"{wanted.name} {wanted.upper}-{wanted.lower}"
            sentences.append(f"{which} is not measured: {' and '.join(lacking)} is not visible.")
    if sacral_slope_deg(profile) is None:
        sentences.append("Sacral slope is not measured: the superior endplate of S1 is not visible.")
    return tuple(sentences)


def sacral_slope_deg(spine: SpineCurve | LeanProfile) -> float | None:
    """Angle of S1's superior endplate against the horizontal, positive where it leans forward; None without S1.

    It rests on the world's vertical, so on how the patient stood or lay.
    """
    profile = leans_of_spine(spine) if isinstance(spine, SpineCurve) else spine
    slope = profile.lean_deg("S1", "superior")
    return slope if math.isfinite(slope) else None


@dataclass(frozen=True)
class Wanted:
    """An angle by its usual name, from the superior endplate of `upper` to the named endplate of `lower`."""

    name: str
    upper: str
    lower: str
    end: Literal["superior", "inferior"] = "inferior"


WANTED: tuple[Wanted, ...] = (
    Wanted("kyphosis", "T1", "T12"),
    Wanted("kyphosis", "T2", "T12"),
    Wanted("kyphosis", "T4", "T12"),
    Wanted("kyphosis", "T5", "T12"),
    Wanted("proximal kyphosis", "T2", "T5"),
    Wanted("thoracolumbar angle", "T10", "L2"),
    Wanted("lordosis", "L1", "S1", "superior"),
    Wanted("lordosis", "L1", "L5"),
)


def _for_this_spine(profile: LeanProfile) -> tuple[Wanted, ...]:
    """WANTED with T12 read as the last thoracic and L5 as the last lumbar level where a T13 or an L6 was seen.

    A spine without T12 or L5 keeps those names and so lacks the angle: from what was seen nobody can tell a level that
    does not exist from one that could not be read.
    """
    last = {"T12": "T13" if "T13" in profile.levels else "T12", "L5": "L6" if "L6" in profile.levels else "L5"}
    return tuple(Wanted(w.name, w.upper, last.get(w.lower, w.lower), w.end) for w in WANTED)
