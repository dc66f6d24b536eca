"""`spondyl measure` on a folder of films: bad files, being stopped, and what a second run reads again."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from film_stand_in import SHAPE, StandIn, corners, drawn, read_of, saved, spine

from spondyl.cli import run
from spondyl.cli.stopping import Stopped
from spondyl.pipeline import film_verbs
from spondyl.pipeline.film_table import COLUMNS
from spondyl.spine import Corners

FILES = ["angles.json", "corners.json", "overlay.png", "report.html", "thumbnail.png"]


@pytest.fixture(scope="module")
def found() -> Corners:
    return corners()


@pytest.fixture(scope="module")
def film(found: Corners) -> np.ndarray:
    return drawn(found)


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch, film: np.ndarray, found: Corners) -> StandIn:
    """A stand-in that knows the film, in the place of the trained reader."""
    known = StandIn()
    known.knows(film, read_of(found))
    monkeypatch.setattr(film_verbs, "load_reader", lambda folder: known.reader())
    return known


def table(out: Path) -> dict[str, dict[str, str]]:
    with (out / "angles.csv").open(encoding="utf-8", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def error(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that came on stderr."""
    line = capsys.readouterr().err
    assert line.startswith("spondyl: ")
    assert line.count("\n") == 1
    return line


@pytest.fixture
def folder(film: np.ndarray, tmp_path: Path) -> Path:
    """Two good films, one below the other, one blank, one damaged, one text."""
    films = tmp_path / "films"
    (films / "more").mkdir(parents=True)
    saved(film, films / "a.png")
    saved(255 - film, films / "more" / "b c.png")
    saved(np.full(SHAPE, 7, np.uint8), films / "blank.png")
    (films / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nxx")
    (films / "notes.txt").write_text("not a film")
    return films


def test_a_folder_goes_on_after_bad_files_and_has_a_row_for_each(
    reader: StandIn, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(["measure", str(folder), "-o", str(out)]) == 0
    rows = table(out)
    assert {name: row["verdict"] for name, row in rows.items()} == {
        "a.png": "accepted",
        "blank.png": "refused",
        "broken.png": "unreadable",
        "more/b c.png": "accepted",
    }
    assert "damaged" in rows["broken.png"]["reason"]
    assert "blank" in rows["blank.png"]["reason"]
    assert rows["more/b c.png"]["negative"] == "yes"
    assert rows["a.png"]["main_deg"] == rows["more/b c.png"]["main_deg"] != ""
    assert (rows["a.png"]["main_upper"], rows["a.png"]["main_apex"]) == ("T6", "T8/T9")
    assert (
        float(rows["a.png"]["main_low_deg"]) < float(rows["a.png"]["main_deg"]) < float(rows["a.png"]["main_high_deg"])
    )
    assert rows["a.png"]["third_deg"] != ""
    assert sorted(p.name for p in (out / "more" / "b c.png").iterdir()) == FILES
    assert sorted(p.name for p in (out / "blank.png").iterdir()) == ["angles.json", "thumbnail.png"]
    assert "read 4 films: 2 accepted, 1 refused, 1 unreadable" in capsys.readouterr().out


def test_the_index_shows_what_needs_a_look_first_and_its_links_lead_somewhere(
    reader: StandIn, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(["measure", str(folder), "-o", str(out)])
    page = (out / "index.html").read_text()
    order = re.findall(r'class="card (\w+)"', page)
    assert order == ["unreadable", "refused", "accepted", "accepted"]
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert links
    assert [link for link in links if not (out / link.replace("%20", " ")).is_file()] == []
    assert "1 other files of the folder are no radiographs" in page


def test_what_was_not_seen_is_an_empty_cell(reader: StandIn, film: np.ndarray, found: Corners, tmp_path: Path) -> None:
    thoracic = tuple(level for level in spine().levels if level[0] == "T" and level != "T3")
    reader.known[:] = []
    reader.knows(film, read_of(corners(levels=thoracic)))
    (tmp_path / "films").mkdir()
    saved(film, tmp_path / "films" / "a.png")
    assert run(["measure", str(tmp_path / "films"), "-o", str(tmp_path / "out")]) == 0
    row = table(tmp_path / "out")["a.png"]
    assert "T3" not in row["levels"].split()
    assert len(row["levels"].split()) == int(row["vertebrae"]) == 11
    for name in (
        "kyphosis_t4_t12_deg",
        "lordosis_l1_s1_deg",
        "sacral_slope_deg",
        "balance_mm",
        "third_deg",
        "third_side",
    ):
        assert row[name] == "", name
    assert not any(cell in ("nan", "None") for cell in row.values())
    assert tuple(row) == COLUMNS


def test_a_second_run_reads_nothing_again_and_ends_in_the_same_bytes(
    reader: StandIn, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(["measure", str(folder), "-o", str(out)])
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    asked = reader.asked
    assert run(["measure", str(folder), "-o", str(out)]) == 0
    assert reader.asked == asked
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


def test_a_film_that_is_now_refused_keeps_no_angles_of_before(reader: StandIn, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(["measure", str(folder), "-o", str(out)])
    saved(np.full(SHAPE, 7, np.uint8), folder / "a.png")
    run(["measure", str(folder), "-o", str(out)])
    assert sorted(p.name for p in (out / "a.png").iterdir()) == ["angles.json", "thumbnail.png"]
    assert table(out)["a.png"]["main_deg"] == ""


@pytest.mark.parametrize("changed", ["film", "weights", "view", "damage"])
def test_a_second_run_reads_again_what_has_changed(
    reader: StandIn, folder: Path, film: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    out, more = tmp_path / "out", []
    run(["measure", str(folder), "-o", str(out)])
    asked = reader.asked
    if changed == "film":
        saved(255 - film, folder / "a.png")
    elif changed == "weights":
        other = reader.reader()
        object.__setattr__(other, "weights", "1" * 64)
        monkeypatch.setattr(film_verbs, "load_reader", lambda _: other)
    elif changed == "view":
        more = ["--view", "pa"]
    else:
        (out / "a.png" / "angles.json").write_text("{")
    run(["measure", str(folder), "-o", str(out), *more])
    assert reader.asked == asked + 2 * (2 if changed in ("weights", "view") else 1)


def test_a_run_that_is_stopped_leaves_whole_films_and_goes_on(
    reader: StandIn, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, write = tmp_path / "out", film_verbs.write_film

    def stopped(part: Path, reading: object) -> None:
        write(part, reading)  # type: ignore[arg-type]
        if "b c" in str(part):
            raise Stopped(2)

    monkeypatch.setattr(film_verbs, "write_film", stopped)
    assert run(["measure", str(folder), "-o", str(out)]) == 130
    assert sorted(p.name for p in (out / "a.png").iterdir()) == FILES
    assert not (out / "more").exists()
    assert not (out / "angles.csv").exists()
    monkeypatch.setattr(film_verbs, "write_film", write)
    asked = reader.asked
    assert run(["measure", str(folder), "-o", str(out)]) == 0
    assert reader.asked == asked + 2  # the stopped film alone, in both polarities
    assert len(table(out)) == 4


def test_a_folder_without_a_film_that_can_be_read_is_exit_code_two_with_the_reasons_kept(
    reader: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films = tmp_path / "films"
    films.mkdir()
    assert run(["measure", str(films), "-o", str(tmp_path / "out")]) == 2
    assert "holds no files" in error(capsys)
    saved(np.full(SHAPE, 7, np.uint8), films / "blank.png")
    assert run(["measure", str(films), "-o", str(tmp_path / "out")]) == 2
    assert "none of 1 films could be read" in error(capsys)
    assert table(tmp_path / "out")["blank.png"]["verdict"] == "refused"


def test_results_may_lie_below_the_films_but_not_among_them(
    reader: StandIn, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert run(["measure", str(folder), "-o", str(folder / "out")]) == 0
        assert len(table(folder / "out")) == 4
    capsys.readouterr()
    assert run(["measure", str(folder), "-o", str(folder)]) == 2
    assert "name another" in error(capsys)
