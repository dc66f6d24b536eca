"""`spondyl train` reads its flags, finds its cases, and says in one line what is wrong."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from cohort_stand_in import installed
from toy_systems import Toy, ToyRegression, toy_cases, toy_pair
from typer.testing import CliRunner

from spondyl.cli import train_commands, train_data
from spondyl.cli.stopping import failure_of
from spondyl.cli.train_data import Simulated, Stored, cohort_cases
from spondyl.images import Radiograph
from spondyl.pairs import tensor_of
from spondyl.simulate import Job, Plan, simulate
from spondyl.spine import Corners
from spondyl.systems import SYSTEMS

APP = typer.Typer()
train_commands.register(APP)


def run(*words: str) -> tuple[int, str]:
    """Exit code and the last line."""
    done = CliRunner().invoke(APP, list(words))
    said = failure_of(done.exception, "spondyl train").line if isinstance(done.exception, Exception) else done.output
    return done.exit_code, said


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> type[Toy]:
    """The toy among the systems, and its pictures in the place of simulated ones."""
    monkeypatch.setitem(SYSTEMS, ToyRegression.name, ToyRegression)
    monkeypatch.setattr(train_data, "fresh_cases", lambda system, seed: (toy_cases(None), [toy_pair(10**6 + seed)]))
    return ToyRegression


def test_a_fresh_run_stops_resumes_and_tells_where_it_is(toys: type[Toy], tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["toy_regression", "-o", str(out), "--fresh", "--device", "cpu", "--set", "model.width=3"]
    code, said = run(*words, "--minutes", "0.0001")
    assert code == 0
    assert "stopped in time after step 1 of 6; go on with --resume" in said
    code, said = run(*words)
    assert code == 1
    assert "holds a run; add --resume" in said
    code, said = run(*words, "--resume")
    assert code == 0
    assert f"trained after step 6 of 6\nwrote {out}: open {out / 'index.html'}" in said
    assert "[1/" in said
    assert toys.from_pretrained(out).config == toys.Config(width=3)


def test_flags_for_batch_and_seed_are_settings(toys: type[Toy], tmp_path: Path) -> None:
    code, _ = run(
        "toy_regression", "-o", str(tmp_path), "--fresh", "--batch", "3", "--seed", "9", "--set", "train.steps=1"
    )
    assert code == 0
    card = (tmp_path / "card.md").read_text()
    assert "| train.batch | 3 |" in card
    assert "| train.seed | 9 |" in card


def test_a_stop_by_a_signal_is_the_exit_code(toys: type[Toy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopping(index: int) -> object:
        if index == 5:
            signal.raise_signal(signal.SIGTERM)
        return toy_pair(index)

    cases = type(toy_cases())(stopping, None, "toys")
    monkeypatch.setattr(train_data, "fresh_cases", lambda system, seed: (cases, []))
    code, said = run("toy_regression", "-o", str(tmp_path), "--fresh", "--device", "cpu")
    assert code == 128 + signal.SIGTERM
    assert "stopped after step 2 of 6; go on with --resume" in said


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nothing", "--fresh"], "system is 'nothing'; wanted one of: "),
        (["toy_regression"], "give either --data DIR or --fresh"),
        (["toy_regression", "--fresh", "--data", "x"], "give either --data DIR or --fresh"),
        (["toy_regression", "--fresh", "--preset", "huge"], "preset is 'huge'; toy_regression has tiny, paper"),
        (["toy_regression", "--fresh", "--set", "model.widht=3"], "model.widht: not a setting (--set model.widht=3); did you"),
        (["toy_regression", "--fresh", "--batch", "0"], "train.batch: 0 given (--set train.batch=0); wanted greater than 0"),
        (["toy_regression", "--data", "nowhere"], "nowhere holds no shards of a cohort; make one with spondyl simulate"),
        (["toy_regression", "--fresh", "--device", "cuda:77"], "device cuda:77 is not here"),
        (["toy_regression", "--fresh", "--minutes", "-1"], "minutes is -1.0; wanted more than 0"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(toys: type[Toy], words: list[str], line: str, tmp_path: Path) -> None:
    code, said = run(*words, "-o", str(tmp_path))
    assert code != 0
    assert said.startswith(line)
    assert "\n" not in said


class Film(ToyRegression):
    """A toy between two radiographs."""

    source, modalities = Radiograph, ("pa", "pa")


class Echo(ToyRegression):
    """The toy whose source the cohort lacks."""

    modalities = ("ultrasound", "pa")


class Pointer(ToyRegression):
    """A toy that reads landmarks off either view."""

    source, target, modalities = Radiograph, Corners, ("pa", "lateral")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cohort")
    with installed():
        simulate(Job(Plan(12, seed=3, modalities=("pa", "lateral"), spacing_mm=10.0), out, None))
    return out


def test_the_cases_of_a_cohort_are_its_training_split_in_the_order_of_their_ids(cohort: Path) -> None:
    cases, held_out = cohort_cases([cohort], Film)
    assert isinstance(cases.pair, Stored)
    splits = [case.record.split for case, _ in cases.pair.cases]
    assert splits == ["train"] * cases.count
    pairs = [cases.pair(i) for i in range(cases.count)]
    assert len({pair.seed for pair in pairs}) == cases.count
    assert tensor_of(pairs[0].source).equal(tensor_of(pairs[0].target))
    assert {p.seed for p in held_out} & {p.seed for p in pairs} == set()
    with pytest.raises(ValueError, match="no training case with ultrasound and pa"):
        cohort_cases([cohort], Echo)


def test_two_cohorts_are_one_after_the_other_and_a_split_by_shape_is_another_one(cohort: Path) -> None:
    one, _ = cohort_cases([cohort], Film)
    two, _ = cohort_cases([cohort, cohort], Film)
    by_shape, _ = cohort_cases([cohort], Film, split_by="shape")
    assert two.count == 2 * (one.count or 0)
    assert isinstance(by_shape.pair, Stored)
    assert {case.record.shape_split for case, _ in by_shape.pair.cases} == {"train"}
    assert by_shape.name.endswith("by shape")


def test_a_reader_takes_every_image_of_its_modalities_by_itself(cohort: Path) -> None:
    films, _ = cohort_cases([cohort], Film)
    both, _ = cohort_cases([cohort], Pointer)
    assert both.count == 2 * (films.count or 0)
    first, second = both.pair(0), both.pair(1)
    assert first.seed == second.seed
    assert first.source is first.target
    one, other = tensor_of(first.source), tensor_of(second.source)
    assert one.shape != other.shape or not one.equal(other)


def test_a_run_begins_with_the_weights_that_are_named(toys: type[Toy], tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    words = ["toy_regression", "--fresh", "--device", "cpu", "--set", "train.steps=1"]
    assert run(*words, "-o", str(old), "--seed", "4")[0] == 0
    still = ["--set", "train.optim.lr=1e-30", "--set", "train.ema_decay=0", "--set", "train.optim.weight_decay=0"]
    assert run(*words, "-o", str(new), "--init", str(old), *still)[0] == 0
    a, b = (toys.from_pretrained(folder).state_dict() for folder in (old, new))
    weights = [name for name in a if name.endswith("weight") and a[name].ndim == 4]
    assert weights
    assert all(a[name].equal(b[name]) for name in weights)
    code, said = run(*words, "-o", str(tmp_path / "third"), "--init", str(tmp_path / "nowhere"))
    assert code != 0
    assert "\n" not in said


def test_a_fresh_case_is_the_pair_of_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        train_data,
        "simulate_pairs",
        lambda *names, seed, start: (toy_pair(k) for k in (start, start + len(names) + seed)),
    )
    simulated = Simulated(("ultrasound", "pa"), False, 4)
    assert [simulated(k).seed for k in (3, 3, 9)] == [3, 3, 9]
    cases, held_out = train_data.fresh_cases(Echo, 4)
    assert cases.count is None
    assert cases.pair == simulated
    assert [pair.seed for pair in held_out] == list(range(train_data.HELD_OUT))
    films = [replace(toy_pair(k), source=toy_pair(k).target) for k in range(2)]
    monkeypatch.setattr(train_data, "simulate_pairs", lambda *names, seed, start: iter(films[start:]))
    assert [Simulated(("pa", "lateral"), True, 4)(k).seed for k in (0, 1, 2, 3)] == [0, 0, 1, 1]
