"""The page of an evaluation needs nothing else, shows the worst case first, and its plots hold what they say."""

import re
from pathlib import Path

import pytest
from drawn_spines import Says, case, protocol, spine, tilts

from spondyl.evaluate import Entrant, EvaluationCase, evaluate
from spondyl.evaluate.cells import estimate, number, verdict
from spondyl.evaluate.plots import Axis, Point, bland_altman, scatter
from spondyl.evaluate.summary import Difference
from spondyl.metrics.interval import Estimate, Interval

ANGLES = (20.0, 30.0, 40.0, 50.0)
TRUE = [spine(tilts(a)) for a in ANGLES]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("page")
    cases = [case(i, c, aasce=True) for i, c in enumerate(TRUE)]
    odd = EvaluationCase("<odd> & 'case'", cases[0].patient, cases[0].load, cases[0].truth)
    answers = [TRUE[0], spine(tilts(38.0)), None, TRUE[3]]
    asked = [odd, *cases[1:]]
    evaluate([Entrant("good", Says(TRUE), "a"), Entrant("bad", Says(answers), "b")], asked, out,
             protocol=protocol(asked), resamples=100)  # fmt: skip
    return (out / "index.html").read_text(encoding="utf-8")


def test_the_page_needs_nothing_from_elsewhere(page: str) -> None:
    assert not re.findall(r"https?://", page)
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert page.count("<script>") == 1
    assert "fetch" not in page


def test_names_are_escaped(page: str) -> None:
    assert "<odd>" not in page
    assert "&lt;odd&gt; &amp; &#39;case&#39;" in page


def test_both_systems_their_controls_and_the_mean_predictor_are_in_the_table(page: str) -> None:
    for words in ("good", "good, shuffled inputs", "bad, shuffled inputs", "mean predictor"):
        assert f'<th scope="row">{words}</th>' in page
    assert "0000000000" in page


def test_the_worst_case_of_the_first_system_is_on_top(tmp_path: Path) -> None:
    answers = [TRUE[0], spine(tilts(38.0)), None, spine(tilts(51.0))]
    cases = [case(i, c) for i, c in enumerate(TRUE)]
    evaluate([Entrant("bad", Says(answers), "b")], cases, tmp_path, protocol=protocol(cases), resamples=100)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert re.findall(r'<th scope="row" data-v="(case-\d)"', text) == ["case-2", "case-1", "case-3", "case-0"]
    assert text.count('<path class="t"') == 4
    assert text.count('<path class="s"') == 3


def test_a_scatter_has_a_dot_for_each_reading_and_a_stroke_for_each_failure() -> None:
    drawn = scatter([Point(10, 12, "a"), Point(20, 19, "b"), Point(30, None, "c")], "°")
    assert drawn.count("<circle") == 2
    assert drawn.count('class="miss"') == 1
    assert "a: 12.0 for 10.0 °" in drawn
    assert scatter([Point(30, None, "c")], "°") == bland_altman([Point(30, None, "c")], None, "°") == ""


def test_ticks_are_round_and_inside() -> None:
    axis = Axis(-3.7, 61.0, 0.0, 100.0, "x")
    ticks = axis.ticks()
    assert ticks == pytest.approx([0, 20, 40, 60])
    assert axis.at(-3.7) == 0
    assert axis.at(61.0) == pytest.approx(100)


def test_numbers_are_short_and_an_open_interval_is_not_shown() -> None:
    assert [number(x) for x in (1.234, 12.34, 1234.5)] == ["1.23", "12.3", "1234"]
    assert estimate(Estimate(4.3, Interval(3.9, 4.8), 10, 10)) == "4.3 (3.9 to 4.8)"
    assert estimate(Estimate(4.3, Interval(float("-inf"), float("inf")), 10, 10)) == "4.3"
    assert estimate(Estimate(float("nan"), Interval(0, 1), 10, 10)) == "–"


def test_a_verdict_knows_whether_small_or_large_is_good() -> None:
    def told(quantity: str, low: float, high: float) -> str:
        return verdict(Difference(quantity, "a", "b", Estimate((low + high) / 2, Interval(low, high), 9, 9), 0))

    assert told("main_cobb", -2, -1) == "a is better"
    assert told("ssim", -0.2, -0.1) == "b is better"
    assert told("smape", 1, 2) == "b is better"
    assert told("main_cobb", -1, 1) == "not told apart"
