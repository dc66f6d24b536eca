"""What the verbs share: a case that was read, its pictures, and the report that is written last."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.drawing import Canvas, seen_from, spacing_at_mm
from spondyl.geometry import View
from spondyl.images import Volume
from spondyl.io.source import Source
from spondyl.measure.curve import Reading
from spondyl.pipeline.exposing import Exposing, Shot, take
from spondyl.progress import Progress
from spondyl.report import (
    AngleRecord,
    Film,
    Gallery,
    HeightRecord,
    Input,
    PictureRecord,
    Report,
    VolumeRecord,
    report_html,
    report_json,
)
from spondyl.report.angles import Seen, angle_records, marks_for, not_measured, seen
from spondyl.report.films import film
from spondyl.report.record import Scalar, Verb
from spondyl.spine import SpineCurve
from spondyl.xray.attenuation import materials

REPORT = ("report.json", "report.html")


@dataclass(frozen=True, eq=False)
class Case:
    """A CT that was read, with what its labels told.

    Args:
        source: of the CT, as outputs repeat it.
        inputs: what the report lists.
        reading: the spine in the labels, or None without labels or without a vertebra in them.
        truth: the designed spine of a virtual patient, or None.
        notes: for the user.
    """

    volume: Volume
    source: Source
    inputs: tuple[Input, ...]
    reading: Reading | None = None
    truth: SpineCurve | None = None
    notes: tuple[str, ...] = ()

    @property
    def centre_mm(self) -> Float[Tensor, "3"]:
        """The point whose depth counts as the patient's: the middle of the spine, or of the CT without one."""
        if self.reading is None:
            return torch.tensor(self.volume.centre_mm)
        return self.reading.spine.centres_mm.mean(0)


@dataclass(frozen=True, eq=False)
class Pictured:
    """One radiograph with its scale at the patient, and the spine in it where one was read."""

    shot: Shot
    canvas: Canvas
    seen: Seen | None


def hash_of(path: Path) -> str:
    """SHA-256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def picture_case(case: Case, exposing: Exposing, progress: Progress) -> tuple[Pictured, ...]:
    """A radiograph for every view of `exposing`."""
    progress.step("find the materials")
    found = materials(case.volume)
    pictured = []
    for name in exposing.views:
        progress.step(f"project {name}")
        shot = take(case.volume, found, name, exposing)
        view = shot.radiograph.view
        canvas = Canvas(view, spacing_at_mm(view, case.centre_mm))
        spine = None if case.reading is None else case.reading.spine
        pictured.append(Pictured(shot, canvas, None if spine is None else seen(spine, view, canvas.spacing_mm)))
    return tuple(pictured)


def source_to_patient_mm(view: View, point_mm: Float[Tensor, "3"]) -> float | None:
    """Distance from the source to a point along the central ray; None for a parallel beam, which has no source."""
    if view.beam == "parallel":
        return None
    return float(view.source_to_detector_mm / view.magnification(point_mm[None].to(view.world_from_detector))[0])


def report_on(
    case: Case,
    pictured: Sequence[Pictured],
    files: Mapping[str, Sequence[str]],
    *,
    verb: Verb,
    settings: Mapping[str, Scalar],
    more_files: Sequence[str] = (),
) -> Report:
    """Everything that was found about a case; `files` names those of each picture, `more_files` the others."""
    reading = case.reading
    pictures = [p.seen for p in pictured if p.seen is not None]
    listed = (*more_files, *(name for names in files.values() for name in names), *REPORT)
    return Report(
        verb=verb,
        simulated=verb == "demo",
        settings=settings,
        inputs=case.inputs,
        volume=_volume_record(case.volume),
        levels=() if reading is None else reading.spine.levels,
        pictures=tuple(_picture_record(p, case, tuple(files.get(p.shot.name, ()))) for p in pictured),
        angles=() if reading is None else angle_records(reading, pictures, case.truth),
        heights=() if reading is None else _heights(reading),
        not_measured=() if reading is None else not_measured(reading),
        notes=case.notes if reading is None else (*case.notes, *reading.notes),
        files=listed,
    )


def write_report(folder: Path, report: Report, pictured: Sequence[Pictured], galleries: Sequence[Gallery] = ()) -> None:
    """Write report.json and report.html."""
    films = [_film(p, report.angles) for p in pictured]
    (folder / "report.json").write_text(report_json(report), encoding="utf-8")
    (folder / "report.html").write_text(report_html(report, films, galleries), encoding="utf-8")


def _film(pictured: Pictured, angles: Sequence[AngleRecord]) -> Film:
    shot = pictured.shot
    if pictured.seen is None:
        return film(shot.name, shot.radiograph, pictured.canvas, None, ())
    marks = marks_for(pictured.seen, angles)
    return film(shot.name, shot.radiograph, pictured.canvas, pictured.seen.corners, marks)


def _rows(matrix: Float[Tensor, "4 4"]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in matrix.double().tolist())


def _volume_record(volume: Volume) -> VolumeRecord:
    shape = tuple(reversed(volume.hu.shape))
    return VolumeRecord(shape, volume.spacing_mm, _rows(volume.world_from_voxel))


def _picture_record(pictured: Pictured, case: Case, files: tuple[str, ...]) -> PictureRecord:
    shot, view = pictured.shot, pictured.shot.radiograph.view
    return PictureRecord(
        name=shot.name,
        files=files,
        seen_from=seen_from(view),
        beam=view.beam,
        source_angle_deg=shot.angle_deg,
        source_to_detector_mm=float(view.source_to_detector_mm),
        source_to_patient_mm=source_to_patient_mm(view, case.centre_mm),
        pixel_spacing_mm=view.pixel_spacing_mm,
        spacing_at_patient_mm=pictured.canvas.spacing_mm,
        shape_px=view.shape_px,
        world_from_detector=_rows(view.world_from_detector),
    )


def _heights(reading: Reading) -> tuple[HeightRecord, ...]:
    rows = zip(reading.spine.levels, reading.heights_mm.tolist(), strict=True)
    known = ((level, [None if h != h else h for h in heights]) for level, heights in rows)  # h != h: NaN
    return tuple(HeightRecord(level, *heights) for level, heights in known if any(h is not None for h in heights))
