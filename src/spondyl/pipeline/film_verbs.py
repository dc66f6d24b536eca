"""Measure films: one file into a folder, or every film of a folder into one folder each with a table and an index.

    measure_film     OUT/corners.json, overlay.png, thumbnail.png, report.html, angles.json
    measure_films    OUT/<file>/ the same for every film, OUT/angles.csv, OUT/index.html

A film's files come whole or not at all, angles.json last: a folder that was stopped goes on where it was.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from spondyl.io.folder import whole_folder
from spondyl.io.outfile import output_file, saying_where
from spondyl.pipeline.film_files import ANGLES, FILES, LAST, PAGE, THUMBNAIL, write_film
from spondyl.pipeline.film_reader import Reader, load_reader
from spondyl.pipeline.film_reading import read_film
from spondyl.pipeline.film_table import Row, table_text
from spondyl.progress import Progress, Silent
from spondyl.report.film_page import Card, index_html
from spondyl.report.film_record import FILM_VIEWS, FilmRecord, FilmView, film_record_of

TABLE, INDEX = "angles.csv", "index.html"
# Files of a folder that were meant as films: for others nobody wants a row that says that they are none.
IMAGE_SUFFIXES = ("", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom", ".ima")
VOLUME_SUFFIXES = (".nii", ".gz", ".mha", ".mhd", ".nrrd", ".zip")
STATES = ("accepted", "flagged", "refused", "unreadable")


@dataclass(frozen=True)
class FilmsDone:
    """What was read: a row a film (one for a single one), and three lines for the user."""

    rows: tuple[Row, ...]
    lines: tuple[str, str, str]


def film_view(text: str | None) -> FilmView | None:
    """What `--view` says. Raises ValueError for another word."""
    for view in FILM_VIEWS:
        if text == view:
            return view
    if text is None:
        return None
    raise ValueError(f"--view is {text!r}; wanted {' or '.join(FILM_VIEWS)}")


def measure_images(
    path: Path,
    out: Path,
    *,
    view: FilmView | None = None,
    weights: Path | None = None,
    progress: Progress | None = None,
) -> FilmsDone:
    """Angles of one film, or of every film in a folder; see `measure_film` and `measure_films`."""
    if path.name.lower().endswith(VOLUME_SUFFIXES):
        raise ValueError(f"{path} is no radiograph by its name; a CT is measured with its --labels")
    progress = progress or Silent()
    if path.is_dir():
        return measure_films(path, out, load_reader(weights), view=view, progress=progress)
    return measure_film(path, out, load_reader(weights), view=view, progress=progress)


def measure_film(
    path: Path, out: Path, reader: Reader, *, view: FilmView | None = None, progress: Progress | None = None
) -> FilmsDone:
    """The angles of one film.

    Args:
        view: what the user says it is; without it what the file says, without that what the reader sees.

    Raises:
        ValueError, OSError: one line, for a file that cannot be read and a film that the guard refuses; nothing is written.
    """
    progress = progress or Silent()
    progress.plan(2)
    progress.step(f"read {path.name}")
    reading = read_film(path, reader, view=view)
    record = reading.record
    if record.verdict == "refused":
        raise ValueError(f"{path}: {'; '.join(record.reasons)}")
    progress.step("write the report")
    with whole_folder(out, last=LAST) as folder:
        write_film(folder, reading)
    doubts = "".join(f"; DOUBTFUL: {reason}" for reason in record.reasons)
    read = f"read {path.name}: {found_words(record)}{doubts}"
    notes = f"{len(record.notes)} note{'s' * (len(record.notes) > 1)}"
    wrote = f"wrote {len(FILES)} files, with {notes} to read: open {out / PAGE}"
    return FilmsDone((Row(path.name, record),), (read, f"measured {angle_words(record)}", wrote))


def measure_films(
    folder: Path, out: Path, reader: Reader, *, view: FilmView | None = None, progress: Progress | None = None
) -> FilmsDone:
    """The angles of every film in a folder and below it, one folder, one row and one card each.

    A film whose bytes, claimed view and weights are those of an angles.json that is there already is not read again.

    Raises:
        ValueError, OSError: one line, where there is no film, where none could be read (the table then says why), and for
            output that cannot be written. One bad file ends nothing.
    """
    progress = progress or Silent()
    if out.resolve() == folder.resolve():
        raise ValueError(f"{out} is the folder of the films; name another one with --out")
    files = _files(folder, out)
    if not files:
        raise ValueError(f"{folder} holds no files; wanted radiographs (DICOM, PNG, JPEG, TIFF)")
    progress.plan(len(files) + 1)
    rows, others, kept = [], 0, 0
    for path in files:
        name = path.relative_to(folder).as_posix()
        progress.step(f"read {name}")
        row, was_there = _row(path, name, out / name, reader, view)
        kept += was_there
        if row.record is None and path.suffix.lower() not in IMAGE_SUFFIXES:
            others += 1
        else:
            rows.append(row)
    if not rows:
        raise ValueError(
            f"none of the {len(files)} files in {folder} is a radiograph; a CT is measured with its --labels"
        )
    progress.step("write the table and the index")
    _write_tables(out, folder.name, rows, others)
    counts = [(state, sum(_state(row) == state for row in rows)) for state in STATES]
    if not counts[0][1] + counts[1][1]:
        raise ValueError(
            f"none of {len(rows)} films could be read; the first: {rows[0].file}: {_reason(rows[0])}; see {out / TABLE}"
        )
    told = ", ".join(f"{n} {state}" for state, n in counts if n)
    again = f"; {kept} had been read before" if kept else ""
    lines = (
        f"read {len(rows)} films: {told}{again}",
        f"measured {_curves_words(rows)}",
        f"wrote {out / TABLE}: open {out / INDEX}",
    )
    return FilmsDone(tuple(rows), lines)


def found_words(record: FilmRecord) -> str:
    """View and levels in a few words; plain ASCII, as all lines of the terminal."""
    view = "lateral" if record.view == "lateral" else "PA or AP"
    levels = (
        f"{len(record.levels)} vertebrae, {record.levels[0]} to {record.levels[-1]}" if record.levels else "no vertebra"
    )
    return f"{view}, {levels}, levels sure to {100 * (record.level_sure or 0):.0f} %"


def angle_words(record: FilmRecord) -> str:
    """The angles to read first, with their intervals."""
    words = []
    for angle in record.angles:
        if not angle.main:
            continue
        ends = f" {angle.upper.split()[0]}-{angle.lower.split()[0]}" if angle.plane == "coronal" else ""
        side = f" {angle.side}{' of the picture' if record.sides == 'picture' else ''}" if angle.side else ""
        interval = f" ({angle.interval})" if angle.interval else ""
        words.append(f"{angle.name.replace('–', '-')}{ends}{side} {angle.angle_deg:.1f} deg{interval}")
    return "; ".join(words) or "no angle"


def _files(folder: Path, out: Path) -> list[Path]:
    """Every file below the folder in the order of their names; hidden ones and those of the results are left out."""
    results = out.resolve()
    found = []
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden and not path.resolve().is_relative_to(results):
            found.append(path)
    return found


def _row(path: Path, name: str, out: Path, reader: Reader, view: FilmView | None) -> tuple[Row, bool]:
    """The row of one file, its results written, and whether they were there before."""
    try:
        before = _there(path, out, reader, view)
        if before is not None:
            return Row(name, before), True
        reading = read_film(path, reader, view=view)
    except (ValueError, OSError) as error:
        return Row(name, None, str(error).removeprefix(f"{path}: ")), False
    with whole_folder(out, last=LAST) as folder:
        for old in FILES if reading.corners is None else ():  # of a film that was not refused before
            (out / old).unlink(missing_ok=True)
        write_film(folder, reading)
    return Row(name, reading.record), False


def _there(path: Path, out: Path, reader: Reader, view: FilmView | None) -> FilmRecord | None:
    """The record of an earlier run with the same film, weights and claim; None where there is none."""
    if not (out / ANGLES).is_file():
        return None
    try:
        record = film_record_of((out / ANGLES).read_bytes(), str(out / ANGLES))
    except ValueError:  # damaged or of another version: read again
        return None
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    same = (record.sha256, record.weights, record.asked) == (digest, reader.weights, view or "")
    return record if same else None


def _write_tables(out: Path, title: str, rows: Sequence[Row], others: int) -> None:
    with saying_where(out):
        out.mkdir(parents=True, exist_ok=True)
    with output_file(out / TABLE) as part:
        part.write_text(table_text(rows), encoding="utf-8")
    worst = sorted(rows, key=lambda row: (row.rank, row.record.score or 0.0 if row.record else 0.0, row.file))
    counts = [(state, sum(_state(row) == state for row in rows)) for state in STATES]
    notes = [f"{others} other files of the folder are no radiographs and have no row."] if others else []
    with output_file(out / INDEX) as part:
        part.write_text(index_html(f"Films of {title}", [_card(row) for row in worst], counts, notes), encoding="utf-8")


def _card(row: Row) -> Card:
    if row.record is None:
        return Card(row.file, "unreadable", row.reason)
    refused = row.record.verdict == "refused"
    words = _reason(row) if refused else "; ".join(x for x in (angle_words(row.record), _reason(row)) if x)
    place = quote(row.file)
    return Card(row.file, row.record.verdict, words, f"{place}/{THUMBNAIL}", "" if refused else f"{place}/{PAGE}")


def _state(row: Row) -> str:
    return "unreadable" if row.record is None else row.record.verdict


def _reason(row: Row) -> str:
    return row.reason if row.record is None else "; ".join(row.record.reasons)


def _curves_words(rows: Sequence[Row]) -> str:
    """How many curves, and their range."""
    mains = [row.record.curves[0].angle_deg for row in rows if row.record is not None and row.record.curves]
    if not mains:
        return "no Cobb angle"
    return f"main Cobb angles of {len(mains)} films, {min(mains):.0f} to {max(mains):.0f} deg"
