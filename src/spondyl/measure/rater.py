"""A virtual rater: reads a Cobb angle off exact corners as unsteadily as people do.

Two errors. The hand: every endplate's two corners are set off along the endplate's normal, so its line tilts. The eye: the
end vertebrae are chosen by tilts that are only judged. Each has a part that is new at every reading, and a part that one
rater keeps for one film; two readings of a film share the second, two raters share nothing.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.measure.cobb import cobb_between
from spondyl.measure.tilt import TiltProfile, tilts_of_corners
from spondyl.spine import Cobb, Corners

# 95 % limits of the difference of two readings, degrees (Morrissy 1990, J Bone Joint Surg Am 72:320).
INTRA_FIXED_DEG, INTER_FIXED_DEG = 3.8, 6.3
INTRA_FREE_DEG, INTER_FREE_DEG = 4.9, 7.2
TWO_SIDED_95 = 1.959964
REACH = 2  # levels outside of a curve that a rater still takes for its end


def corner_share(limit_deg: float) -> float:
    """SD of a corner over the length of its endplate's chord, for a 95 % limit between two readings with fixed ends.

    With corners set off by independent normal errors of SD s c along the normal of a chord c, a line's tilt has an SD of
    sqrt(2) s radians, a Cobb angle (two lines) 2 s, the difference of two readings 2 sqrt(2) s. Hence
    s = limit / (1.96 * 2 sqrt(2)), limit in radians; exact for small angles.

    Raises:
        ValueError: for a negative limit.
    """
    if not limit_deg >= 0:
        raise ValueError(f"limit_deg is {limit_deg}; wanted zero or more degrees")
    return math.radians(limit_deg) / (TWO_SIDED_95 * 2 * math.sqrt(2))


@dataclass(frozen=True)
class Rater:
    """How unsteady a rater is. The defaults are those of four orthopaedic surgeons with their own protractors (Morrissy 1990).

    The hand follows from the limits with fixed end vertebrae in closed form (`corner_share`). The eye has none: it was found
    by bisection on 600 virtual patients, six raters each, so that the limits with a free choice come out
    (`benchmarks/rater_rows.py`).

    Args:
        hand: SD of a corner over its endplate's chord, new at every reading.
        hand_habit: the same, kept by one rater for one film.
        eye_deg: SD of an endplate's judged tilt where the end vertebrae are chosen, new at every reading.
        eye_habit_deg: the same, kept by one rater for one film.
    """

    hand: float = corner_share(INTRA_FIXED_DEG)
    hand_habit: float = math.sqrt(corner_share(INTER_FIXED_DEG) ** 2 - corner_share(INTRA_FIXED_DEG) ** 2)
    eye_deg: float = 0.54
    eye_habit_deg: float = 2.0

    def __post_init__(self) -> None:
        for name in ("hand", "hand_habit", "eye_deg", "eye_habit_deg"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}; wanted a finite number from 0 on")


@dataclass(frozen=True, eq=False)
class Habit:
    """What one rater keeps for one film: two readings by the same rater share it.

    Args:
        corners: how far each corner is set off over its endplate's chord: superior, inferior x low-u, high-u.
        tilts_deg: by how much each endplate's tilt is misjudged.
    """

    corners: Float[Tensor, "l 2 2"]
    tilts_deg: Float[Tensor, "l 2"]

    @classmethod
    def drawn(cls, rater: Rater, levels: int, *, generator: torch.Generator) -> "Habit":
        """A habit for a film that shows so many levels."""
        noise = torch.randn(levels, 2, 3, generator=generator, device=generator.device)
        return cls(rater.hand_habit * noise[..., :2], rater.eye_habit_deg * noise[..., 2])


def set_off(corners: Corners, shares: Float[Tensor, "l 2 2"]) -> Corners:
    """The corners moved along their endplates' normals (cranially for a positive share) by shares of the chord's length.

    Of a view with unequal pixels lengths and normals are those of its millimetres. Corners that are not visible stay so.
    """
    dv, du = (1.0, 1.0) if corners.view is None else corners.view.pixel_spacing_mm
    scale = corners.corners_px.new_tensor([dv, du])
    ends = (corners.corners_px * scale).reshape(-1, 2, 2, 2)
    chord = ends[:, :, 1] - ends[:, :, 0]
    normal = torch.stack([-chord[..., 1], chord[..., 0]], dim=-1)  # (v, u), as long as the chord
    moved = ends + shares.to(ends)[..., None] * normal[:, :, None]
    return replace(corners, corners_px=(moved / scale).reshape(-1, 4, 2))


def shaken(corners: Corners, share: float, *, generator: torch.Generator) -> Corners:
    """The corners with independent normal errors of SD `share` times the chord along their endplates' normals."""
    noise = torch.randn(len(corners.levels), 2, 2, generator=generator, device=generator.device)
    return set_off(corners, share * noise)


def chosen_ends(judged: TiltProfile, asked: Cobb) -> tuple[str, str]:
    """End vertebrae of a known curve by these tilts: the most tilted superior and inferior endplate around its ends.

    Looked for from REACH levels outside of the curve to its middle. Endplates that were not seen are passed over.
    """
    first, last = (judged.levels.index(level) for level in (asked.upper, asked.lower))
    way, middle = (1.0 if asked.side == "right" else -1.0), (first + last) // 2
    tilts = way * judged.tilts_deg
    start, stop = max(first - REACH, 0), min(last + REACH, len(judged.levels) - 1)
    above = torch.nan_to_num(tilts[start : middle + 1, 0], nan=-math.inf)
    below = torch.nan_to_num(tilts[middle : stop + 1, 1], nan=math.inf)
    return judged.levels[start + int(above.argmax())], judged.levels[middle + int(below.argmin())]


def read_cobb(
    corners: Corners,
    asked: Cobb,
    rater: Rater,
    habit: Habit,
    *,
    generator: torch.Generator,
    free: bool = True,
    left_is_low_u: bool | None = None,
    u_magnification: float | None = None,
) -> Cobb:
    """One reading of one curve of a coronal film by one rater.

    Args:
        corners: exact ones.
        asked: the curve that is read, as `measure.cobb` finds it in the exact corners.
        habit: of this rater for this film.
        free: whether the rater chooses the end vertebrae; with fixed ends those of `asked` are taken.
        left_is_low_u, u_magnification: as in `tilts_of_corners`.

    Raises:
        ValueError: what `tilts_of_corners` and `cobb_between` raise.
    """
    n = len(corners.levels)
    noise = torch.randn(n, 2, 3, generator=generator, device=generator.device)
    moved = set_off(corners, habit.corners + rater.hand * noise[..., :2])
    exact, lines = (
        tilts_of_corners(c, left_is_low_u=left_is_low_u, u_magnification=u_magnification) for c in (corners, moved)
    )
    upper, lower = asked.upper, asked.lower
    if free:
        errors = (habit.tilts_deg + rater.eye_deg * noise[..., 2]).to(exact.tilts_deg)
        upper, lower = chosen_ends(replace(exact, tilts_deg=exact.tilts_deg + errors), asked)
    return cobb_between(lines, upper, lower)
