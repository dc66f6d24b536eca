"""A scanned person bent along the coronal curves of a virtual patient, as far as the scan's own spine takes them."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from spondyl.sim.deform import bend
from spondyl.sim.make import Drawn, Wish, patient_for
from spondyl.sim.patient.posture import Curve
from spondyl.sim.reposed import with_cobb
from spondyl.spine import SpineCurve, level_index

LEAST_LEVELS = 3  # a curve of which fewer levels are visible is left out
STEPS = 12  # angles that the discs do not take are tried again, a twelfth smaller each time


def bent(wish: Wish, *, generator: torch.Generator) -> Drawn:
    """The scan of a wish bent to the curves of a patient drawn for it; kyphosis, lordosis and body stay the scan's own.

    Raises:
        ValueError: where the wish has no scan.
    """
    if wish.scan is None:
        raise ValueError("no scan came to bend; give a labelled CT")
    patient = patient_for(wish, generator=generator)
    curves = curves_within(patient.posture.curves, wish.scan.spine.levels)
    return Drawn(bend(wish.scan, bent_spine(wish.scan.spine, curves)), patient)


def curves_within(curves: Sequence[Curve], levels: Sequence[str]) -> tuple[Curve, ...]:
    """The part of each curve that lies on visible levels above the sacrum, its angle in proportion to its length."""
    free = [level for level in levels if level != "S1"]
    kept: list[Curve] = []
    for curve in curves:
        inside = [lv for lv in free if level_index(curve.upper) <= level_index(lv) <= level_index(curve.lower)]
        if len(inside) < LEAST_LEVELS:
            continue
        share = (level_index(inside[-1]) - level_index(inside[0])) / (
            level_index(curve.lower) - level_index(curve.upper)
        )
        part = replace(curve, upper=inside[0], lower=inside[-1], cobb_deg=curve.cobb_deg * share)
        if kept and kept[-1].side == part.side:  # one between them was left out
            break
        kept.append(part)
    return tuple(kept)


def bent_spine(spine: SpineCurve, curves: Sequence[Curve]) -> SpineCurve:
    """The spine in these curves, all of them smaller by one share where the discs would close; straight where none can be.

    Raises:
        ValueError: where not even a straight spine can be made of it.
    """
    for step in range(STEPS, 0, -1):
        try:
            return with_cobb(spine, curves=[_scaled(curve, step / STEPS) for curve in curves])
        except ValueError:
            continue
    return with_cobb(spine, curves=())


def _scaled(curve: Curve, share: float) -> Curve:
    turn = None if curve.rotation_deg is None else curve.rotation_deg * share
    return replace(curve, cobb_deg=curve.cobb_deg * share, rotation_deg=turn)
