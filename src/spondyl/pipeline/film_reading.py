"""One film read: from a file to a record of its angles, with what is doubtful said and what is not seen left out."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from spondyl.io.png import RECORD_KEY, read_png_radiograph
from spondyl.io.radiograph_read import Film, read_radiograph
from spondyl.io.source import Source
from spondyl.measure.interval import Calibration
from spondyl.measure.sagittal import Facing
from spondyl.measure.steady import steadied
from spondyl.measure.tilt import tilts_of_corners
from spondyl.pipeline.film_angles import (
    balance_mm,
    coronal_angles,
    facing,
    lenke_words,
    missing_on_lateral,
    sagittal_angles_of,
)
from spondyl.pipeline.film_guard import judge, judge_picture, lateral_of, level_sure_of, score_of
from spondyl.pipeline.film_reader import Looked, Reader, corners_of, look, squared
from spondyl.report.film_record import FilmRecord, FilmView, Intervals
from spondyl.spine import Corners, level_index
from spondyl.systems.xray_to_corners import TOGETHER, TOGETHER_LATERAL

VIEW_OF = {"PA": "pa", "AP": "pa", "LL": "lateral", "RL": "lateral"}
SEED = 0  # of the noise that intervals are estimated with: the same film gives the same numbers


@dataclass(frozen=True, eq=False)
class FilmReading:
    """A film, its corners in its own pixels (None where it was not read), and the record.

    `film` is bone bright: its negative where it was read so. `pixel` is the (v, u) size of a pixel in one unit.
    """

    film: Film
    pixel: tuple[float, float]
    corners: Corners | None
    scores: tuple[float, ...]
    record: FilmRecord


@dataclass(frozen=True)
class _Told:
    """What file and user say: view, which way left or front lies (None: nobody says)."""

    claim: FilmView | None
    left_is_low_u: bool | None
    faces: Facing | None


def read_film(path: Path, reader: Reader, *, view: FilmView | None = None) -> FilmReading:
    """Everything that one film shows of the spine's angles. A film that the guard refuses has a record without angles.

    Args:
        view: what the user says it is; without it what the file says, without that what the reader sees.

    Raises:
        ValueError, OSError: one line, for a file that is not a radiograph.
    """
    film, source = read_radiograph(path)
    own = written_here(path, source)
    pixel = pixel_of_film(film, slot=own == "slot")
    claim = view or _view_in(film)
    first = judge_picture(film.grey)
    blank = replace(_record(path, film, source, reader, claim), asked=view or "")
    if first.judgement == "refused":
        return FilmReading(film, pixel, None, (), replace(blank, verdict="refused", reasons=first.reasons))
    looked = look(reader, film.grey, pixel, either_polarity=source.kind != "dicom" and not own)
    verdict = judge(looked.read, pixel=pixel, claim=claim, turned=looked.turned)
    if looked.negative:
        film = replace(film, grey=1 - film.grey)
    seen = lateral_of(looked.read)
    record = replace(
        blank,
        view=claim or ("lateral" if seen > 0.5 else "pa"),
        verdict=verdict.judgement,
        reasons=verdict.reasons,
        lateral=seen,
        score=score_of(looked.read),
        total=looked.read.chain.total,
        negative=looked.negative,
    )
    if verdict.judgement == "refused":
        return FilmReading(film, pixel, None, (), record)
    told = _Told(claim, _left_is_low_u(film), _faces(film))
    side = record.view == "lateral"
    together = TOGETHER_LATERAL if side else TOGETHER
    corners = steadied(corners_of(looked.read), lateral=side, pixel=pixel, together=together)
    scores = tuple(looked.read.chain.vertebrae.score.tolist())
    return FilmReading(film, pixel, corners, scores, _measured(record, corners, pixel, looked, told, reader))


def pixel_of_film(film: Film, *, slot: bool = False) -> tuple[float, float]:
    """(v, u) size of a pixel: the film's spacing where it has one, else square.

    A slot beam magnifies columns alone, and our own slot films have rows spaced for square pixels at the patient.
    """
    if film.spacing_mm is None or slot:
        return (1.0, 1.0)
    return film.spacing_mm


def written_here(path: Path, source: Source) -> str:
    """The beam of a PNG that spondyl wrote; "" for any other file. Such a film has bone bright for sure."""
    if source.kind != "png" or RECORD_KEY.encode() not in path.read_bytes():
        return ""
    try:
        return read_png_radiograph(path).view.beam
    except ValueError:
        return ""


def _view_in(film: Film) -> FilmView | None:
    said = VIEW_OF.get(film.view_position)
    return "pa" if said == "pa" else "lateral" if said == "lateral" else None


def _left_is_low_u(film: Film) -> bool | None:
    """By Patient Orientation: columns that grow to the patient's right begin at the left."""
    return {"R": True, "L": False}.get(film.patient_orientation[0][:1])


def _faces(film: Film) -> Facing | None:
    along = film.patient_orientation[0][:1]
    return "right" if along == "A" else "left" if along == "P" else None


def _record(path: Path, film: Film, source: Source, reader: Reader, claim: FilmView | None) -> FilmRecord:
    h, w = film.grey.shape
    return FilmRecord(
        file=path.name,
        kind=source.kind,
        sha256=source.sha256,
        weights=reader.weights,
        view=claim or "pa",
        verdict="refused",
        shape_px=(h, w),
        intervals=_intervals(reader.sagittal if claim == "lateral" else reader.coronal),
        claim=claim or "",
        spacing_mm=film.spacing_mm,
        spacing_kind=film.spacing_kind,
        notes=source.notes,
    )


def _intervals(calibration: Calibration) -> Intervals:
    return Intervals(calibration.confidence, calibration.factor, calibration.patients)


def _measured(
    record: FilmRecord, corners: Corners, pixel: tuple[float, float], looked: Looked, told: _Told, reader: Reader
) -> FilmRecord:
    """The record with levels, angles and what could not be measured."""
    sure = level_sure_of(looked.read)
    notes = [f"Levels are sure to {100 * sure:.0f} %; if they are wrong, all are off by the same number, mostly one."]
    if looked.negative:
        notes.append("Read with black and white exchanged: the file does not say whether bone is bright.")
    record = replace(record, levels=corners.levels, level_sure=sure, notes=(*record.notes, *notes))
    square = squared(corners, pixel)
    if record.view == "pa":
        return _coronal(record, square, pixel, told, reader)
    return _lateral(record, square, told, reader)


def _coronal(
    record: FilmRecord, square: Corners, pixel: tuple[float, float], told: _Told, reader: Reader
) -> FilmRecord:
    # where nobody tells the sides, the picture's own left stands for left
    low_u = True if told.left_is_low_u is None else told.left_is_low_u
    noise = torch.Generator().manual_seed(SEED)
    angles = coronal_angles(square, left_is_low_u=low_u, calibration=reader.coronal, generator=noise)
    lacking = [*_gaps(square.levels)]
    if not angles:
        lacking.append("No coronal curve: the endplates' tilt nowhere turns back by more than the reading's noise.")
    notes = list(record.notes)
    if told.left_is_low_u is None:
        notes.append("Sides are those of the picture as displayed: the file does not say where the patient's left is.")
    balance, sentence = _balance(record, square, pixel, low_u, told)
    lacking += [sentence] if sentence else []
    lenke = lenke_words(angles)
    if lenke:
        notes.append(
            f"Lenke-like {lenke}: what this standing film alone allows; bending and lateral films would settle it."
        )
    return replace(
        record,
        intervals=_intervals(reader.coronal),
        sides="picture" if told.left_is_low_u is None else "patient",
        angles=angles,
        balance_mm=balance,
        lenke=lenke,
        not_measured=(*record.not_measured, *lacking),
        notes=tuple(notes),
    )


def _balance(
    record: FilmRecord, square: Corners, pixel: tuple[float, float], low_u: bool, told: _Told
) -> tuple[float | None, str]:
    """C7 to the sacral middle in mm of the patient, to his right positive, or the reason why not."""
    if record.spacing_mm is None or record.spacing_kind != "patient":
        return None, "Coronal balance is not measured: the film has no pixel spacing that holds at the patient."
    if told.left_is_low_u is None:
        return None, "Coronal balance is not measured: the file does not say where the patient's left is."
    found = balance_mm(tilts_of_corners(square, left_is_low_u=low_u), pixel[0])
    return found, "" if found is not None else "Coronal balance is not measured: C7 or S1 was not found."


def _lateral(record: FilmRecord, square: Corners, told: _Told, reader: Reader) -> FilmRecord:
    faces = told.faces or facing(square)
    record = replace(record, intervals=_intervals(reader.sagittal), sides="", faces=faces or "")
    if faces is None:
        said = (
            "No sagittal angle is measured: neither the file nor the spine's shape tells which way the patient looks."
        )
        return replace(record, not_measured=(*record.not_measured, said))
    notes = list(record.notes)
    if told.faces is None:
        notes.append(
            f"The patient was taken to look to the picture's {faces}, by the spine's own curves: a spine whose kyphosis and "
            "lordosis are reversed would be misread."
        )
    angles = sagittal_angles_of(square, faces=faces, calibration=reader.sagittal)
    lacking = (*_gaps(square.levels), *missing_on_lateral(square, faces))
    return replace(record, angles=angles, not_measured=(*record.not_measured, *lacking), notes=tuple(notes))


def _gaps(levels: tuple[str, ...]) -> list[str]:
    """A sentence for the levels between the first and the last that were not found."""
    from spondyl.reading.marks import READ_LEVELS

    inside = [x for x in READ_LEVELS if level_index(levels[0]) < level_index(x) < level_index(levels[-1])]
    lost = [level for level in inside if level not in levels]
    return [f"Not found between {levels[0]} and {levels[-1]}: {', '.join(lost)}."] if lost else []
