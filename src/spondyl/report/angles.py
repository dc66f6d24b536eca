"""The table of angles: what was read in space, what the pictures show of it, and the designed truth where there is one."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from spondyl.drawing import AngleMark, Endplate, side_letters
from spondyl.geometry import View
from spondyl.measure.cobb import (
    Region,
    cobb_between,
    cobb_from_reading,
    cobb_from_spine,
    is_scoliotic,
    main_curve,
    region,
)
from spondyl.measure.curve import Reading
from spondyl.measure.rotation import apical_rotation_deg
from spondyl.measure.sagittal import (
    WANTED,
    Facing,
    missing,
    sacral_slope_deg,
    sagittal_angles,
    sagittal_from_corners,
)
from spondyl.measure.tilt import tilts_of_corners
from spondyl.report.record import AngleRecord
from spondyl.spine import Cobb, Corners, Sagittal, SpineCurve, level_index

REGIONS: dict[Region, str] = {
    "C": "cervical",
    "PT": "proximal thoracic",
    "MT": "main thoracic",
    "TL": "thoracolumbar",
    "L": "lumbar",
}
# The sagittal angles to read first; where S1 or T4 was not seen, the next best.
FIRST_SAGITTAL = (("T4 superior", "T5 superior"), ("L1 superior",))


@dataclass(frozen=True, eq=False)
class Seen:
    """The spine in one picture: the view, its corners there, and the same corners in pixels that are square at the spine."""

    view: View
    corners: Corners
    square: Corners

    @property
    def left_is_low_u(self) -> bool | None:
        """Whether the patient's left is at low columns; None where the picture does not show left and right."""
        low, _ = side_letters(self.view)
        return {"L": True, "R": False}.get(low)

    @property
    def faces(self) -> Facing | None:
        """Where the patient looks; None where the picture is no lateral."""
        _, high = side_letters(self.view)
        facing: dict[str, Facing] = {"A": "right", "P": "left"}
        return facing.get(high)


def seen(spine: SpineCurve, view: View, spacing_mm: tuple[float, float]) -> Seen:
    """The spine's corners in a view, with columns rescaled so that pixels of `spacing_mm` (v, u) become square."""
    corners = spine.project(view)
    scale = torch.tensor([1.0, spacing_mm[1] / spacing_mm[0]]).to(corners.corners_px)
    return Seen(view, corners, Corners(corners.levels, corners.corners_px * scale, corners.confidence))


def angle_records(reading: Reading, pictures: Sequence[Seen], truth: SpineCurve | None) -> tuple[AngleRecord, ...]:
    """All angles of a spine: the main curve, the other curves from cranial to caudal, the sagittal angles, rotation.

    Args:
        pictures: the first that shows left and right gives the coronal angles in the picture, the first lateral the
            sagittal ones, between the same endplates as in space.
        truth: the designed spine. A measured curve is compared with the designed one of its side that shares most levels.
    """
    curves = cobb_from_reading(reading)
    main = main_curve(curves)
    ordered = sorted(curves, key=lambda c: (c is not main, level_index(c.upper)))
    coronal = next((p for p in pictures if p.left_is_low_u is not None), None)
    lateral = next((p for p in pictures if p.faces is not None), None)
    rows = [_cobb_row(curve, curve is main, coronal, truth) for curve in ordered]
    rows += _sagittal_rows(reading.spine, lateral, truth)
    rows += [_rotation_row(curve, reading.spine, truth) for curve in ordered if is_scoliotic(curve)]
    return tuple(rows)


def not_measured(reading: Reading) -> tuple[str, ...]:
    """Sentences for the angles that are not in the table, and why."""
    straight = () if cobb_from_reading(reading) else ("No coronal curve: the endplates' tilt nowhere turns back.",)
    return (*straight, *missing(reading.spine))


def marks_for(picture: Seen, angles: Sequence[AngleRecord]) -> tuple[AngleMark, ...]:
    """What to draw on a picture: the scoliotic curves (else the main one) on a coronal, two first angles on a lateral."""
    if picture.left_is_low_u is not None:
        curves = [a for a in angles if a.name.startswith("Cobb") and a.picture_deg is not None]
        drawn = [a for a in curves if a.main or (a.angle_deg or 0) >= 10]
    elif picture.faces is not None:
        drawn = [a for a in angles if a.plane == "sagittal" and a.main and a.picture_deg is not None]
    else:
        drawn = []
    return tuple(_mark(angle) for angle in drawn)


def _mark(angle: AngleRecord) -> AngleMark:
    upper, lower = _endplate(angle.upper), _endplate(angle.lower)
    return AngleMark(upper, lower, (f"{upper[0]}–{lower[0]}", f"{angle.picture_deg:.1f}°"))


def _endplate(text: str) -> Endplate:
    level, which = text.split()
    return level, which


def _cobb_row(curve: Cobb, is_main: bool, coronal: Seen | None, truth: SpineCurve | None) -> AngleRecord:
    picture = None
    if coronal is not None:
        profile = tilts_of_corners(coronal.square, left_is_low_u=coronal.left_is_low_u)
        found = cobb_between(profile, curve.upper, curve.lower)
        picture = found.angle_deg if found.side == curve.side else -found.angle_deg
    designed = None if truth is None else _same_curve(curve, cobb_from_spine(truth))
    return AngleRecord(
        name=f"Cobb, {REGIONS[region(curve)]}",
        plane="coronal",
        main=is_main,
        upper=f"{curve.upper} superior",
        lower=f"{curve.lower} inferior",
        apex=curve.apex,
        side=curve.side,
        angle_deg=curve.angle_deg,
        picture_deg=picture,
        truth_deg=None if designed is None else designed.angle_deg,
    )


def _same_curve(curve: Cobb, others: Sequence[Cobb]) -> Cobb | None:
    """The curve of the same side that shares most levels with this one; None where none shares any."""

    def shared(other: Cobb) -> int:
        upper = max(level_index(curve.upper), level_index(other.upper))
        lower = min(level_index(curve.lower), level_index(other.lower))
        return lower - upper + 1 if other.side == curve.side else 0

    best = max(others, key=shared, default=None)
    return best if best is not None and shared(best) > 0 else None


def _sagittal_rows(spine: SpineCurve, lateral: Seen | None, truth: SpineCurve | None) -> list[AngleRecord]:
    found = sagittal_angles(spine)
    in_picture = () if lateral is None else sagittal_from_corners(lateral.square, faces=lateral.faces)
    designed = () if truth is None else sagittal_angles(truth)
    first = [next((a for u in uppers for a in found if _first(a, u)), None) for uppers in FIRST_SAGITTAL]
    rows = [
        AngleRecord(
            name=f"{_sagittal_name(angle)} {_short(angle)}",
            plane="sagittal",
            main=any(angle is f for f in first),
            upper=angle.upper,
            lower=angle.lower,
            angle_deg=_signed(angle),
            picture_deg=_same_sagittal(angle, in_picture),
            truth_deg=_same_sagittal(angle, designed),
        )
        for angle in found
    ]
    slope, true_slope = sacral_slope_deg(spine), None if truth is None else sacral_slope_deg(truth)
    if slope is not None:
        rows.append(
            AngleRecord("Sacral slope", "sagittal", "S1 superior", "horizontal", angle_deg=slope, truth_deg=true_slope)
        )
    return rows


def _first(angle: Sagittal, upper: str) -> bool:
    """Whether this is the angle to read first from that endplate: thoracic kyphosis to T12 or T13, lordosis."""
    thoracic = angle.lower.split()[0] in ("T12", "T13") and upper.startswith("T")
    return angle.upper == upper and (thoracic or upper.startswith("L"))


def _sagittal_name(angle: Sagittal) -> str:
    upper, lower = angle.upper.split()[0], angle.lower.split()[0]
    last = {"T13": "T12", "L6": "L5"}.get(lower, lower)
    names = [wanted.name for wanted in WANTED if (wanted.upper, wanted.lower) == (upper, last)]
    return names[0].capitalize() if names else "Sagittal angle"


def _short(angle: Sagittal) -> str:
    return f"{angle.upper.split()[0]}–{angle.lower.split()[0]}"


def _signed(angle: Sagittal) -> float:
    return angle.lordosis_deg if _sagittal_name(angle) == "Lordosis" else angle.kyphosis_deg


def _same_sagittal(angle: Sagittal, others: Sequence[Sagittal]) -> float | None:
    return next((_signed(o) for o in others if (o.upper, o.lower) == (angle.upper, angle.lower)), None)


def _rotation_row(curve: Cobb, spine: SpineCurve, truth: SpineCurve | None) -> AngleRecord:
    """Axial rotation at the apex, towards the convexity positive; the truth is that of the same vertebrae."""
    known = truth is not None and all(level in truth.levels for level in curve.apex.split("/"))
    return AngleRecord(
        name=f"Rotation at {curve.apex}",
        plane="axial",
        upper=curve.apex,
        lower="sagittal plane",
        apex=curve.apex,
        side=curve.side,
        angle_deg=apical_rotation_deg(spine, curve),
        truth_deg=apical_rotation_deg(truth, curve) if known and truth is not None else None,
    )
