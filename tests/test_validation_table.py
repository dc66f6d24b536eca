"""The validation tables: the page carries what the last results say, and a row judges, keeps and prints itself rightly."""

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE, RESULTS = ROOT / "docs" / "validation.md", ROOT / "benchmarks" / "validation.csv"


def module(path: Path) -> ModuleType:
    """A script as a module, under a name of its own."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = made
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="module")
def splice() -> ModuleType:
    return module(ROOT / "docs" / "splice_validation.py")


@pytest.fixture(scope="module")
def rows(splice: ModuleType) -> ModuleType:
    return sys.modules["cohort_rows"]


def test_the_page_carries_the_rows_of_the_last_run(splice: ModuleType) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert {match["name"] for match in splice.BLOCK.finditer(page)} == {"cohort", "images", "films", "readers"}
    assert splice.spliced(page) == page, "run: python docs/splice_validation.py"


def test_every_target_has_a_row_and_no_row_is_unjudged(rows: ModuleType) -> None:
    kept = rows.stored(RESULTS)
    targets = {r["target"] for r in kept if r["table"] in ("cohort", "images")}
    assert targets == {str(n) for n in range(1, 18)}
    for r in kept:
        if r["pass"] == "not measured":
            assert r["note"], r["row"]
            continue
        inside = float(r["wanted_low"]) <= float(r["value"]) <= float(r["wanted_high"])
        assert r["pass"] in ("pass", "fail")
        if r["value"] not in (r["wanted_low"], r["wanted_high"]):  # printed to three digits
            assert inside == (r["pass"] == "pass"), r["row"]
        assert int(r["n"]) > 0


def test_a_row_passes_inside_its_range_only(rows: ModuleType) -> None:
    data = np.array([1.0, 2.0, 3.0])
    assert rows.row("1", "x", 2.0, 4.0, data, rows.mean).verdict == "pass"
    assert rows.row("1", "x", 2.1, 4.0, data, rows.mean).verdict == "fail"
    assert rows.missing("1", "x", 0.0, 1.0, "no sensor").verdict == "not measured"


def test_the_interval_is_over_patients_and_not_over_their_curves(rows: ModuleType) -> None:
    """Ten copies of each patient's value say no more than one: the interval stays as wide, as n does."""
    values = np.random.default_rng(1).normal(size=40)
    single = rows.row("1", "x", -9, 9, values, rows.mean)
    copied = rows.row("1", "x", -9, 9, values.repeat(10), rows.mean, who=np.arange(40).repeat(10).tolist())
    naive = rows.row("1", "x", -9, 9, values.repeat(10), rows.mean)
    assert copied.interval == pytest.approx(single.interval)
    assert copied.n == 40
    width = copied.interval[1] - copied.interval[0]
    assert width == pytest.approx(2 * 1.96 * values.std() / math.sqrt(40), rel=0.2)
    assert naive.interval[1] - naive.interval[0] < 0.5 * width


def test_a_script_replaces_its_own_rows_only(rows: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "validation.csv"
    first = rows.row("1", "|a|, mm", 0.0, 2.0, np.ones(3), rows.mean)
    rows.keep("cohort", [first], 7, path)
    rows.keep("images", [rows.missing("16", "b", 0.0, 1.0, "no sensor")], 7, path)
    rows.keep("cohort", [first, first], 8, path)
    kept = rows.stored(path)
    assert [(r["table"], r["seed"]) for r in kept] == [("images", "7"), ("cohort", "8"), ("cohort", "8")]
    table = rows.markdown(kept)
    assert "\\|a\\|, mm" in table
    assert "not measured: no sensor" in table
    assert "2 of 2 rows that were measured pass" in table


def test_splicing_changes_nothing_but_the_blocks(splice: ModuleType, rows: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "validation.csv"
    rows.keep("cohort", [rows.row("1", "x", 0.0, 2.0, np.ones(3), rows.mean)], 7, path)
    page = "a\n<!-- rows cohort: begin -->\nold\n<!-- rows cohort: end -->\n"
    page += "<!-- rows films: begin -->\n<!-- rows films: end -->\n"
    new = splice.spliced(page, path)
    assert new.startswith("a\n<!-- rows cohort: begin -->\n\n| target |")
    assert "No figures yet" in new
    assert "old" not in new
    assert splice.spliced(new, path) == new
