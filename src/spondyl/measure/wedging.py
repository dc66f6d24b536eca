"""Wedging: how much of a curve's angle lies in each body and each disc, and the heights of bodies in a picture.

A body's wedge is its superior tilt less its inferior one, a disc's the inferior tilt above less the superior tilt below:
from the upper end vertebra's superior to the lower one's inferior endplate they add up to the angle identically.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.measure.sagittal import LeanProfile
from spondyl.measure.tilt import TiltProfile
from spondyl.spine import Cobb, Corners, level_index


@dataclass(frozen=True)
class Wedge:
    """One wedge, degrees: of a body ("T8"), of a disc ("T8/T9"), or of all between levels that are not neighbours ("T8-T10").

    L5/S1 and T12/L1 count as neighbours: most spines have neither L6 nor T13.
    """

    where: str
    wedge_deg: float

    @property
    def of_body(self) -> bool:
        """Whether it is a body's."""
        return "/" not in self.where and "-" not in self.where


def coronal_wedges(profile: TiltProfile) -> tuple[Wedge, ...]:
    """Every wedge that was seen, cranial to caudal; positive where the right side is the higher one (convex to the right)."""
    return _wedges(profile.levels, profile.tilts_deg)


def sagittal_wedges(profile: LeanProfile) -> tuple[Wedge, ...]:
    """Every wedge that was seen, cranial to caudal; positive where the front is the lower side (kyphosis)."""
    return _wedges(profile.levels, profile.leans_deg)


def wedges_of_curve(profile: TiltProfile, cobb: Cobb) -> tuple[Wedge, ...]:
    """The wedges of one curve, positive where they add to it; their sum is the angle between its end vertebrae.

    Raises:
        ValueError: where a level of its ends, or an endplate between them, was not seen.
    """
    for level in (cobb.upper, cobb.lower):
        if level not in profile.levels:
            raise ValueError(f"{level} is not among the levels seen ({' '.join(profile.levels)})")
    first, last = profile.levels.index(cobb.upper), profile.levels.index(cobb.lower) + 1
    tilts = profile.tilts_deg[first:last] * (1.0 if cobb.side == "right" else -1.0)
    if not bool(torch.isfinite(tilts).all()):
        raise ValueError(f"an endplate from {cobb.upper} to {cobb.lower} was not seen; their wedges do not add up")
    return _wedges(profile.levels[first:last], tilts)


def body_share(profile: TiltProfile, cobb: Cobb) -> float:
    """Share of a curve's angle that lies in its bodies; about 0.62 thoracic, 0.31 thoracolumbar, 0.23 lumbar (Ding 2011).

    Raises:
        ValueError: as `wedges_of_curve`, and for a curve of no angle.
    """
    wedges = wedges_of_curve(profile, cobb)
    total = sum(w.wedge_deg for w in wedges)
    if not total > 0:
        raise ValueError(f"the curve {cobb.upper}-{cobb.lower} has no angle; nothing to share")
    return sum(w.wedge_deg for w in wedges if w.of_body) / total


def edge_heights_mm(corners: Corners, *, mm_per_px: tuple[float, float] = (1.0, 1.0)) -> Float[Tensor, "l 2"]:
    """Height of every body at its low-u and its high-u edge: the distance of the corners there; NaN where one was not seen.

    Args:
        mm_per_px: (v, u), millimetres in the patient a pixel: the detector's spacing over the magnification. Of a slot view
            v is not magnified. (1, 1) gives pixels.
    """
    ends = corners.corners_px.double().reshape(-1, 2, 2, 2) * torch.tensor(mm_per_px, dtype=torch.float64)
    return torch.hypot(*(ends[:, 0] - ends[:, 1]).unbind(dim=-1))


def _wedges(levels: tuple[str, ...], tilts_deg: Float[Tensor, "l 2"]) -> tuple[Wedge, ...]:
    rows: list[tuple[float, float]] = [(a, b) for a, b in tilts_deg.double().tolist()]
    found = []
    for row, (superior, inferior) in enumerate(rows):
        found.append(Wedge(levels[row], superior - inferior))
        if row + 1 < len(rows):
            found.append(Wedge(_between(levels[row], levels[row + 1]), inferior - rows[row + 1][0]))
    return tuple(w for w in found if math.isfinite(w.wedge_deg))


def _between(upper: str, lower: str) -> str:
    gap = level_index(lower) - level_index(upper)
    usual = gap == 1 or (upper, lower) in (("T12", "L1"), ("L5", "S1"))
    return f"{upper}/{lower}" if usual else f"{upper}-{lower}"
