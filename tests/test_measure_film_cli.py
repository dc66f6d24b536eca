"""`spondyl measure` on one film: what is written, and what is refused in one line."""

import json
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from film_stand_in import SHAPE, StandIn, corners, drawn, read_of, saved, spine
from PIL import Image

from spondyl.cli import run
from spondyl.pipeline import film_verbs
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


def error(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that came on stderr."""
    line = capsys.readouterr().err
    assert line.startswith("spondyl: ")
    assert line.count("\n") == 1
    return line


def test_one_film_gives_its_files_and_three_lines(
    reader: StandIn, film: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(film, tmp_path / "a.png")
    assert run(["measure", str(path), "-o", str(tmp_path / "out")]) == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == FILES
    read, measured, wrote = capsys.readouterr().out.splitlines()[-3:]
    assert read == "read a.png: PA or AP, 19 vertebrae, C7 to S1, levels sure to 95 %"
    assert re.fullmatch(r"measured Cobb, main thoracic T6-T11 right of the picture \d+\.\d deg \(.*\)", measured)
    assert wrote.startswith("wrote 5 files")


def test_corners_on_disk_are_those_that_were_found(
    reader: StandIn, film: np.ndarray, found: Corners, tmp_path: Path
) -> None:
    run(["measure", str(saved(film, tmp_path / "a.png")), "-o", str(tmp_path / "out")])
    body = json.loads((tmp_path / "out" / "corners.json").read_text())
    assert [v["level"] for v in body["vertebrae"]] == list(spine().levels)
    assert body["vertebrae"][0]["corners_px"] == [pytest.approx(p, abs=0.02) for p in found.corners_px[0].tolist()]
    assert body["vertebrae"][-1]["corners_px"][2:] == [None, None]  # S1 has one endplate
    assert body["vertebrae"][3]["score"] == 0.9


def test_the_overlay_draws_the_lines_where_the_corners_are(
    reader: StandIn, film: np.ndarray, found: Corners, tmp_path: Path
) -> None:
    run(["measure", str(saved(film, tmp_path / "a.png")), "-o", str(tmp_path / "out")])
    with Image.open(tmp_path / "out" / "overlay.png") as image:
        picture = np.asarray(image.convert("RGB")).astype(int)
    scale = picture.shape[0] / SHAPE[0]
    for row in (2, 9, 15):
        v, u = ((found.corners_px[row, :2].mean(0) + 0.5) * scale - 0.5).round().long().tolist()
        around = picture[v - 3 : v + 4, u - 3 : u + 4].reshape(-1, 3)
        assert (np.ptp(around, axis=1) > 60).any(), spine().levels[row]  # coloured, where the film is grey
    assert not (np.ptp(picture[:40, :40].reshape(-1, 3), axis=1) > 0).any()


def test_the_report_stands_alone_and_says_what_it_is_not(reader: StandIn, film: np.ndarray, tmp_path: Path) -> None:
    run(["measure", str(saved(film, tmp_path / "a.png")), "-o", str(tmp_path / "out")])
    page = unescape((tmp_path / "out" / "report.html").read_text())
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert "<script" not in page
    assert page.count('class="endplate"') == 2 * 19 - 1
    for words in ("not a medical device", "not calibrated", "simulated patients only", "as displayed", "T6–T11"):
        assert words in page, words


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (np.full(SHAPE, 90, np.uint8), "blank"),
        (np.random.default_rng(0).integers(0, 255, SHAPE).astype(np.uint8), "is it a film of a spine?"),
        (np.random.default_rng(0).integers(0, 255, (100, 80)).astype(np.uint8), "pixels"),
    ],
)
def test_what_is_no_film_is_refused_in_one_line_and_nothing_is_written(
    reader: StandIn, content: np.ndarray, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(content, tmp_path / "a.png")
    assert run(["measure", str(path), "-o", str(tmp_path / "out")]) == 2
    line = error(capsys)
    assert words in line
    assert str(path) in line
    assert not (tmp_path / "out").exists()


def test_a_tiff_of_sixteen_bits_that_shows_something_else_is_refused(
    reader: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    v, u = np.mgrid[: SHAPE[0], : SHAPE[1]]
    cat = 20000 + 30000 * np.exp(-(((v - 300) / 120.0) ** 2 + ((u - 150) / 60.0) ** 2))
    Image.fromarray(cat.astype(np.uint16)).save(tmp_path / "cat.tif")
    assert run(["measure", str(tmp_path / "cat.tif"), "-o", str(tmp_path / "out")]) == 2
    assert "is it a film of a spine?" in error(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--view", "oblique"], "wanted pa or lateral"),
        (["--label-scheme", "verse"], "--labels"),
        (["--labels", "l.nii.gz", "--view", "pa"], "--view"),
    ],
)
def test_flags_that_do_not_belong_together_are_refused(
    reader: StandIn, film: np.ndarray, more: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["measure", str(saved(film, tmp_path / "a.png")), "-o", str(tmp_path / "out"), *more]) == 2
    assert words in error(capsys)
    assert not (tmp_path / "out").exists()


def test_a_ct_without_labels_says_what_it_lacks(
    reader: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ct.nii.gz").write_bytes(b"x")
    assert run(["measure", str(tmp_path / "ct.nii.gz"), "-o", str(tmp_path / "out")]) == 2
    assert "--labels" in error(capsys)
