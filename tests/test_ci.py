"""The check of the demo's folder finds a page that needs the network and an angle that is wrong."""

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_demo", ROOT / ".ci" / "check_demo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def angles(truth: object, measured: object, plane: str = "coronal") -> str:
    return json.dumps({"angles": [{"name": "main", "plane": plane, "truth_deg": truth, "angle_deg": measured}]})


def test_an_angle_within_half_a_degree_passes(check: ModuleType) -> None:
    assert check.angle_faults(angles(40.0, 40.49)) == []


@pytest.mark.parametrize(
    "record",
    [
        angles(40.0, 40.51),
        angles(40.0, None),
        angles(40.0, float("nan")),
        angles(None, 40.0),
        angles(0.0, 0.0),
        angles(40.0, 40.0, plane="sagittal"),
        "{}",
        "[]",
        "not json",
    ],
)
def test_a_wrong_or_absent_angle_is_found(check: ModuleType, record: str) -> None:
    assert len(check.angle_faults(record)) == 1


def test_the_summary_names_the_worst_of_each_plane(check: ModuleType) -> None:
    rows = [("a", "coronal", 40, 40.2), ("b", "coronal", 20, 19.6), ("c", "sagittal", 30, 31.5)]
    keys = ("name", "plane", "truth_deg", "angle_deg")
    record = json.dumps({"angles": [dict(zip(keys, row, strict=True)) for row in rows]})
    assert check.summary(record) == "coronal -0.40 (b), sagittal +1.50 (c)"
    assert check.angle_faults(record) == []


def film_read(read: object, own: object, *, picture: str = "pa", verdict: str = "accepted") -> str:
    main = {"main": True, "plane": "coronal"}
    angles = [{**main, "angle_deg": read}] if verdict != "refused" else []
    film = {"picture": picture, "verdict": verdict, "reasons": ["too small"], "angles": angles}
    return json.dumps({"angles": [{**main, "picture_deg": own}], "film_readings": [film]})


def test_a_main_curve_read_within_five_degrees_of_the_picture_passes(check: ModuleType) -> None:
    assert check.reading_faults(film_read(45.9, 41.0)) == []
    assert check.reading_faults(film_read(36.1, 41.0, verdict="flagged")) == []


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (film_read(46.1, 41.0), "read off the PA film alone: 46.1"),
        (film_read(float("nan"), 41.0), "nan"),
        (film_read(41.0, None), "lacks"),
        (film_read(41.0, 41.0, picture="lateral"), "none was found"),
        (film_read(41.0, 41.0, verdict="refused"), "refused: too small"),
        (angles(40.0, 40.0), "lacks KeyError('film_readings')"),
        ("not json", "Expecting value"),
    ],
)
def test_a_wrong_or_absent_reading_is_found(check: ModuleType, record: str, words: str) -> None:
    (fault,) = check.reading_faults(record)
    assert words in fault


def test_the_reading_is_asked_for_only_where_the_reader_ships(check: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("<html></html>")
    (tmp_path / "report.json").write_text(angles(40.0, 40.0))
    assert check.faults(tmp_path) == []
    assert len(check.faults(tmp_path, reader=True)) == 1
    assert check.READER.parents[2].name == "spondyl"
    assert check.READER.parents[2].is_dir()


def test_a_page_that_stands_alone_passes(check: ModuleType) -> None:
    inside = '<img src="data:image/png;base64,AA"><a href="#top"></a><svg xmlns="http://www.w3.org/2000/svg"></svg>'
    assert check.page_faults(f"<html>{inside}<style>.a{{background:url(data:x)}}</style></html>") == []


@pytest.mark.parametrize(
    "element",
    [
        '<script src="https://cdn.example.org/x.js"></script>',
        "<link rel=stylesheet href=http://example.org/x.css>",
        '<img src="//example.org/x.png">',
        '<image xlink:href="https://example.org/x.png"/>',
        "<style>@import 'https://example.org/x.css';</style>",
        "<style>a{background:url(https://example.org/x.png)}</style>",
        '<img src="pa.png">',
        '<script src="report.js"></script>',
    ],
)
def test_a_page_that_fetches_something_is_found(check: ModuleType, element: str) -> None:
    assert len(check.page_faults(f"<html>{element}</html>")) == 1


def test_an_empty_folder_and_an_empty_page_are_found(check: ModuleType, tmp_path: Path) -> None:
    assert check.faults(tmp_path) == [f"the demo wrote no {tmp_path / name}" for name in ("report.html", "report.json")]
    (tmp_path / "report.html").write_text("")
    (tmp_path / "report.json").write_text(angles(40.0, 40.0))
    assert check.faults(tmp_path) == ["report.html holds no page"]


def test_what_continuous_integration_runs_can_be_run() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    text = script.read_text(encoding="utf-8")
    assert text.index("make test") < text.index("make demo") < text.index("check_demo.py")
