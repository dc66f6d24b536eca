"""What the demo shows besides radiographs: CT sections, ultrasound, colour and depth, with the lines that are read on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from spondyl.drawing import AngleMark
from spondyl.images import BackImage, Ultrasound, Volume
from spondyl.io.back_png import write_back_png, write_ultrasound_png
from spondyl.measure.cobb import cobb_from_spine, is_scoliotic, region
from spondyl.measure.curve import Reading
from spondyl.measure.ultrasound_angle import arch_lines, line_tilts_deg, uca
from spondyl.report import AngleRecord, Film, Gallery
from spondyl.report.angles import REGIONS
from spondyl.report.backs import DrawnCurve, back_films, ultrasound_film
from spondyl.report.sections import axial_film, spine_film
from spondyl.spine import Cobb, SpineCurve

if TYPE_CHECKING:
    from spondyl.sim.patient import Patient

# What is named on the photograph; the line of the spinous processes is drawn without names.
NAMED = ("C7", "PSIS left", "PSIS right", "scapula inferior left", "scapula inferior right")


@dataclass(frozen=True, eq=False)
class Taken:
    """The images of the other sensors, and the patient that they show."""

    patient: "Patient"
    ultrasound: Ultrasound
    back: BackImage


def take_others(patient: "Patient", volume: Volume, *, seed: int) -> Taken:
    """Ultrasound and photograph of a virtual patient whose CT has been made; `seed` decides noise and speckle."""
    from spondyl.pairs import Subject
    from spondyl.sim.make import fitted, sensor_named
    from spondyl.sim.patient import skin_of
    from spondyl.sim.seeds import generator_of

    subject = Subject(volume, patient.spine, skin_of(patient))
    sensors = {name: fitted(sensor_named(name), patient) for name in ("ultrasound", "rgbd")}
    ultrasound, back = (sensor(subject, generator=generator_of(seed, name)) for name, sensor in sensors.items())
    if not isinstance(ultrasound, Ultrasound) or not isinstance(back, BackImage):
        raise TypeError("a sensor gave an image of another modality")
    return Taken(patient, ultrasound, back)


def write_others(folder: Path, taken: Taken) -> list[str]:
    """The images as PNG with their JSON; the names of the files."""
    return [
        *write_ultrasound_png(taken.ultrasound, folder / "ultrasound.png"),
        *write_back_png(taken.back, folder / "back.png"),
    ]


def ultrasound_angles(taken: Taken, reading: Reading | None) -> tuple[AngleRecord, ...]:
    """The ultrasound curve angle of every scoliotic curve: in the image, from the labels, and of the design.

    In the image it is read from the true marks, so what it differs by is the projection. From the labels it is read off the
    arches that an average vertebra has on the measured bodies, since labels name vertebrae but not their processes.
    """
    from spondyl.sim.patient import uca_deg, ultrasound_landmarks
    from spondyl.sim.patient.posture import Curve
    from spondyl.sim.ultrasound_marks import landmarks_of

    marks = ultrasound_landmarks(taken.patient)
    labelled = None if reading is None else landmarks_of(reading.spine)
    rows = []
    for drawn, cobb in _curves(taken):
        curve = Curve(cobb.upper, cobb.lower, cobb.angle_deg, cobb.side)
        seen = labelled is not None and {cobb.upper, cobb.lower} <= set(labelled.levels)
        rows.append(
            AngleRecord(
                name=f"UCA, {REGIONS[region(cobb)]}",
                plane="ultrasound",
                upper=_line_name(drawn.angle.upper),
                lower=_line_name(drawn.angle.lower),
                apex=None,
                side=cobb.side,
                angle_deg=uca_deg(labelled, curve) if labelled is not None and seen else None,
                picture_deg=drawn.angle.angle_deg,
                truth_deg=uca_deg(marks, curve),
            )
        )
    return tuple(rows)


def galleries(taken: Taken, volume: Volume, spine: SpineCurve, angles: Sequence[AngleRecord]) -> tuple[Gallery, ...]:
    """The sections of the page. `spine` and `angles` are the measured ones, `volume` the CT that they were measured in."""
    main = next((a for a in angles if a.main and a.plane == "coronal"), None)
    apex = None if main is None or main.apex is None else main.apex.split("/")[0]
    sections = [
        spine_film("coronal", volume, spine, angle_deg=0.0, marks=_marks(angles, "coronal")),
        spine_film("sagittal", volume, spine, angle_deg=90.0, marks=_marks(angles, "sagittal")),
    ]
    if apex in spine.levels and apex is not None:
        sections.append(axial_film("axial", volume, spine, apex))
    ct = Gallery(
        "CT sections",
        tuple(sections),
        (
            "Angles in space, from the labels. Axial: the dashed line is the sagittal plane, the other the vertebra's own axis.",
        ),
    )
    back = Gallery(
        "Ultrasound, colour and depth",
        (_ultrasound_film(taken), *_back_films(taken)),
        (
            "Ultrasound: a line through both transverse processes of a thoracic vertebra and both laminae of a lumbar one; "
            "dashed, the tips of the spinous processes, which lie inside the curve of the bodies. Colour and depth: the skin "
            "over them, C7, scapular angles and posterior iliac spines.",
        ),
    )  # fmt: skip
    return ct, back


def _marks(angles: Sequence[AngleRecord], plane: str) -> tuple[AngleMark, ...]:
    chosen = [a for a in angles if a.plane == plane and a.main and a.angle_deg is not None and " " in a.lower]
    marks = []
    for angle in chosen:
        (upper, above), (lower, below) = angle.upper.split(), angle.lower.split()
        marks.append(AngleMark((upper, above), (lower, below), (f"{upper}–{lower}", f"{angle.angle_deg:.1f}°")))
    return tuple(marks)


def _curves(taken: Taken) -> list[tuple[DrawnCurve, Cobb]]:
    """Every scoliotic curve of the design whose echoes lie in the image."""
    from spondyl.sim.patient import ultrasound_landmarks
    from spondyl.sim.ultrasound_marks import marks_of

    marks = marks_of(ultrasound_landmarks(taken.patient), taken.ultrasound)
    lines = arch_lines(marks.levels, marks.transverse_px, marks.laminae_px)
    tilts = line_tilts_deg(lines, taken.ultrasound.pixel_spacing_mm)
    found = []
    for cobb in cobb_from_spine(taken.patient.spine):
        if is_scoliotic(cobb) and {cobb.upper, cobb.lower} <= set(marks.levels):
            angle = uca(marks.levels, tilts, upper=cobb.upper, lower=cobb.lower, side=cobb.side)
            upper, lower = (lines[marks.levels.index(level)] for level in (angle.upper, angle.lower))
            found.append((DrawnCurve(angle, upper, lower), cobb))
    return found


def _ultrasound_film(taken: Taken) -> Film:
    from spondyl.sim.patient import ultrasound_landmarks
    from spondyl.sim.ultrasound_marks import marks_of

    marks = marks_of(ultrasound_landmarks(taken.patient), taken.ultrasound)
    lines = arch_lines(marks.levels, marks.transverse_px, marks.laminae_px)
    curves = [drawn for drawn, _ in _curves(taken)]
    return ultrasound_film("ultrasound", taken.ultrasound, curves, lines, marks.spinous_px)


def _back_films(taken: Taken) -> tuple[Film, Film]:
    from spondyl.sim.patient import back_landmarks

    marks = back_landmarks(taken.patient)
    profile = [i for i, name in enumerate(marks.names) if name == "C7" or name.startswith("spine ")]
    named = torch.stack([marks.point(name) for name in NAMED])
    return back_films(taken.back, named, NAMED, marks.points_mm[profile])


def _line_name(level: str) -> str:
    return f"{level} {'laminae' if level.startswith('L') else 'transverse processes'}"
