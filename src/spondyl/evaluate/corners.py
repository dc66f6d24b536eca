"""Readings of corners: Cobb, AASCE and sagittal angles, end vertebrae, and how many vertebrae were found and named."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.evaluate.case import SpineTruth
from spondyl.evaluate.quantities import Reading
from spondyl.measure.aasce import AasceAngles, aasce_angles
from spondyl.measure.cobb import cobb_angles, cobb_between, is_scoliotic, main_curve
from spondyl.measure.sagittal import LeanProfile, leans_of_corners
from spondyl.measure.tilt import TiltProfile, tilts_of_corners
from spondyl.metrics.angles import cmae_deg, smape_percent
from spondyl.spine import LEVELS, Cobb, Corners

LEAST_LEVELS = 2  # of fewer vertebrae nobody reads an angle
NEAR = 0.5  # a vertebra is found where an answer's middle is nearer than this many steps to the next vertebra
HALF_BELOW = {"T13": "T12", "L6": "L5"}


def read_corners(answer: Corners | None, seen: SpineTruth, truth: SpineTruth) -> tuple[Reading, ...]:
    """All readings of an answer.

    Args:
        answer: None where the system gave none.
        seen: of the case whose picture was read; another one than `truth` where inputs are shuffled.
        truth: what the answer is held against.
    """
    usable = answer if answer is not None and len(answer.levels) >= LEAST_LEVELS else None
    angles = _sagittal(usable, seen, truth) if truth.plane == "sagittal" else _coronal(usable, seen, truth)
    return (*angles, *_places(usable, truth))


def level_number(level: str) -> float:
    """A level as a number that grows by one from level to level; T13 and L6, which few have, lie half a step below."""
    usual = [name for name in LEVELS if name not in HALF_BELOW]
    above = HALF_BELOW.get(level)
    return float(usual.index(level)) if above is None else usual.index(above) + 0.5


def level_name(number: float) -> str:
    """The level nearest to such a number, cranial to caudal: what a mean of levels is called."""
    return min(LEVELS, key=lambda level: abs(level_number(level) - number))


def aasce_readings(truth: AasceAngles, got: AasceAngles | None) -> tuple[Reading, ...]:
    """The three angles, and the challenge's two scores of them."""
    names = ("main", "upper", "lower")
    wanted = (truth.main_deg, truth.upper_deg, truth.lower_deg)
    values = (None, None, None) if got is None else (got.main_deg, got.upper_deg, got.lower_deg)
    angles = [Reading(f"aasce_{n}", "", w, v) for n, w, v in zip(names, wanted, values, strict=True)]
    return (*angles, *aasce_scores(angles))


def aasce_scores(angles: Sequence[Reading]) -> tuple[Reading, ...]:
    """SMAPE and CMAE of the three angles of one film; nothing where it has no such angles, failures where one was not read."""
    three = [r for r in angles if r.quantity in ("aasce_main", "aasce_upper", "aasce_lower")]
    if len(three) != 3:
        return ()
    wanted = torch.tensor([[math.nan if r.truth is None else r.truth for r in three]], dtype=torch.float64)
    got = torch.tensor([[math.nan if r.value is None else r.value for r in three]], dtype=torch.float64)
    if not bool(torch.isfinite(got).all()) or float((wanted + got).sum()) == 0:
        return (Reading("smape", "", None, None), Reading("cmae", "", None, None))
    smape, cmae = float(smape_percent(got, wanted)), float(cmae_deg(got, wanted))
    return (Reading("smape", "", None, smape), Reading("cmae", "", None, cmae))


def _coronal(answer: Corners | None, seen: SpineTruth, truth: SpineTruth) -> list[Reading]:
    readings: list[Reading] = []
    if truth.aasce is not None:
        got = None if answer is None else aasce_angles(answer, rows_px=seen.rows_px)
        readings += aasce_readings(truth.aasce, got)
    right = tilts_of_corners(truth.corners, u_magnification=truth.u_magnification)
    profile = None if answer is None else tilts_of_corners(answer, u_magnification=seen.u_magnification)
    profile = profile if profile is not None and _readable(profile) else None
    curves = cobb_angles(right)
    found = () if profile is None else cobb_angles(profile)
    if _readable(right):
        value = None if profile is None else _largest(found)
        readings.append(Reading("main_cobb", "", _largest(curves), value))
        if truth.largest_in_space_deg is not None:
            readings.append(Reading("main_cobb_space", "", truth.largest_in_space_deg, value))
    for curve in curves:
        if is_scoliotic(curve) and curve.upper != curve.lower:
            value = None if profile is None else _between(profile, curve)
            readings.append(Reading("curve_cobb", f"{curve.upper}-{curve.lower}", curve.angle_deg, value))
    main = main_curve(curves)
    if main is not None and is_scoliotic(main):
        match = _same_curve(found, main)
        ends = (("upper_end", main.upper, match and match.upper), ("lower_end", main.lower, match and match.lower))
        readings += [Reading(n, "", level_number(t), level_number(v) if v else None) for n, t, v in ends]
    return readings


def _readable(profile: TiltProfile) -> bool:
    return int(torch.isfinite(profile.tilts_deg).any(dim=1).sum()) >= LEAST_LEVELS


def _largest(curves: Sequence[Cobb]) -> float:
    main = main_curve(curves)
    return 0.0 if main is None else main.angle_deg


def _between(profile: TiltProfile, curve: Cobb) -> float | None:
    """The angle between a curve's end vertebrae, negative where it bends the other way; None where an end was not seen."""
    try:
        got = cobb_between(profile, curve.upper, curve.lower)
    except ValueError:
        return None
    return got.angle_deg if got.side == curve.side else -got.angle_deg


def _same_curve(curves: Sequence[Cobb], wanted: Cobb) -> Cobb | None:
    """The curve that shares the longest run of levels with `wanted`, among those that bend the same way if there are any."""

    def shared(curve: Cobb) -> float:
        low = max(level_number(curve.upper), level_number(wanted.upper))
        return min(level_number(curve.lower), level_number(wanted.lower)) - low

    overlapping = [c for c in curves if shared(c) > 0]
    return max(overlapping, key=lambda c: (c.side == wanted.side, shared(c), c.angle_deg), default=None)


def _sagittal(answer: Corners | None, seen: SpineTruth, truth: SpineTruth) -> list[Reading]:
    right = _angles(leans_of_corners(truth.corners, u_magnification=truth.u_magnification))
    got = None if answer is None else _angles(leans_of_corners(answer, u_magnification=seen.u_magnification))
    names = ("kyphosis", "lordosis", "sacral_slope")
    values = (None, None, None) if got is None else got
    return [Reading(n, "", t, v) for n, t, v in zip(names, right, values, strict=True) if t is not None]


def _angles(profile: LeanProfile) -> tuple[float | None, ...]:
    """Kyphosis T4 to the last thoracic level, lordosis L1 to S1, sacral slope; None where an endplate was not seen."""
    last = "T13" if "T13" in profile.levels else "T12"
    slope = profile.lean_deg("S1", "superior")
    kyphosis = profile.lean_deg("T4", "superior") - profile.lean_deg(last, "inferior")
    lordosis = slope - profile.lean_deg("L1", "superior")
    return tuple(angle if math.isfinite(angle) else None for angle in (kyphosis, lordosis, slope))


def _places(answer: Corners | None, truth: SpineTruth) -> list[Reading]:
    """Found, named and corner errors; an answer's vertebra belongs to the true one that it lies on, whatever its name."""
    seen = torch.isfinite(truth.corners.corners_px).all(dim=2).any(dim=1)
    levels = [level for level, s in zip(truth.corners.levels, seen.tolist(), strict=True) if s]
    right = truth.corners.corners_px[seen].double()
    if len(levels) < LEAST_LEVELS:
        return []
    names = ("found", "named", "corner_share", *(("corner_mm",) if truth.mm_per_px else ()))
    if answer is None:
        return [Reading(name, "", None, 0.0 if name == "found" else None) for name in names]
    pairs = _pairs(answer, right, levels)
    found = Reading("found", "", None, 100 * len(pairs) / len(levels))
    if not pairs:
        return [found, *(Reading(name, "", None, None) for name in names[1:])]
    rows, own = [a for a, _ in pairs], [b for _, b in pairs]
    named = 100 * sum(levels[a] == answer.levels[b] for a, b in pairs) / len(pairs)
    away = answer.corners_px[own].double() - right[rows]
    width = float(_length(right[:, 1::2] - right[:, ::2], (1.0, 1.0)).nanmean())
    scores = [found, Reading("named", "", None, named)]
    scores.append(Reading("corner_share", "", None, _finite(100 * float(_length(away, (1.0, 1.0)).nanmean()) / width)))
    if truth.mm_per_px:
        scores.append(Reading("corner_mm", "", None, _finite(float(_length(away, truth.mm_per_px).nanmean()))))
    return scores


def _pairs(answer: Corners, right: Float[Tensor, "l 4 2"], levels: Sequence[str]) -> list[tuple[int, int]]:
    """Rows of true vertebrae that were found, and the nearest row of the answer to each."""
    middles, own = right.nanmean(dim=1), answer.corners_px.double().nanmean(dim=1)
    there = torch.isfinite(own).all(dim=1)
    if not bool(there.any()):
        return []
    step = float(middles.diff(dim=0).norm(dim=1).median())
    away = torch.where(there, torch.cdist(middles, own.nan_to_num()), torch.inf)
    near, which = away.min(dim=1)
    return [(row, int(which[row])) for row in range(len(levels)) if float(near[row]) < NEAR * step]


def _length(vectors: Float[Tensor, "*n 2"], scale: tuple[float, float]) -> Float[Tensor, "*n"]:
    length: Tensor = torch.linalg.norm(vectors * vectors.new_tensor(scale), dim=-1)
    return length


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
