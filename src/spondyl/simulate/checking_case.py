"""What can be wrong with one case that can be read: its images, its record, and its truths against its own spine."""

import math
from collections.abc import Iterator

import torch

from spondyl.images import STRUCTURE_LABELS, BackImage, Radiograph, Ultrasound, Volume
from spondyl.io.case_record import CaseRecord, CurveTruth, Truth
from spondyl.io.image_members import DEPTH_LOW, DEPTH_STEP, TOP
from spondyl.io.shards import LANDMARKS, StoredCase
from spondyl.measure.cobb import cobb_between
from spondyl.measure.tilt import tilts_of_spine
from spondyl.pairs import Image
from spondyl.sim.patient import spa_deg, uca_deg
from spondyl.sim.patient.posture import Curve
from spondyl.simulate.landmark_json import arches_of
from spondyl.simulate.truth import shape_regions, truth_of
from spondyl.spine import LEVEL_LABELS, SpineCurve

# Spines are stored in float32 and truths to four digits; landmarks to a thousandth of a mm, over processes of 60 mm.
NEAR, NEAR_MARKS = 0.01, 0.1
BODY_DEPTH = 0.5
MOST_CLIPPED = 0.01
RANGES = (("age_years", 0.0, 120.0), ("bmi", 8.0, 80.0), ("size", 0.3, 2.0), ("skin_type", 1, 6))
COMPARED = ("kyphosis_deg", "lordosis_deg", "sacral_slope_deg", "balance_mm", "sva_mm", "length_mm")


def case_faults(case: StoredCase, record: CaseRecord) -> Iterator[str]:
    """One line for each thing that is wrong, without the case's number."""
    try:
        spine = case.spine
    except ValueError as error:
        yield str(error)
        return
    yield from _record_faults(record, spine)
    yield from _landmark_faults(case, record)
    if set(case.modalities) != set(record.sensors):
        yield f"holds {_list(case.modalities)}, its record says {_list(sorted(record.sensors))}; make it again"
    for modality in case.modalities:
        try:
            image = case.image(modality)
        except ValueError as error:
            yield str(error)
        else:
            for fault in image_faults(image, spine):
                yield f"{modality} {fault}"


def image_faults(image: Image, spine: SpineCurve) -> Iterator[str]:
    """What is wrong with the numbers of one image, and whether image and spine lie in one world."""
    if isinstance(image, Volume):
        yield from _volume_faults(image, spine)
    elif isinstance(image, Radiograph):
        yield from _radiograph_faults(image, spine)
    elif isinstance(image, Ultrasound):
        if not bool((image.echo > 0).any()):
            yield "is black everywhere; the probe met no back"
    elif isinstance(image, BackImage) and not bool((image.depth_mm > 0).any()):
        yield "has no depth anywhere; the camera saw no back"


def truth_faults(recorded: Truth, spine: SpineCurve) -> Iterator[str]:
    """Where recorded angles are not those of the spine."""
    found = truth_of(spine, pelvic_tilt_deg=recorded.pelvic_tilt_deg)
    if recorded.levels != spine.levels:
        yield f"levels are recorded as {_list(recorded.levels)}, its spine has {_list(spine.levels)}"
        return
    for curve in recorded.curves:
        yield from _curve_faults(curve, found, spine)
    if abs(recorded.largest_cobb_deg - found.largest_cobb_deg) > NEAR:
        was, has = recorded.largest_cobb_deg, found.largest_cobb_deg
        yield f"the largest Cobb angle is recorded as {was:.2f}, its spine has {has:.2f} degrees"
    for name in (*COMPARED, "pelvic_incidence_deg"):
        old, new = getattr(recorded, name), getattr(found, name)
        if (old is None) != (new is None) or (old is not None and abs(old - new) > NEAR):
            yield f"{name} is recorded as {_number(old)}, its spine has {_number(new)}"


def _curve_faults(curve: CurveTruth, found: Truth, spine: SpineCurve) -> Iterator[str]:
    name = f"{curve.upper}-{curve.lower}"
    try:
        angle = cobb_between(tilts_of_spine(spine), curve.upper, curve.lower)
    except ValueError as error:
        yield f"curve {name} cannot be: {error}"
        return
    if abs(angle.angle_deg - curve.cobb_deg) > NEAR:
        yield f"Cobb {name} is recorded as {curve.cobb_deg:.2f}, its spine has {angle.angle_deg:.2f} degrees"
    elif angle.side != curve.side and curve.cobb_deg > NEAR:
        yield f"curve {name} is recorded as convex to the {curve.side}, its spine bends to the {angle.side}"
    for same in found.curves:
        if (same.upper, same.lower) == (curve.upper, curve.lower) and abs(
            same.rotation_deg - curve.rotation_deg
        ) > NEAR:
            was, has = curve.rotation_deg, same.rotation_deg
            yield f"rotation of {name} is recorded as {was:.2f}, its spine has {has:.2f} degrees"


def _record_faults(record: CaseRecord, spine: SpineCurve) -> Iterator[str]:
    yield from truth_faults(record.truth, spine)
    if record.shape_regions != shape_regions(record.truth):
        yield f"shape_regions are {_list(record.shape_regions)}; its truth lies in {_list(shape_regions(record.truth))}"
    if (record.shape_split == "test") != bool(record.shape_regions):
        yield f"shape_split is {record.shape_split} with {_list(record.shape_regions)}; wanted test for held-out shapes alone"
    for name, low, high in RANGES if record.person is not None else ():
        value = getattr(record.person, name)
        if not low <= value <= high:
            yield f"{name} is {value}; wanted {low:g} to {high:g}"


def _landmark_faults(case: StoredCase, record: CaseRecord) -> Iterator[str]:
    """Ultrasound angles against the arches; the ones recorded without landmarks cannot be checked."""
    if LANDMARKS not in case.members:
        return
    try:
        marks = arches_of(case.content(LANDMARKS), LANDMARKS)
    except ValueError as error:
        yield str(error)
        return
    for c in record.truth.curves:
        for name, recorded, angle in (("UCA", c.uca_deg, uca_deg), ("SPA", c.spa_deg, spa_deg)):
            if recorded is None:
                continue
            found = angle(marks, Curve(c.upper, c.lower, c.cobb_deg, c.side))
            if abs(found - recorded) > NEAR_MARKS:
                yield f"{name} {c.upper}-{c.lower} is recorded as {recorded:.2f}, its landmarks have {found:.2f} degrees"


def _volume_faults(image: Volume, spine: SpineCurve) -> Iterator[str]:
    low, high = float(image.hu.min()), float(image.hu.max())
    if low > -500 or high < 200:
        yield f"runs from {low:.0f} to {high:.0f}; Hounsfield units of a body have air below -500 and bone above 200"
    if image.labels is None:
        return
    unknown = sorted(set(torch.unique(image.labels).tolist()) - set(STRUCTURE_LABELS.values()))
    if unknown:
        yield f"has the labels {_list(unknown)}, which no structure has; see spondyl.images.STRUCTURE_LABELS"
    voxel_from_world = torch.linalg.inv(image.world_from_voxel.double())
    voxels = spine.centres_mm.double() @ voxel_from_world[:3, :3].T + voxel_from_world[:3, 3]
    inside, wrong = 0, []
    for level, position in zip(spine.levels, voxels.round().long().tolist(), strict=True):
        if all(0 <= p < n for p, n in zip(position, reversed(image.hu.shape), strict=True)):
            inside += 1
            if int(image.labels[position[2], position[1], position[0]]) != LEVEL_LABELS[level]:
                wrong.append(level)
    if 2 * len(wrong) > inside or not inside:
        yield f"and its spine disagree: {_list(wrong or spine.levels)} are not labelled where the spine has them"


def _radiograph_faults(image: Radiograph, spine: SpineCurve) -> Iterator[str]:
    depth = image.optical_depth
    if float(depth.max()) < BODY_DEPTH:
        yield f"has no optical depth above {float(depth.max()):.2f}; it shows no body"
    clipped = float((depth >= DEPTH_LOW + TOP * DEPTH_STEP).to(torch.float64).mean())
    if clipped > MOST_CLIPPED:
        yield f"is clipped in {clipped:.0%} of its pixels at optical depth {DEPTH_LOW + TOP * DEPTH_STEP:.1f}"
    corners = spine.project(image.view).corners_px
    size = corners.new_tensor(image.view.shape_px)
    if not bool(((corners > -0.5) & (corners < size - 0.5)).all(dim=-1).any()):
        yield "shows no vertebra of its spine; view and spine lie in different frames"


def _list(words: "tuple[object, ...] | list[object] | tuple[str, ...] | list[str] | list[int]") -> str:
    return ", ".join(str(word) for word in words) or "nothing"


def _number(value: float | None) -> str:
    return "nothing" if value is None or not math.isfinite(value) else f"{value:.2f}"
