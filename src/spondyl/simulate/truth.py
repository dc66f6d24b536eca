"""The angles of an exact spine, as a cohort records them, and the regions of shape that a split can hold out."""

import math

import torch

from spondyl.io.case_record import CurveTruth, Truth
from spondyl.measure.cobb import cobb_from_spine, is_scoliotic, main_curve, region
from spondyl.measure.rotation import apical_rotation_deg
from spondyl.measure.sagittal import leans_of_spine
from spondyl.sim.patient import spa_deg, uca_deg
from spondyl.sim.patient.landmarks import UltrasoundLandmarks
from spondyl.sim.patient.posture import Curve
from spondyl.spine import Cobb, SpineCurve, level_index

DIGITS = 4  # float32 spines hold angles to about 1e-4 degree
LARGE_DEG, THIRD_DEG = 60.0, 30.0
FLAT_DEG, ROUND_DEG = 15.0, 50.0


def truth_of(
    spine: SpineCurve, *, pelvic_tilt_deg: float | None = None, marks: UltrasoundLandmarks | None = None
) -> Truth:
    """The angles of a spine; with the pelvis of its design, and with the arches' landmarks the ultrasound angles.

    Curves are found as a reader finds them (`measure.cobb_from_spine`), so a curve may be counted from one level beyond the
    designed end, where that is tilted a little more.
    """
    leans = leans_of_spine(spine)
    thoracic = [level for level in spine.levels if level.startswith("T")]
    last = thoracic[-1] if thoracic and level_index(thoracic[-1]) >= level_index("T11") else "T12"
    slope = leans.lean_deg("S1", "superior")
    steps = spine.centres_mm.double().diff(dim=0).norm(dim=-1)
    return Truth(
        levels=spine.levels,
        curves=tuple(_curve(cobb, spine, marks) for cobb in cobb_from_spine(spine)),
        kyphosis_deg=_rounded(leans.lean_deg("T4", "superior") - leans.lean_deg(last, "inferior")),
        lordosis_deg=_rounded(slope - leans.lean_deg("L1", "superior")),
        sacral_slope_deg=_rounded(slope),
        pelvic_tilt_deg=None if pelvic_tilt_deg is None else _rounded(pelvic_tilt_deg),
        pelvic_incidence_deg=None if pelvic_tilt_deg is None else _rounded(pelvic_tilt_deg + slope),
        balance_mm=_offset(spine, axis=0),
        sva_mm=_offset(spine, axis=1),
        length_mm=round(float(steps.sum()), DIGITS),
    )


def shape_regions(truth: Truth) -> tuple[str, ...]:
    """The held-out regions of shape in which a spine lies.

        large      a curve of 60 degrees or more
        triple     three curves of 30 degrees or more
        mirrored   the largest curve is scoliosis and bends the rarer way: thoracic to the left, lower down to the right
        flat       kyphosis T4 to the last thoracic level below 15 degrees
        round      the same above 50 degrees

    They are a choice of this package: corners of the distribution, where a model that has not seen them must extrapolate. About
    a fifth of a screening cohort lies in one, and two fifths of a surgical one. Nothing random is in them.
    """
    cobbs = [Cobb(c.cobb_deg, c.upper, c.lower, c.apex, c.side) for c in truth.curves]
    main = main_curve(cobbs)
    usual = {"MT": "right", "TL": "left", "L": "left"}
    mirrored = main is not None and is_scoliotic(main) and usual.get(region(main), main.side) != main.side
    kyphosis = math.nan if truth.kyphosis_deg is None else truth.kyphosis_deg
    found = {
        "large": truth.largest_cobb_deg >= LARGE_DEG,
        "triple": sum(c.cobb_deg >= THIRD_DEG for c in truth.curves) >= 3,
        "mirrored": mirrored,
        "flat": kyphosis < FLAT_DEG,
        "round": kyphosis > ROUND_DEG,
    }
    return tuple(name for name, there in found.items() if there)


def _curve(cobb: Cobb, spine: SpineCurve, marks: UltrasoundLandmarks | None) -> CurveTruth:
    ultrasound = None
    if marks is not None and cobb.upper != cobb.lower and cobb.angle_deg <= 90 and cobb.lower in marks.levels:
        ultrasound = Curve(cobb.upper, cobb.lower, cobb.angle_deg, cobb.side)
    return CurveTruth(
        cobb.upper,
        cobb.lower,
        cobb.apex,
        cobb.side,
        round(cobb.angle_deg, DIGITS),
        round(apical_rotation_deg(spine, cobb), DIGITS),
        None if ultrasound is None or marks is None else _rounded(uca_deg(marks, ultrasound)),
        None if ultrasound is None or marks is None else _rounded(spa_deg(marks, ultrasound)),
    )


def _rounded(value: float) -> float | None:
    return round(value, DIGITS) + 0.0 if math.isfinite(value) else None


def _offset(spine: SpineCurve, axis: int) -> float | None:
    """C7 against S1: to the left of the middle of its endplate, or in front of its posterior-superior corner, mm."""
    if "C7" not in spine.levels or "S1" not in spine.levels:
        return None
    neck, (centre, _, back) = spine.centres_mm[spine.index("C7")], spine.endplates_mm[spine.index("S1"), 0].unbind()
    offset: torch.Tensor = neck - centre if axis == 0 else centre + back - neck
    return _rounded(float(offset[axis]))
