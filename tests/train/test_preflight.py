"""What a run needs is counted before it begins, and a run that does not fit is refused with the batch that does."""

import math
from pathlib import Path

import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn
from toy_systems import Toy, ToyConfig, ToyGan, toy_cases, toy_pair, toy_training

from spondyl.memory import GB
from spondyl.pairs import Batch, collate
from spondyl.train import build, loop, preflight, train
from spondyl.train.preflight import WORKING_SHARE, Need, check_fits, free_bytes, measure_need

CPU = torch.device("cpu")


class Counted(Toy):
    """y = tanh(tanh(x W) V): what its gradient needs can be counted by hand."""

    name = "counted"

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        self.net = nn.Sequential(
            nn.Linear(8, 32, bias=False), nn.Tanh(), nn.Linear(32, 8, bias=False), nn.Tanh()
        )  # fmt: skip

    def loss(self, batch: Batch, player: str, *, generator: torch.Generator) -> Float[Tensor, ""]:
        return self.net(batch.source).sum()


def test_the_memory_of_a_small_net_is_the_one_counted_by_hand() -> None:
    one = collate([toy_pair(0)])
    need = measure_need(Counted(ToyConfig()), one, toy_training(accumulate=1), CPU)
    weights = 4 * (8 * 32 + 32 * 8)
    # weights, gradients, two moments, average
    assert need.fixed == 5 * weights
    # the input, the first tanh, the second tanh: 12 rows of 8, 32 and 8 numbers; beside them the case itself
    kept = 4 * 12 * (8 + 32 + 8)
    # a spine of one level: centre, axes, sizes, endplates
    case = 4 * (2 * 12 * 8) + 4 * (3 + 9 + 3 + 18)
    assert need.per_case == case + math.ceil(kept * (1 + WORKING_SHARE))
    assert measure_need(Counted(ToyConfig()), one, toy_training(ema_decay=0), CPU).fixed == 4 * weights


def test_counting_changes_nothing_of_the_system() -> None:
    system = ToyGan(ToyConfig()).train()
    before = {name: value.clone() for name, value in system.state_dict().items()}
    asks = [p.requires_grad for p in system.parameters()]
    measure_need(system, collate([toy_pair(0)]), toy_training(), CPU)
    assert all(torch.equal(value, before[name]) for name, value in system.state_dict().items())
    assert [p.requires_grad for p in system.parameters()] == asks
    assert all(p.grad is None for p in system.parameters())


@pytest.mark.parametrize(
    ("batch", "free", "sharing", "line"),
    [
        (6, 4 * GB, 1, "needs about 7.0 GB, 4.0 GB free: use --batch 2"),
        (6, 8 * GB, 2, "needs about 14.0 GB, 8.0 GB free: use --batch 2"),
        (6, 1 * GB, 1, "needs about 7.0 GB, 1.0 GB free: even --batch 1 needs 2.0 GB: use a smaller preset"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_does(batch: int, free: int, sharing: int, line: str) -> None:
    need = Need(GB, GB)
    with pytest.raises(ValueError, match=r"^[^\n]+$") as error:
        check_fits(need, batch, free, sharing=sharing)
    assert str(error.value) == line


def test_what_fits_passes_and_unknown_memory_refuses_nothing() -> None:
    check_fits(Need(GB, GB), 6, 8 * GB)
    check_fits(Need(GB, GB), 6, None)


def test_free_memory_of_this_machine_is_less_than_all_of_it() -> None:
    free = free_bytes(CPU)
    if free is None:
        pytest.skip("this system does not tell")
    assert 0 < free < 2**50


def test_a_run_that_does_not_fit_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "free_bytes", lambda device: 10_000)
    with pytest.raises(ValueError, match=r"^needs about 0\.\d MB, 0\.0 MB free: even --batch 1"):
        train(build(ToyGan, ToyConfig(), seed=0), toy_cases(), tmp_path / "run", settings=toy_training(), device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_system_too_large_for_one_case_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(preflight, "_kept_bytes", full)
    with pytest.raises(ValueError, match="even with --batch 1: use a smaller preset"):
        measure_need(ToyGan(ToyConfig()), collate([toy_pair(0)]), toy_training(), CPU)
