"""Readings of marks on an ultrasound image: the ultrasound angle of the true curves, and how far landmarks lie off."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.evaluate.case import MarksTruth
from spondyl.evaluate.quantities import Reading
from spondyl.measure.cobb import is_scoliotic
from spondyl.measure.ultrasound_angle import arch_lines, line_tilts_deg, uca
from spondyl.spine import Cobb, Side, UltrasoundMarks


def read_marks(answer: UltrasoundMarks | None, seen: MarksTruth, truth: MarksTruth) -> tuple[Reading, ...]:
    """All readings of an answer to the image of `seen`, held against `truth`."""
    readings = []
    for curve in truth.curves:
        right = _angle(truth.marks, curve, truth.mm_per_px) if is_scoliotic(curve) else None
        if right is not None:
            got = None if answer is None else _angle(answer, curve, seen.mm_per_px)
            readings.append(Reading("uca", f"{curve.upper}-{curve.lower}", right, got))
    return (*readings, Reading("mark_mm", "", None, None if answer is None else _error_mm(answer, truth)))


def _angle(marks: UltrasoundMarks, curve: Cobb, mm_per_px: tuple[float, float]) -> float | None:
    """The angle between a curve's ends, negative where it bends the other way; None where an end was not seen."""
    tilts = line_tilts_deg(arch_lines(marks.levels, marks.transverse_px, marks.laminae_px), mm_per_px)
    rows = torch.isfinite(tilts).nonzero().flatten()
    levels = tuple(marks.levels[i] for i in rows.tolist())
    if curve.upper not in levels or curve.lower not in levels:
        return None
    sides: tuple[tuple[Side, float], ...] = (("right", 1.0), ("left", -1.0))
    signed = [sign * _positive(levels, tilts[rows], curve, side) for side, sign in sides]
    way = 1.0 if curve.side == "right" else -1.0
    return way * max(signed, key=abs)


def _positive(levels: tuple[str, ...], tilts: Float[Tensor, "l"], curve: Cobb, side: Side) -> float:
    try:
        return uca(levels, tilts, upper=curve.upper, lower=curve.lower, side=side).angle_deg
    except ValueError:  # the lines bend the other way and make no angle
        return 0.0


def _error_mm(answer: UltrasoundMarks, truth: MarksTruth) -> float | None:
    """Mean distance of the landmarks that both have, level by level; None where there is none."""
    right, rows = truth.marks, [level for level in answer.levels if level in truth.marks.levels]
    if not rows:
        return None
    a, b = [answer.levels.index(level) for level in rows], [right.levels.index(level) for level in rows]
    pairs = ((answer.transverse_px[a], right.transverse_px[b]), (answer.laminae_px[a], right.laminae_px[b]),
             (answer.spinous_px[a], right.spinous_px[b]))  # fmt: skip
    away = torch.cat([(got - wanted).double().reshape(-1, 2) for got, wanted in pairs])
    mean = float((away * away.new_tensor(truth.mm_per_px)).norm(dim=1).nanmean())
    return mean if math.isfinite(mean) else None
