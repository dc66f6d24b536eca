"""The loop learns, stops where it is asked to, and a run that was stopped anywhere ends with the bits of one that was not."""

import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from jaxtyping import Float
from toy_systems import TOYS, Toy, ToyConfig, ToyRegression, toy_cases, toy_pair, toy_training

from spondyl.pairs import Batch, Pair
from spondyl.system import Training
from spondyl.train import Cases, Trained, build, train
from spondyl.train.checkpoint import newest
from spondyl.train.events import read_events, series

STEPS = 8


def run(
    kind: type[Toy],
    out: Path,
    settings: Training | None = None,
    *,
    cases: Cases | None = None,
    resume: bool = False,
    minutes: float | None = None,
    width: int = 8,
) -> Trained:
    return train(
        build(kind, ToyConfig(width=width), seed=1),
        cases or toy_cases(),
        out,
        settings=settings or toy_training(STEPS),
        resume=resume,
        minutes=minutes,
        device="cpu",
    )


def end_of(out: Path) -> str:
    """The hash of everything in the newest checkpoint: weights, average, buffers, optimisers."""
    found = newest(out)
    assert found is not None
    assert found.record.step == STEPS
    return found.record.sha256


def when(index: int, act: Callable[[], None]) -> Cases:
    """The toys; fetching the case with this number does something."""
    seen: list[int] = []

    def pair(asked: int) -> Pair:
        seen.append(asked)
        # the very first one is the pre-flight's
        if len(seen) == index + 2:
            act()
        return toy_pair(asked)

    return Cases(pair, 10, "toys")


def stopping(step: int) -> Cases:
    """The toys, with a SIGTERM while the batches of a step are fetched (four cases a step)."""
    return when(4 * step, lambda: os.kill(os.getpid(), signal.SIGTERM))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The end of an undisturbed run of every toy."""
    ends = {}
    for name, kind in TOYS.items():
        out = tmp_path_factory.mktemp(name)
        assert run(kind, out) == Trained(STEPS, STEPS, "done")
        ends[name] = end_of(out)
    return ends


@pytest.mark.parametrize("name", TOYS)
def test_the_loss_of_every_kind_of_system_falls(name: str, tmp_path: Path) -> None:
    run(TOYS[name], tmp_path, toy_training(40, accumulate=1, batch=8))
    player = "generator" if name == "toy_gan" else "model"
    losses = [value for _, value in series(read_events(tmp_path), "steps", f"loss/{player}")]
    assert len(losses) == 20
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize(
    ("name", "stop"), [("toy_gan", s) for s in range(STEPS - 1)] + [("toy_diffusion", 3), ("toy_regression", 2)]
)
def test_a_run_stopped_after_any_step_and_resumed_ends_with_the_same_bits(
    name: str, stop: int, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    stopped = run(TOYS[name], tmp_path, cases=stopping(stop))
    assert stopped == Trained(stop + 1, STEPS, "signal", signal.SIGTERM)
    assert run(TOYS[name], tmp_path, resume=True).why == "done"
    assert end_of(tmp_path) == undisturbed[name]


def test_a_run_stopped_again_and_again_ends_with_the_same_bits(undisturbed: dict[str, str], tmp_path: Path) -> None:
    for _ in range(3):
        assert run(ToyRegression, tmp_path, cases=stopping(1), resume=True).why == "signal"
    assert run(ToyRegression, tmp_path, resume=True) == Trained(STEPS, STEPS, "done")
    assert end_of(tmp_path) == undisturbed["toy_regression"]


def test_what_happens_before_and_between_the_runs_does_not_matter(undisturbed: dict[str, str], tmp_path: Path) -> None:
    torch.manual_seed(99)
    run(ToyRegression, tmp_path, cases=stopping(2))
    torch.rand(1000)
    run(ToyRegression, tmp_path, resume=True)
    assert end_of(tmp_path) == undisturbed["toy_regression"]


def test_pictures_logs_and_checkpoints_change_no_bit(undisturbed: dict[str, str], tmp_path: Path) -> None:
    busy = toy_training(STEPS, log_every=1, picture_every=1, save_every=1)
    held_out = [toy_pair(50), toy_pair(51)]
    for kind in (TOYS["toy_gan"], TOYS["toy_diffusion"]):
        out = tmp_path / kind.name
        train(build(kind, ToyConfig(), seed=1), toy_cases(), out, settings=busy, held_out=held_out, device="cpu")
        assert end_of(out) == undisturbed[kind.name]
        assert len(series(read_events(out), "held_out", f"loss/{'critic' if 'gan' in kind.name else 'model'}")) == STEPS


def test_pictures_of_a_run_without_an_average_leave_it_training(tmp_path: Path) -> None:
    kind, ends = TOYS["toy_regression"], []
    for name, held_out in (("a", []), ("b", [toy_pair(50)])):
        settings = toy_training(STEPS, ema_decay=0, picture_every=2)
        system = build(kind, ToyConfig(), seed=1)
        train(system, toy_cases(), tmp_path / name, settings=settings, held_out=held_out, device="cpu")
        ends.append(end_of(tmp_path / name))
    assert ends[0] == ends[1]


def test_data_processes_change_no_bit(undisturbed: dict[str, str], tmp_path: Path) -> None:
    run(ToyRegression, tmp_path, toy_training(STEPS, workers=2))
    assert end_of(tmp_path) == undisturbed["toy_regression"]


def test_another_seed_ends_elsewhere(undisturbed: dict[str, str], tmp_path: Path) -> None:
    run(ToyRegression, tmp_path, toy_training(STEPS, seed=5))
    assert end_of(tmp_path) != undisturbed["toy_regression"]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_run_in_half_precision_resumes_with_the_same_bits_too(precision: str, tmp_path: Path) -> None:
    settings = toy_training(STEPS, precision=precision)
    run(ToyRegression, tmp_path / "a", settings)
    run(ToyRegression, tmp_path / "b", settings, cases=stopping(3))
    run(ToyRegression, tmp_path / "b", settings, resume=True)
    assert end_of(tmp_path / "b") == end_of(tmp_path / "a")


def test_endless_cases_resume_with_the_same_bits(tmp_path: Path) -> None:
    run(ToyRegression, tmp_path / "a", cases=toy_cases(None))
    stop = Cases(stopping(2).pair, None, "toys")
    run(ToyRegression, tmp_path / "b", cases=stop)
    run(ToyRegression, tmp_path / "b", cases=toy_cases(None), resume=True)
    assert end_of(tmp_path / "b") == end_of(tmp_path / "a")


def test_the_time_budget_ends_a_run_with_a_checkpoint_in_time(tmp_path: Path) -> None:
    begun = time.monotonic()
    ended = run(ToyRegression, tmp_path, toy_training(100_000), minutes=0.02)
    assert ended.why == "time"
    assert 0 < ended.step < 100_000
    assert time.monotonic() - begun < 4
    found = newest(tmp_path)
    assert found is not None
    assert found.record.step == ended.step
    assert run(ToyRegression, tmp_path, toy_training(100_000), minutes=0.001, resume=True).step == ended.step + 1


def test_sigusr1_writes_a_checkpoint_and_the_run_goes_on(tmp_path: Path) -> None:
    steps: list[int] = []

    def look() -> None:
        found = newest(tmp_path)
        steps.append(-1 if found is None else found.record.step)

    asked = when(8, lambda: os.kill(os.getpid(), signal.SIGUSR1))
    looking = when(12, look)
    both = Cases(lambda index: (looking.pair(index), asked.pair(index))[1], 10, "toys")
    assert run(ToyRegression, tmp_path, cases=both).why == "done"
    assert steps == [3]
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


class Bad(ToyRegression):
    """Its loss is not a number from the fourth step on."""

    name = "bad"

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        self.asked = 0

    def loss(self, batch: Batch, player: str, *, generator: torch.Generator) -> Float[torch.Tensor, ""]:
        self.asked += self.training
        return super().loss(batch, player, generator=generator) * (math.nan if self.asked > 7 else 1.0)


def test_a_loss_that_is_not_a_number_ends_the_run_and_the_good_checkpoint_stays(tmp_path: Path) -> None:
    line = r"^step 3: loss of model is nan; the checkpoint of step 2 is whole; try a smaller train\.optim\.lr$"
    with pytest.raises(ValueError, match=line):
        run(Bad, tmp_path, toy_training(STEPS, save_every=2))
    found = newest(tmp_path)
    assert found is not None
    assert found.record.step == 2
    assert all(torch.isfinite(t).all() for t in found.state.values())
    assert "loss of model is nan" in (tmp_path / "index.html").read_text()
    assert "http-equiv" not in (tmp_path / "index.html").read_text()


def test_a_case_that_cannot_be_read_ends_the_run_in_one_line(tmp_path: Path) -> None:
    def pair(index: int) -> Pair:
        if index == 7:
            raise ValueError("pa.npy is cut off")
        return toy_pair(index)

    for workers in (0, 1):
        with pytest.raises(ValueError, match=r"^case 7 of toys: pa\.npy is cut off$"):
            run(ToyRegression, tmp_path / str(workers), toy_training(4, workers=workers), cases=Cases(pair, 10, "toys"))


def test_a_data_process_that_is_killed_is_named(tmp_path: Path) -> None:
    mine = os.getpid()

    def pair(index: int) -> Pair:
        if os.getpid() != mine:
            os.kill(os.getpid(), signal.SIGKILL)
        return toy_pair(index)

    with pytest.raises(ValueError, match=r"a data process died .*train\.workers=0"):
        run(ToyRegression, tmp_path, toy_training(4, workers=1), cases=Cases(pair, 10, "toys"))


def test_a_folder_with_a_run_is_not_written_over(tmp_path: Path) -> None:
    run(ToyRegression, tmp_path, toy_training(2))
    with pytest.raises(ValueError, match="holds a run; add --resume"):
        run(ToyRegression, tmp_path, toy_training(2))
    with pytest.raises(ValueError, match=r"model\.width is 4, the run has 8"):
        run(ToyRegression, tmp_path, toy_training(2), resume=True, width=4)
    with pytest.raises(ValueError, match="system is toy_diffusion, the run has toy_regression"):
        run(TOYS["toy_diffusion"], tmp_path, toy_training(2), resume=True)


def test_a_run_without_an_average_does_not_go_on_with_one(tmp_path: Path) -> None:
    run(ToyRegression, tmp_path, toy_training(2, ema_decay=0))
    with pytest.raises(ValueError, match="another network: ema/"):
        run(ToyRegression, tmp_path, toy_training(4), resume=True)


def test_resuming_with_other_settings_says_that_it_is_another_run(tmp_path: Path) -> None:
    assert run(ToyRegression, tmp_path, toy_training(2), resume=True).notes == ("nothing to resume: begins at step 0",)
    ended = run(ToyRegression, tmp_path, toy_training(4, workers=1), resume=True)
    assert ended.notes == ("resumed with train.steps 4 instead of 2: from here on another run",)
    assert run(ToyRegression, tmp_path, toy_training(4), resume=True) == Trained(4, 4, "done")
    assert ended.notes[0] in (tmp_path / "index.html").read_text()


def test_the_run_folder_is_a_system_with_its_averaged_weights(tmp_path: Path) -> None:
    run(ToyRegression, tmp_path)
    system = ToyRegression.from_pretrained(tmp_path)
    found = newest(tmp_path)
    assert found is not None
    for name, value in system.state_dict().items():
        assert torch.equal(value, found.state[f"ema/{name}"])
    assert not torch.equal(found.state["ema/net.0.weight"], found.state["model/net.0.weight"])
    assert "Trained for 8 of 8 steps on toys" in (tmp_path / "card.md").read_text()


def test_the_first_weights_are_a_function_of_the_seed() -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    one, again, other = (build(ToyRegression, ToyConfig(), seed=s).state_dict()["net.0.weight"] for s in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_time_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="minutes is 0; wanted more than 0"):
        run(ToyRegression, tmp_path, minutes=0)
