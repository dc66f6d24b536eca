"""The demo's films read as a user's would be: from the PNG files alone, with nothing of the CT, its labels or the design.

What was found stands beside the angle of the same curve in the very picture, and beside the designed one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch.nn import functional

from spondyl import __version__
from spondyl.io.png import read_png_radiograph
from spondyl.pipeline.film_files import drawn_angles, overlay_of, page_film
from spondyl.pipeline.film_reader import SYSTEM, Reader, load_reader
from spondyl.pipeline.film_reading import FilmReading, read_film
from spondyl.report import AngleRecord, Film, Gallery, ReaderAngle, ReaderRecord, Report
from spondyl.report.film_record import FilmAngle
from spondyl.report.films import grey
from spondyl.report.pictures import with_text
from spondyl.spine import level_index
from spondyl.weights import weights_folder

TITLE = "Read off the films alone"
LEGEND = (
    "A network that learnt from other simulated patients read the two PNG files, as spondyl measure would: without CT, labels "
    "or design. They are shown with more contrast than they are stored with. In brackets its {share:g} % interval{checked}. In "
    "the picture: the same curve between the endplates that the labels of the CT give, as this very radiograph shows them."
)
ABSENT = "The reader of films is not installed (this tree ships no weights of it): the films were not read alone."
MARK = {
    "Description": "SIMULATED: radiograph of a virtual patient, with what the reader of films found drawn on it",
    "Software": f"spondyl {__version__}",
}


def shipped_reader() -> Reader | None:
    """The reader that ships; None where this installation has no weights. Damaged ones raise ValueError."""
    try:
        weights_folder(SYSTEM)
    except ValueError:
        return None
    return load_reader()


def read_films(folder: Path, files: Mapping[str, Sequence[str]], reader: Reader) -> dict[str, FilmReading]:
    """Every picture that was written as PNG, by its name: read as stored, then given the page's contrast to be drawn on."""
    paths = {name: folder / f"{name}.png" for name, own in files.items() if f"{name}.png" in own}
    return {name: _bright(read_film(path, reader), path) for name, path in paths.items()}


def write_read_films(folder: Path, readings: Mapping[str, FilmReading]) -> dict[str, str]:
    """`NAME_read.png`, the film with the lines drawn on it, for every film that was not refused; its name by picture."""
    written = {}
    for name, reading in readings.items():
        if reading.corners is not None:
            written[name] = f"{name}_read.png"
            (folder / written[name]).write_bytes(with_text(overlay_of(reading), MARK))
    return written


def reader_records(readings: Mapping[str, FilmReading], angles: Sequence[AngleRecord]) -> tuple[ReaderRecord, ...]:
    """The rows of report.json. `angles` are those measured through the CT, with the picture's own and the designed ones."""
    return tuple(
        ReaderRecord(
            picture=name,
            view=reading.record.view,
            verdict=reading.record.verdict,
            reasons=reading.record.reasons,
            levels=reading.record.levels,
            level_sure=reading.record.level_sure,
            confidence=reading.record.intervals.confidence,
            calibrated_on=reading.record.intervals.patients,
            weights=reading.record.weights,
            angles=tuple(_compared(angle, angles) for angle in reading.record.angles),
        )
        for name, reading in readings.items()
    )


def film_gallery(readings: Mapping[str, FilmReading], records: Sequence[ReaderRecord]) -> tuple[Gallery, ...]:
    """The section of the page: both films with endplates, level names and angles, or with the reason why not."""
    if not records:
        return ()
    films = tuple(_film(readings[record.picture], record) for record in records)
    checked = (
        "" if all(r.calibrated_on for r in records) else " (not calibrated: nobody has checked how often it holds)"
    )
    return (Gallery(TITLE, films, (LEGEND.format(share=100 * records[0].confidence, checked=checked),)),)


def films_line(report: Report) -> tuple[str, ...]:
    """One line for the terminal, plain ASCII; none where no film was read."""
    if not report.film_readings:
        return ()
    parts = []
    for record in report.film_readings:
        if record.verdict == "refused":
            parts.append(f"{record.picture} refused: {record.reasons[0]}")
            continue
        first = [_words(angle, "-") for angle in record.angles if angle.main]
        parts.append("; ".join(first) or f"{record.picture}: no angle")
        more = f" and {len(record.reasons) - 1} more" if len(record.reasons) > 1 else ""
        parts += [f"{record.picture} is DOUBTFUL: {record.reasons[0]}{more}"] if record.reasons else []
    return (f"read off the films alone: {'; '.join(parts)}",)


def _bright(reading: FilmReading, path: Path) -> FilmReading:
    """The same reading, its film as the page shows radiographs; stored grey is a wide window, and dark."""
    shown = grey(read_png_radiograph(path)).float()[None, None] / 255
    size = list(reading.film.grey.shape)
    same = shown if list(shown.shape[2:]) == size else functional.interpolate(shown, size, mode="bilinear")
    return replace(reading, film=replace(reading.film, grey=same[0, 0]))


def _film(reading: FilmReading, record: ReaderRecord) -> Film:
    """The film with its lines, and everything that is drawn in words below it."""
    seen = "read as a lateral" if record.view == "lateral" else "read as a PA or AP"
    if record.verdict == "refused":
        said = f"refused, so nothing is measured: {'; '.join(record.reasons)}"
    else:
        drawn = {(a.name, a.upper, a.lower) for a in drawn_angles(reading)}
        shown = [_sentence(a) for a in record.angles if (a.name, a.upper, a.lower) in drawn]
        doubts = [f"doubtful: {reason}" for reason in record.reasons]
        said = f"{seen}. {'. '.join([*(shown or ['No angle']), *doubts])}."
    return replace(page_film(reading), name=record.picture, caption=said)


def _sentence(angle: ReaderAngle) -> str:
    words = _words(angle, "–")
    return words[0].upper() + words[1:]


def _words(angle: ReaderAngle, dash: str) -> str:
    """ "main Cobb T6-T11 41.2 deg (37 to 46), in the picture 41.8, designed 42.0"."""
    unit = " deg" if dash == "-" else "°"
    name = angle.name.replace("–", dash)
    if angle.plane == "coronal":
        ends = f"{angle.upper.split()[0]}{dash}{angle.lower.split()[0]} {angle.side}"
        name = f"{'main Cobb' if angle.main else 'Cobb'} {ends}"
    interval = (
        "" if angle.low_deg is None or angle.high_deg is None else f" ({angle.low_deg:.0f} to {angle.high_deg:.0f})"
    )
    picture = "" if angle.picture_deg is None else f", in the picture {angle.picture_deg:.1f}"
    designed = "" if angle.truth_deg is None else f", designed {angle.truth_deg:.1f}"
    return f"{name} {angle.angle_deg:.1f}{unit}{interval}{picture}{designed}"


def _compared(found: FilmAngle, angles: Sequence[AngleRecord]) -> ReaderAngle:
    same = _same_curve(found, angles) if found.plane == "coronal" else _same_ends(found, angles)
    return ReaderAngle(
        name=found.name,
        plane=found.plane,
        upper=found.upper,
        lower=found.lower,
        main=found.main,
        apex=found.apex,
        side=found.side,
        angle_deg=found.angle_deg,
        low_deg=found.low_deg,
        high_deg=found.high_deg,
        picture_deg=None if same is None else same.picture_deg,
        truth_deg=None if same is None else same.truth_deg,
    )


def _same_ends(found: FilmAngle, angles: Sequence[AngleRecord]) -> AngleRecord | None:
    """The sagittal angle between the same endplates."""
    ends = (found.upper, found.lower)
    return next((a for a in angles if a.plane == "sagittal" and (a.upper, a.lower) == ends), None)


def _same_curve(found: FilmAngle, angles: Sequence[AngleRecord]) -> AngleRecord | None:
    """The curve of the same side that shares most levels; None where none shares any."""

    def shared(other: AngleRecord) -> int:
        (upper, lower), (top, bottom) = (
            (level_index(a.upper.split()[0]), level_index(a.lower.split()[0])) for a in (found, other)
        )
        return min(lower, bottom) - max(upper, top) + 1

    curves = [a for a in angles if a.plane == "coronal" and a.side == found.side and shared(a) > 0]
    return max(curves, key=shared, default=None)
