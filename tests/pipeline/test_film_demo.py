"""The demo reads its films as a user's would be read, and shows what came of it beside the picture's own angles."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from film_stand_in import StandIn, nothing, read_of
from PIL import Image

from spondyl.images import Radiograph
from spondyl.measure.cobb import cobb_from_corners, main_curve
from spondyl.pipeline import Done, verbs
from spondyl.pipeline.exposing import Exposing
from spondyl.pipeline.film_demo import ABSENT, TITLE, film_gallery, films_line, reader_records, shipped_reader
from spondyl.pipeline.film_reading import FilmReading, read_film
from spondyl.pipeline.pictures import PNG_WINDOW
from spondyl.pipeline.study import Case, Pictured
from spondyl.progress import Progress
from spondyl.report import AngleRecord, Report
from spondyl.report.page import report_html
from spondyl.report.record import ReaderRecord
from spondyl.sim.patient import demo_patient
from spondyl.weights import MODEL

STEADY_DEG = 0.5  # what steadying may change of corners that are said to be exact
LABELS_DEG = 2.0  # what the labels of a CT of 3 mm may be off


@dataclass(frozen=True, eq=False)
class Shown:
    """A demo with a reader that finds the designed spine's exact corners, and the radiographs that it took."""

    done: Done
    folder: Path
    taken: dict[str, Radiograph]

    @property
    def record(self) -> dict[str, list[dict[str, object]]]:
        found: dict[str, list[dict[str, object]]] = json.loads((self.folder / "report.json").read_text())
        return found

    def main(self, name: str) -> dict[str, object]:
        """The first angle of a film that is to be read first."""
        row = next(r for r in self.record["film_readings"] if r["picture"] == name)
        angles = row["angles"]
        assert isinstance(angles, list)
        return next(a for a in angles if a["main"])


def as_stored(radiograph: Radiograph) -> np.ndarray:
    """The radiograph in the window of its PNG, 8 bits."""
    low, high = PNG_WINDOW
    grey = ((radiograph.optical_depth - low) / (high - low)).clamp(0, 1)
    return np.asarray((grey * 255).round().to(torch.uint8))


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    stand_in, taken = StandIn(), {}
    take = verbs.picture_case

    def watched(case: Case, exposing: Exposing, progress: Progress) -> tuple[Pictured, ...]:
        pictured = take(case, exposing, progress)
        for one in pictured:
            radiograph = one.shot.radiograph
            taken[one.shot.name] = radiograph
            exact = demo_patient().spine.project(radiograph.view)
            lateral = 0.97 if one.shot.name == "lateral" else 0.03
            stand_in.knows(as_stored(radiograph), read_of(exact, lateral=lateral, spread_px=0.05))
        return pictured

    out = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verbs, "DEMO_SPACING_MM", 3.0)
        patch.setattr(verbs, "picture_case", watched)
        done = verbs.demo(out, reader=stand_in.reader())
    assert stand_in.asked == 2  # once a film: a PNG of ours says that bone is bright
    return Shown(done, out, taken)


def test_the_main_curve_read_off_the_film_is_the_pictures_own(shown: Shown) -> None:
    view = shown.taken["pa"].view
    magnification = float(view.magnification(demo_patient().spine.centres_mm.mean(0)[None])[0])
    own = main_curve(cobb_from_corners(demo_patient().spine.project(view), u_magnification=magnification))
    main = shown.main("pa")
    assert own is not None
    assert main["angle_deg"] == pytest.approx(own.angle_deg, abs=STEADY_DEG)
    assert main["picture_deg"] == pytest.approx(own.angle_deg, abs=LABELS_DEG)
    assert main["truth_deg"] == pytest.approx(42.0, abs=0.01)
    assert main["side"] == own.side == "right"
    assert main["low_deg"] < main["angle_deg"] < main["high_deg"]  # type: ignore[operator]


def test_kyphosis_and_lordosis_stand_beside_the_designed_ones(shown: Shown) -> None:
    kyphosis = shown.main("lateral")
    assert kyphosis["name"] == "Kyphosis T4–T12"
    assert kyphosis["truth_deg"] == pytest.approx(30.0, abs=0.01)
    assert kyphosis["angle_deg"] == pytest.approx(kyphosis["picture_deg"], abs=STEADY_DEG + LABELS_DEG)


def test_the_page_shows_both_films_with_lines_names_and_angles(shown: Shown) -> None:
    page = (shown.folder / "report.html").read_text()
    section = page.split(f"<h2>{TITLE}</h2>")[1].split("</section>")[0]
    assert section.count("<figure") == 2
    pa, lateral = section.split("</figure>")[:2]
    for figure in (pa, lateral):
        assert figure.count('class="endplate"') >= 35
        assert ">T12<" in figure
    assert pa.count('class="arc"') >= 2
    caption = " ".join(re.sub("<[^>]+>", "", pa.split("<figcaption>")[1]).split())
    assert re.search(
        r"Main Cobb T\d+–\w+ right 4\d\.\d° \(\d+ to \d+\), in the picture 4\d\.\d, designed 42\.0", caption
    )
    assert "90 % interval" in section
    assert "not calibrated" in section


def test_the_film_with_its_lines_is_a_file_of_its_own_and_says_that_it_is_simulated(shown: Shown) -> None:
    record = json.loads((shown.folder / "report.json").read_text())
    for name in ("pa", "lateral"):
        assert f"{name}_read.png" in record["files"]
        with Image.open(shown.folder / f"{name}_read.png") as image:
            assert image.text["Description"].startswith("SIMULATED")  # type: ignore[attr-defined]
            pixels = np.asarray(image.convert("RGB")).astype(int)
        coloured = (pixels.max(axis=2) - pixels.min(axis=2)) > 60
        assert coloured.sum() > 1000
    assert set(record["files"]) == {path.name for path in shown.folder.iterdir()}


def test_one_line_of_the_terminal_says_it(shown: Shown) -> None:
    assert len(shown.done.lines) == 4
    line = shown.done.lines[2]
    assert line.isascii()
    assert re.match(r"read off the films alone: main Cobb T\d+-\w+ right 4\d\.\d deg \(\d+ to \d+\), in the pict", line)
    assert "designed 42.0" in line
    assert "; Kyphosis T4-T12 " in line
    assert ABSENT not in shown.done.report.notes


def test_the_demo_compares_with_the_design_and_says_that_it_is_simulated(shown: Shown) -> None:
    record = json.loads((shown.folder / "report.json").read_text())
    assert record["simulated"] is True
    assert "SIMULATED" in shown.done.lines[0]
    assert all(line.isascii() and "\n" not in line for line in shown.done.lines)
    main = next(a for a in record["angles"] if a["main"] and a["plane"] == "coronal")
    assert main["truth_deg"] == pytest.approx(42.0, abs=0.01)
    assert main["error_deg"] == pytest.approx(main["angle_deg"] - main["truth_deg"], abs=0.011)
    assert set(record["levels"]) <= set(demo_patient().spine.levels)
    assert {"ct.nii.gz", "labels.nii.gz", "pa.dcm", "lateral.dcm"} <= set(record["files"])
    assert json.loads((shown.folder / "ct.json").read_text())["SyntheticData"] == "YES"


@pytest.mark.slow
def test_a_demo_without_the_reader_goes_on_and_says_so_in_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spondyl.weights.HERE", tmp_path / "none")
    monkeypatch.setattr(verbs, "DEMO_SPACING_MM", 3.0)
    done = verbs.demo(tmp_path / "out")
    record = json.loads((tmp_path / "out" / "report.json").read_text())
    assert len(done.lines) == 3
    assert record["film_readings"] == []
    assert record["notes"].count(ABSENT) == 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert ABSENT in page
    assert TITLE not in page
    assert set(record["files"]) == {path.name for path in (tmp_path / "out").iterdir()}


ANGLES = (
    AngleRecord("Cobb, main thoracic", "coronal", "T6 superior", "T11 inferior", True, "T8", "right", 41.8, 41.2, 42.0),
    AngleRecord("Cobb, lumbar", "coronal", "T11 superior", "L4 inferior", False, "L2", "left", 26.1, 25.9, 26.0),
    AngleRecord("Rotation at T8", "axial", "T8", "sagittal plane", False, "T8", "right", 10.0),
)


@pytest.fixture
def film(shown: Shown) -> tuple[np.ndarray, FilmReading]:
    """The PA's picture, and its reading."""
    stand_in, pa = StandIn(), shown.taken["pa"]
    stand_in.knows(as_stored(pa), read_of(demo_patient().spine.project(pa.view)))
    return as_stored(pa), read_film(shown.folder / "pa.png", stand_in.reader())


def test_a_curve_is_compared_with_the_one_of_its_side_that_shares_most_levels(
    film: tuple[np.ndarray, FilmReading],
) -> None:
    (record,) = reader_records({"pa": film[1]}, ANGLES)
    beside = {a.side: (a.picture_deg, a.truth_deg) for a in record.angles if not a.name.startswith("Cobb, proximal")}
    assert beside == {"right": (41.2, 42.0), "left": (25.9, 26.0)}
    (other,) = reader_records({"pa": film[1]}, tuple(replace(a, side="none") for a in ANGLES))
    assert {a.truth_deg for a in other.angles} == {None}


def line_of(records: tuple[ReaderRecord, ...]) -> tuple[str, ...]:
    return films_line(Report("demo", True, {}, (), film_readings=records))


def test_a_film_that_the_guard_refuses_shows_its_reason_and_no_line(shown: Shown) -> None:
    stand_in = StandIn()
    stand_in.knows(as_stored(shown.taken["pa"]), nothing())
    readings = {"pa": read_film(shown.folder / "pa.png", stand_in.reader())}
    records = reader_records(readings, ANGLES)
    assert records[0].verdict == "refused"
    assert records[0].angles == ()
    (gallery,) = film_gallery(readings, records)
    assert gallery.films[0].drawing == ""
    assert "refused" in gallery.films[0].caption
    assert "is it a film of a spine?" in gallery.films[0].caption
    (line,) = line_of(records)
    assert "pa refused: 0 vertebrae were found" in line
    assert "is it a film of a spine?" in report_html(Report("demo", True, {}, ()), [], [gallery])


def test_a_doubtful_film_is_measured_and_its_doubt_is_said(shown: Shown) -> None:
    stand_in, pa = StandIn(), shown.taken["pa"]
    stand_in.knows(as_stored(pa), read_of(demo_patient().spine.project(pa.view), sure=0.5))
    readings = {"pa": read_film(shown.folder / "pa.png", stand_in.reader())}
    records = reader_records(readings, ANGLES)
    assert records[0].verdict == "flagged"
    (line,) = line_of(records)
    assert "main Cobb" in line
    assert "pa is DOUBTFUL: levels are sure to 50 %" in line
    assert "doubtful: levels are sure to 50 %" in film_gallery(readings, records)[0].films[0].caption


def test_without_weights_there_is_no_reader_and_with_damaged_ones_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spondyl.weights.HERE", tmp_path)
    assert shipped_reader() is None
    assert film_gallery({}, ()) == ()
    assert line_of(()) == ()
    (tmp_path / "xray_to_corners").mkdir()
    (tmp_path / "xray_to_corners" / MODEL).write_bytes(b"no weights")
    with pytest.raises(ValueError, match="xray_to_corners"):
        shipped_reader()
