"""The evaluator on drawn spines: what a perfect, a shifted, a failing and a blind system must come out as."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from drawn_spines import Says, case, picture, protocol, spine, tilts

from spondyl.evaluate import Entrant, EvaluationCase, evaluate
from spondyl.evaluate.answers import Answer, AnswerFile, Heading
from spondyl.evaluate.controls import mean_readings, partners
from spondyl.evaluate.run import Evaluated
from spondyl.evaluate.summary import Summary
from spondyl.spine import Corners

ANGLES = (20.0, 26.0, 33.0, 41.0, 52.0, 60.0)
TRUE = [spine(tilts(a)) for a in ANGLES]
CASES = [case(i, corners) for i, corners in enumerate(TRUE)]


def entrant(name: str, answers: Sequence[Corners | None]) -> Entrant:
    return Entrant(name, Says(answers), name * 4)


def run(out: Path, *entrants: Entrant, cases: Sequence[EvaluationCase] = CASES) -> Evaluated:
    return evaluate(entrants, cases, out, protocol=protocol(cases), resamples=100)


def row(done: Evaluated, system: str, quantity: str = "main_cobb", role: str = "system") -> Summary:
    return next(s for s in done.table.summaries if (s.system, s.quantity, s.role) == (system, quantity, role))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Evaluated, Path]:
    out = tmp_path_factory.mktemp("both")
    shifted = [spine(tilts(a), extra_deg=5.0) for a in ANGLES]
    return run(out, entrant("perfect", TRUE), entrant("shifted", shifted)), out


def test_a_perfect_system_has_no_error_and_one_five_degrees_off_has_five(both: tuple[Evaluated, Path]) -> None:
    done, _ = both
    perfect, shifted = row(done, "perfect"), row(done, "shifted")
    assert perfect.mean is not None
    assert perfect.mean.value == 0
    assert shifted.mean is not None
    assert shifted.agreement is not None
    assert shifted.mean.value == pytest.approx(5, abs=1e-4)
    assert shifted.agreement.bias.value == pytest.approx(5, abs=1e-4)
    assert row(done, "perfect", "upper_end").mean.value == 0  # type: ignore[union-attr]
    assert row(done, "perfect", "found").mean.value == 100  # type: ignore[union-attr]
    assert row(done, "perfect", "corner_mm").mean.value == 0  # type: ignore[union-attr]


def test_the_paired_interval_tells_the_shifted_system_from_the_perfect_one(both: tuple[Evaluated, Path]) -> None:
    done, _ = both
    found = next(
        d for d in done.table.differences if (d.quantity, d.first, d.second) == ("main_cobb", "perfect", "shifted")
    )
    assert found.estimate.value == pytest.approx(-5, abs=1e-4)
    assert found.estimate.interval.high < 0


def test_the_mean_predictor_leaves_the_patient_out_where_nothing_was_learnt(both: tuple[Evaluated, Path]) -> None:
    done, _ = both
    expected = sum(abs(a - (sum(ANGLES) - a) / (len(ANGLES) - 1)) for a in ANGLES) / len(ANGLES)
    got = row(done, "mean predictor", role="mean").mean
    assert got is not None
    assert got.value == pytest.approx(expected, abs=1e-4)


def test_the_mean_predictor_says_the_mean_of_what_was_learnt() -> None:
    learnt = [case(i, spine(tilts(a))).truth for i, a in enumerate((30.0, 40.0))]
    said = mean_readings(CASES, learnt)
    values = {r.value for readings in said.values() for r in readings if r.quantity == "main_cobb"}
    assert len(values) == 1
    assert values.pop() == pytest.approx(35, abs=1e-4)


def test_a_patient_with_two_films_is_left_out_with_both() -> None:
    cases = [case(0, TRUE[0], "a"), case(1, TRUE[1], "a"), case(2, TRUE[2], "b")]
    said = mean_readings(cases, ())
    values = [next(r.value for r in said[c.id] if r.quantity == "main_cobb") for c in cases]
    assert values == pytest.approx([33, 33, 23], abs=1e-4)


def test_shuffled_inputs_of_a_perfect_system_are_permuted_truths(both: tuple[Evaluated, Path]) -> None:
    done, _ = both
    rows = next(r for r in done.outcomes.rows if (r.name, r.role) == ("perfect", "shuffled"))
    said = [next(r.value for r in rows.readings[c.id] if r.quantity == "main_cobb") for c in CASES]
    right = [next(r.truth for r in rows.readings[c.id] if r.quantity == "main_cobb") for c in CASES]
    assert right == pytest.approx(ANGLES, abs=1e-4)
    assert sorted(said) == pytest.approx(sorted(ANGLES), abs=1e-4)
    assert all(abs(s - a) > 1 for s, a in zip(said, ANGLES, strict=True))
    expected = sum(abs(s - a) for s, a in zip(said, ANGLES, strict=True)) / len(ANGLES)
    got = row(done, "perfect", role="shuffled").mean
    assert got is not None
    assert got.value == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("sizes", [(1, 1), (2, 2, 1), (3, 2, 1), (5, 1, 1)])
def test_nobody_is_shown_a_picture_of_their_own(sizes: tuple[int, ...]) -> None:
    who = [p for p, n in enumerate(sizes) for _ in range(n)]
    cases = [case(i, TRUE[0], f"p{p}") for i, p in enumerate(who)]
    for seed in range(5):
        found = partners(cases, generator=torch.Generator().manual_seed(seed))
        assert all(found[c.id].patient != c.patient for c in cases)
        if max(sizes) * 2 <= sum(sizes):
            assert len({other.id for other in found.values()}) == len(cases)


def test_failures_are_counted_and_cost_what_the_mean_predictor_costs(tmp_path: Path) -> None:
    blind = [None, *TRUE[1:5], None]
    got = row(done := run(tmp_path, entrant("half", blind)), "half")
    assert (got.n, got.failures) == (4, 2)
    assert got.mean is not None
    assert got.mean_with_failures is not None
    assert got.mean.value == 0
    means = [abs(ANGLES[i] - (sum(ANGLES) - ANGLES[i]) / 5) for i in (0, 5)]
    assert got.mean_with_failures.value == pytest.approx(sum(means) / 6, abs=1e-4)
    assert got.agreement is not None
    assert got.agreement.within[1].share.percent == pytest.approx(100 * 4 / 6)
    assert row(done, "half", "found").failures == 0
    lines = list(csv.DictReader((tmp_path / "results.csv").open()))
    failed = [x for x in lines if (x["role"], x["quantity"], x["value"]) == ("system", "main_cobb", "")]
    assert [x["case"] for x in failed] == ["case-0", "case-5"]


def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run(whole, entrant("a", TRUE))

    class Stop(BaseException):
        pass

    def ends(number: int) -> EvaluationCase:
        def load() -> object:
            if number == 3:
                raise Stop
            return picture(number)

        return EvaluationCase(CASES[number].id, CASES[number].patient, load, CASES[number].truth)  # type: ignore[arg-type]

    with pytest.raises(Stop):
        run(stopped, entrant("a", TRUE), cases=[ends(i) for i in range(6)])
    answers = stopped / "answers/a.jsonl"
    assert len(answers.read_text().splitlines()) == 4  # a heading and three cases
    with answers.open("ab") as file:
        file.write(b'{"case":"case-3","fail')  # killed inside a line
    again = entrant("a", TRUE)
    run(stopped, again)
    assert again.system.asked == 3
    for name in ("answers/a.jsonl", "results.json", "results.csv", "index.html"):
        assert (stopped / name).read_bytes() == (whole / name).read_bytes(), name


def heading(weights: str) -> Heading:
    return Heading("a", weights, "0" * 64, 0, "own", "1")


def test_answers_come_back_as_they_were_and_those_of_other_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    torn = spine(tilts(33.0)).corners_px
    torn[2, 1] = torch.nan
    said = Corners(TRUE[0].levels, torn, torch.full((17,), 0.25), TRUE[0].view)
    AnswerFile(path, heading("x"), CASES).append(Answer("case-1", "case-2", word=said))
    back = AnswerFile(path, heading("x"), CASES).answers["case-1", "case-2"].word
    assert isinstance(back, Corners)
    assert back.corners_px.nan_to_num(-1).equal(torn.nan_to_num(-1))
    assert back.confidence.equal(said.confidence)
    assert AnswerFile(path, heading("x"), CASES[:1]).answers == {}
    with pytest.raises(ValueError, match="holds answers of other weights, data or settings; name another folder"):
        AnswerFile(path, heading("y"), CASES)
    path.write_bytes(path.read_bytes().replace(b'"case":"case-1"', b'"cane":"case-1"'))
    with pytest.raises(ValueError, match=r"a\.jsonl is damaged; delete it"):
        AnswerFile(path, heading("x"), CASES)


def test_a_system_that_answers_nothing_is_said_with_its_reason(tmp_path: Path) -> None:
    class Broken(Says):
        def sample(self, source: torch.Tensor, view: object, *, generator: torch.Generator) -> torch.Tensor:
            raise ValueError("the picture is too small")

    with pytest.raises(ValueError, match="a answered no case: the picture is too small"):
        run(tmp_path, Entrant("a", Broken(TRUE), "x"))


def test_json_has_numbers_or_null_and_the_protocol(both: tuple[Evaluated, Path]) -> None:
    _, out = both
    content = json.loads((out / "results.json").read_text(), parse_constant=lambda word: pytest.fail(word))
    assert content["protocol"]["data_sha256"] == "0" * 64
    assert {s["role"] for s in content["summaries"]} == {"system", "shuffled", "mean"}


def test_what_cannot_be_evaluated_is_said_in_one_line(tmp_path: Path) -> None:
    one = [case(i, TRUE[i], "same") for i in range(3)]
    with pytest.raises(ValueError, match="fewer than two patients"):
        run(tmp_path, entrant("a", TRUE), cases=one)
    with pytest.raises(ValueError, match="system a comes twice"):
        run(tmp_path, entrant("a", TRUE), entrant("a", TRUE))
    with pytest.raises(ValueError, match="case case-0 comes twice"):
        run(tmp_path, entrant("a", TRUE), cases=[CASES[0], CASES[0]])
