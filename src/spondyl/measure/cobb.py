"""Cobb angles: every coronal curve between the most tilted endplates, from a spine in space or corners in a picture.

Cobb (1948), with the free choice of end vertebrae made exact: the tilts of all endplates form one sequence, its
alternating extrema bound the curves, neighbours share an extremum.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from spondyl.measure.curve import Reading
from spondyl.measure.tilt import TiltProfile, tilts_of_corners, tilts_of_spine
from spondyl.spine import Cobb, Corners, SpineCurve, level_index

# Reversals of tilt below this are no curve, degrees: one reader repeats an angle with fixed ends within 2.8 to 3.8
# degrees, 95 % (Morrissy 1990, J Bone Joint Surg Am 72:320), and a 3 mm label turns an endplate by 1 to 2.
LEAST_REVERSAL_DEG = 3.0
# A curve is called scoliosis from here on, degrees (SRS); strictly only with rotation, which is not asked here.
SCOLIOSIS_DEG = 10.0

Region = Literal["C", "PT", "MT", "TL", "L"]


def cobb_angles(profile: TiltProfile, *, least_reversal_deg: float = LEAST_REVERSAL_DEG) -> tuple[Cobb, ...]:
    """All curves of a spine, cranial to caudal; none where the tilt nowhere reverses by `least_reversal_deg`.

    The angle is taken from the superior endplate of the upper to the inferior endplate of the lower end vertebra; where
    the extremum itself lies on the other endplate, the most tilted one of the right kind around it is used. The apex is
    the vertebra or disc furthest from the chord between the two, measured horizontally.
    """
    ends = _seen(profile)
    turns = _turning_points([e.tilt_deg for e in ends], least_reversal_deg)
    curves = []
    for k in range(len(turns) - 1):
        before = turns[k - 1] + 1 if k > 0 else 0
        after = turns[k + 2] if k + 2 < len(turns) else len(ends)
        first, last = turns[k], turns[k + 1]
        way = math.copysign(1.0, ends[first].tilt_deg - ends[last].tilt_deg)
        uppers = [e for e in ends[before:last] if e.superior]
        lowers = [e for e in ends[first + 1 : after] if not e.superior]
        if not uppers or not lowers:
            continue
        upper = max(uppers, key=lambda e: (way * e.tilt_deg, -abs(e.place - ends[first].place)))
        lower = min(lowers, key=lambda e: (way * e.tilt_deg, abs(e.place - ends[last].place)))
        if upper.row <= lower.row and way * (upper.tilt_deg - lower.tilt_deg) >= least_reversal_deg:
            curves.append(_curve(profile, upper.row, lower.row))
    return tuple(curves)


def cobb_from_spine(spine: SpineCurve, *, least_reversal_deg: float = LEAST_REVERSAL_DEG) -> tuple[Cobb, ...]:
    """All curves of a spine in space: its endplates' normals projected onto the world's coronal plane."""
    return cobb_angles(tilts_of_spine(spine), least_reversal_deg=least_reversal_deg)


def cobb_from_reading(reading: Reading) -> tuple[Cobb, ...]:
    """All curves of a spine read off a labelled CT; reversals of tilt below one voxel's step across a body are no curve."""
    least = max(LEAST_REVERSAL_DEG, float(reading.step_deg.median()))
    return cobb_from_spine(reading.spine, least_reversal_deg=least)


def cobb_from_corners(
    corners: Corners,
    *,
    left_is_low_u: bool | None = None,
    u_magnification: float | None = None,
    least_reversal_deg: float = LEAST_REVERSAL_DEG,
) -> tuple[Cobb, ...]:
    """All curves of a coronal picture.

    Args:
        left_is_low_u: whether the patient's left lies at low columns; asked for only where the corners know no view.
        u_magnification: source-detector over source-spine distance; asked for only where the view is a slot's.

    Raises:
        ValueError: for a lateral view, where nothing tells left from right, for a slot view without magnification.
    """
    profile = tilts_of_corners(corners, left_is_low_u=left_is_low_u, u_magnification=u_magnification)
    return cobb_angles(profile, least_reversal_deg=least_reversal_deg)


def cobb_between(profile: TiltProfile, upper: str, lower: str) -> Cobb:
    """The angle between fixed end vertebrae, as when a curve is followed from film to film.

    Raises:
        ValueError: where a level or its endplate was not seen, or `upper` lies below `lower`.
    """
    for level in (upper, lower):
        if level not in profile.levels:
            raise ValueError(f"{level} is not among the levels seen ({' '.join(profile.levels)}); choose one of them")
    first, last = profile.levels.index(upper), profile.levels.index(lower)
    if first > last:
        raise ValueError(f"upper {upper} lies below lower {lower}; swap them")
    for row, end, name in ((first, 0, "superior"), (last, 1, "inferior")):
        if not math.isfinite(float(profile.tilts_deg[row, end])):
            raise ValueError(f"the {name} endplate of {profile.levels[row]} was not seen; choose another end vertebra")
    return _curve(profile, first, last)


def main_curve(curves: Sequence[Cobb]) -> Cobb | None:
    """The largest curve, the upper one of two equals; None where there is none."""
    return max(curves, key=lambda c: c.angle_deg, default=None)


def is_scoliotic(cobb: Cobb) -> bool:
    """Whether the curve reaches 10 degrees."""
    return cobb.angle_deg >= SCOLIOSIS_DEG


def region(cobb: Cobb) -> Region:
    """A curve's name by its apex: PT T3-T5, MT T6 to disc T11/12, TL T12-L1, L disc L1/2 and below (SRS glossary).

    Apices that the glossary leaves out go to the neighbour: T1 to T2/3 and disc T5/6 to PT, below L4 to L, T13 to TL;
    disc C7/T1 and above are C. Between T11 and L1 of a spine without T12 counts as TL.
    """
    at = [level_index(level) for level in cobb.apex.split("/")]
    place = sum(at) / len(at)
    if place < level_index("T1"):
        return "C"
    if place < level_index("T6"):
        return "PT"
    if place <= (level_index("T11") + level_index("T12")) / 2:
        return "MT"
    return "TL" if place <= level_index("L1") else "L"


@dataclass(frozen=True)
class _End:
    """One endplate that was seen; place counts endplates from cranial to caudal."""

    row: int
    superior: bool
    tilt_deg: float

    @property
    def place(self) -> int:
        return 2 * self.row + (not self.superior)


def _seen(profile: TiltProfile) -> list[_End]:
    rows = enumerate(profile.tilts_deg.tolist())
    return [_End(row, k == 0, t) for row, pair in rows for k, t in enumerate(pair) if math.isfinite(t)]


def _turning_points(tilts: Sequence[float], least: float) -> list[int]:
    """Places of alternating extrema that differ by at least `least` from one to the next; empty for a straight spine."""
    low = high = last = 0
    rising: bool | None = None
    turns: list[int] = []
    for i, t in enumerate(tilts):
        if rising is None:
            # Of equal tilts above the first curve the lowest bounds it.
            low, high = (i if t <= tilts[low] else low), (i if t >= tilts[high] else high)
            if tilts[high] - tilts[low] >= least:
                rising = high > low
                turns, last = [min(low, high)], max(low, high)
        elif (t > tilts[last]) if rising else (t < tilts[last]):
            last = i
        elif abs(t - tilts[last]) >= least:
            turns.append(last)
            rising, last = not rising, i
    return [] if rising is None else [*turns, last]


def _curve(profile: TiltProfile, first: int, last: int) -> Cobb:
    """The curve between two rows."""
    difference = float(profile.tilts_deg[first, 0]) - float(profile.tilts_deg[last, 1])
    # The upper end leans over to the concave side, so its right end is high where the spine is convex to the right.
    right = difference >= 0
    return Cobb(
        angle_deg=abs(difference),
        upper=profile.levels[first],
        lower=profile.levels[last],
        apex=_apex(profile, first, last, towards_left=-1.0 if right else 1.0),
        side="right" if right else "left",
    )


def _apex(profile: TiltProfile, first: int, last: int, towards_left: float) -> str:
    """The vertebra or disc furthest to the convex side of the chord between the end vertebrae's outer endplates."""
    middle = profile.midpoints.tolist()
    (x0, z0), (x1, z1) = middle[first][0], middle[last][1]
    best, furthest = profile.levels[first], -math.inf
    for row in range(first, last + 1):
        below = min(row + 1, last)
        disc = f"{profile.levels[row]}/{profile.levels[below]}"
        spots = [(profile.levels[row], middle[row][0], middle[row][1])]
        spots += [(disc, middle[row][1], middle[below][0])] if below > row else []
        for name, a, b in spots:
            x, z = (a[0] + b[0]) / 2, (a[1] + b[1]) / 2
            off = towards_left * (x - x0 - (x1 - x0) * (z - z0) / (z1 - z0)) if z1 != z0 else math.nan
            if off > furthest:
                best, furthest = name, off
    return best
