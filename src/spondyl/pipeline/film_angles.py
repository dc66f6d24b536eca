"""The angles of one film from its corners, each with its interval: Cobb angles of a PA, kyphosis and lordosis of a lateral."""

import math
from collections.abc import Sequence

import torch

from spondyl.measure.balance import coronal_balance_mm
from spondyl.measure.cobb import LEAST_REVERSAL_DEG, cobb_angles, main_curve, region
from spondyl.measure.interval import AngleSpread, Calibration, cobb_spread, sagittal_spread, tilt_sd_deg
from spondyl.measure.lenke import lenke_like
from spondyl.measure.sagittal import (
    WANTED,
    Facing,
    LeanProfile,
    angles_of_leans,
    leans_of_corners,
    missing,
    sacral_slope_deg,
)
from spondyl.measure.tilt import TiltProfile, tilts_of_corners
from spondyl.report.angles import REGIONS
from spondyl.report.film_record import FilmAngle
from spondyl.spine import Cobb, Corners, Sagittal, Side, level_index

# A reversal of tilt within the noise of reading two endplates is no curve: 95 % one-sided normal quantile.
NOISE_SDS = 1.645
# Kyphosis and lordosis together must turn the spine by this before they tell front from back, degrees [engineering].
LEAST_TURN_DEG = 15.0
SACRAL_SLOPE = "Sacral slope"


def coronal_angles(
    square: Corners, *, left_is_low_u: bool, calibration: Calibration, generator: torch.Generator
) -> tuple[FilmAngle, ...]:
    """All Cobb angles of a PA or AP film, the main one first, then from cranial to caudal.

    Args:
        square: corners in square pixels, with their spread.
    """
    profile = tilts_of_corners(square, left_is_low_u=left_is_low_u)
    curves = cobb_angles(profile, least_reversal_deg=least_reversal_deg(square))
    main = main_curve(curves)
    rows = []
    for curve in sorted(curves, key=lambda c: (c is not main, level_index(c.upper))):
        low, high = _cobb_interval(square, curve, left_is_low_u, calibration, generator)
        rows.append(
            FilmAngle(
                name=f"Cobb, {REGIONS[region(curve)]}",
                plane="coronal",
                upper=f"{curve.upper} superior",
                lower=f"{curve.lower} inferior",
                angle_deg=curve.angle_deg,
                low_deg=low,
                high_deg=high,
                apex=curve.apex,
                side=curve.side,
                main=curve is main,
            )
        )
    return tuple(rows)


def least_reversal_deg(square: Corners) -> float:
    """Below this a reversal of tilt is no curve: the ruler's own bound, or the noise of this reading where that is more."""
    if square.spread_px is None:
        return LEAST_REVERSAL_DEG
    sds = tilt_sd_deg(square, square.spread_px)
    known = sds[torch.isfinite(sds)]
    if not len(known):
        return LEAST_REVERSAL_DEG
    return max(LEAST_REVERSAL_DEG, NOISE_SDS * math.sqrt(2) * float(known.median()))


def lenke_words(angles: Sequence[FilmAngle]) -> str:
    """Every Lenke type that this standing film alone allows; nothing where no curve reaches 10 degrees."""
    curves = [_cobb(a) for a in angles if a.plane == "coronal"]
    found = lenke_like(curves)
    return found.text if found.types else ""


def balance_mm(profile: TiltProfile, mm_per_px: float) -> float | None:
    """C7 plumb line to the sacral middle, to the right positive; None where C7 or S1 was not found."""
    try:
        return coronal_balance_mm(profile, mm_per_unit=mm_per_px)
    except ValueError:
        return None


def facing(square: Corners) -> Facing | None:
    """Which way the patient of a lateral looks, from the spine itself: thoracic kyphosis and lumbar lordosis bend to their
    usual sides. None where the spine is too straight, or too little of it was seen, to tell.
    """
    profile = leans_of_corners(square, faces="right")
    turn = _turn(profile, "T", ("T",)) - _turn(profile, "L", ("L", "S"))
    if abs(turn) < LEAST_TURN_DEG:
        return None
    return "right" if turn > 0 else "left"


def sagittal_angles_of(square: Corners, *, faces: Facing, calibration: Calibration) -> tuple[FilmAngle, ...]:
    """Kyphosis, lordosis and sacral slope of a lateral, those to read first marked."""
    profile = leans_of_corners(square, faces=faces)
    found = angles_of_leans(profile)
    named = [(_name(angle), angle) for angle in found]
    first = [next((name for name in names if name in dict(named)), "") for names in FIRST]
    rows = []
    for name, angle in named:
        sign = -1.0 if name.startswith("Lordosis") else 1.0
        value = sign * angle.kyphosis_deg
        low, high = _sagittal_interval(square, angle, faces, calibration, sign)
        rows.append(FilmAngle(name, "sagittal", angle.upper, angle.lower, value, low, high, main=name in first))
    slope = sacral_slope_deg(profile)
    if slope is not None:
        low, high = _slope_interval(square, slope, calibration)
        rows.append(FilmAngle(SACRAL_SLOPE, "sagittal", "S1 superior", "horizontal", slope, low, high))
    return tuple(rows)


def missing_on_lateral(square: Corners, faces: Facing) -> tuple[str, ...]:
    """A sentence for every angle that was wanted and cannot be had."""
    return missing(leans_of_corners(square, faces=faces))


# The sagittal angles to read first; where an endplate was not found, the next best.
FIRST = (("Kyphosis T4–T12", "Kyphosis T5–T12"), ("Lordosis L1–S1", "Lordosis L1–L5"))


def _name(angle: Sagittal) -> str:
    upper, lower = angle.upper.split()[0], angle.lower.split()[0]
    wanted = next((w.name for w in WANTED if (w.upper, w.lower) == (upper, lower)), "angle")
    return f"{wanted.capitalize()} {upper}–{lower}"


def _turn(profile: LeanProfile, first: str, letters: tuple[str, ...]) -> float:
    """Lean of the uppermost less that of the lowest endplate of a region; 0 where it has fewer than two."""
    rows = [i for i, level in enumerate(profile.levels) if level[0] in letters]
    ends = profile.leans_deg[rows].flatten()
    seen = ends[torch.isfinite(ends)]
    return float(seen[0] - seen[-1]) if len(seen) > 1 and profile.levels[rows[0]][0] == first else 0.0


def _cobb_interval(
    square: Corners, curve: Cobb, left_is_low_u: bool, calibration: Calibration, generator: torch.Generator
) -> tuple[float | None, float | None]:
    if square.spread_px is None:
        return None, None
    try:
        spread = cobb_spread(square, square.spread_px, curve, generator=generator, left_is_low_u=left_is_low_u)
    except ValueError:  # a spread that is zero or not a number has no interval
        return None, None
    return calibration.interval_deg(spread)


def _sagittal_interval(
    square: Corners, angle: Sagittal, faces: Facing, calibration: Calibration, sign: float
) -> tuple[float | None, float | None]:
    if square.spread_px is None:
        return None, None
    try:
        spread = sagittal_spread(square, square.spread_px, angle, faces=faces)
    except ValueError:
        return None, None
    ends = sorted(sign * x for x in calibration.interval_deg(spread, least_deg=-180.0))
    return ends[0], ends[1]


def _slope_interval(square: Corners, slope: float, calibration: Calibration) -> tuple[float | None, float | None]:
    if square.spread_px is None:
        return None, None
    sd = float(tilt_sd_deg(square, square.spread_px)[square.levels.index("S1"), 0])
    if not (math.isfinite(sd) and sd > 0):
        return None, None
    return calibration.interval_deg(AngleSpread(slope, 0.0, sd), least_deg=-180.0)


def _cobb(angle: FilmAngle) -> Cobb:
    side: Side = "left" if angle.side == "left" else "right"
    return Cobb(angle.angle_deg, angle.upper.split()[0], angle.lower.split()[0], angle.apex, side)
