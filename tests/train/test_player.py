"""One turn: rates and averages in closed form, accumulation equal to a larger batch, who may learn, what is not finite."""

import copy
import math
from collections.abc import Mapping, Sequence

import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn
from toy_systems import Toy, ToyConfig, ToyGan, ToyRegression, toy_pair, toy_training

from spondyl.pairs import Batch, collate
from spondyl.system import Optim, System
from spondyl.train.ema import Average, decay_at
from spondyl.train.learner import Learner
from spondyl.train.player import LEAST_SCALE, players_of, rate_at
from spondyl.train.processes import Processes, device_of, join

ALONE = Processes(0, 1, torch.device("cpu"))


class Plain(Toy):
    """One linear layer: no dropout, no statistics."""

    name = "plain"

    def __init__(self, config: ToyConfig, fault: float = 0.0) -> None:
        super().__init__(config)
        self.net = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1))
        self.fault = fault

    def loss(self, batch: Batch, player: str, *, generator: torch.Generator) -> Float[Tensor, ""]:
        return (self.net(batch.source[:, None])[:, 0] - batch.target).square().mean() + self.fault


def batch(*indices: int) -> Batch:
    return collate([toy_pair(i) for i in indices])


def test_the_rate_rises_then_falls_as_half_a_cosine() -> None:
    optim = Optim(lr=1.0, warmup_steps=4, final_lr=0.1)
    assert [rate_at(optim, s, 11) for s in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rate_at(optim, 7, 11) == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi / 2)) / 2)
    assert rate_at(optim, 10, 11) == pytest.approx(0.1)
    assert rate_at(Optim(lr=0.5, decay="constant"), 999, 10) == 0.5


def test_the_average_is_the_sum_that_its_decays_give() -> None:
    system = Plain(ToyConfig())
    weight = next(system.parameters())
    expected = weight.detach().clone()
    average = Average(system, 0.5)
    for step in range(12):
        with torch.no_grad():
            weight += 1.0
        average.follow(system, step)
        d = min(0.5, (1 + step) / (10 + step))
        expected = d * expected + (1 - d) * weight.detach()
    assert decay_at(0, 0.5) == 0.1
    torch.testing.assert_close(next(average.system.parameters()).detach(), expected)
    assert not any(p.requires_grad for p in average.system.parameters())


def test_gradients_over_batches_are_those_of_one_large_batch() -> None:
    first = Plain(ToyConfig())
    other = copy.deepcopy(first)
    settings = toy_training(precision="fp32")
    one = players_of(first, settings)[0].turn(first, [batch(0, 1), batch(2, 3)], 0, ALONE)
    two = players_of(other, settings)[0].turn(other, [batch(0, 1, 2, 3)], 0, ALONE)
    assert one.loss == pytest.approx(two.loss, rel=1e-5)
    assert one.grad_norm == pytest.approx(two.grad_norm, rel=1e-5)
    for a, b in zip(first.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_clipping_bounds_the_gradient_and_the_norm_told_is_the_one_before() -> None:
    norms = []
    for clip in (0.0, 0.01):
        torch.manual_seed(0)
        system = Plain(ToyConfig())
        player = players_of(system, toy_training(optim=Optim(clip_norm=clip)))[0]
        player.optimizer.step = lambda system=system: norms.append(  # type: ignore[method-assign, misc]
            float(torch.cat([p.grad.flatten() for p in system.parameters() if p.grad is not None]).norm())
        )
        norms.append(player.turn(system, [batch(0, 1)], 0, ALONE).grad_norm)
    assert norms[0] == pytest.approx(norms[1])
    assert norms[2] == pytest.approx(0.01, rel=1e-3)
    assert norms[3] == pytest.approx(norms[1])


def test_a_turn_moves_its_players_weights_and_no_others() -> None:
    system = ToyGan(ToyConfig())
    learner = Learner(system, toy_training(ema_decay=0), ALONE)
    critic, generator = learner.players
    for player, other in ((critic, generator), (generator, critic)):
        before = [[p.detach().clone() for p in who.parameters] for who in (player, other)]
        player.alone(system)
        player.turn(system, [batch(0, 1)], 5, ALONE)
        assert any(not torch.equal(a, b) for a, b in zip(before[0], player.parameters, strict=True))
        assert all(torch.equal(a, b) for a, b in zip(before[1], other.parameters, strict=True))
        assert all(p.grad is None for p in system.parameters())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_loss_that_is_not_finite_stops_before_any_weight_moves(precision: str) -> None:
    system = Plain(ToyConfig(), fault=math.nan)
    before = [p.detach().clone() for p in system.parameters()]
    with pytest.raises(FloatingPointError, match=r"^step 7: loss of model is nan$"):
        players_of(system, toy_training(precision=precision))[0].turn(system, [batch(0)], 7, ALONE)
    assert all(torch.equal(a, b) for a, b in zip(before, system.parameters(), strict=True))


def test_float16_halves_its_scale_until_the_gradient_fits_and_moves_no_weight_before() -> None:
    system = Plain(ToyConfig())
    player = players_of(system, toy_training(precision="fp16"))[0]
    weight = next(system.parameters())
    weight.register_hook(lambda grad: grad * math.inf if player.scale > 2.0**13 else grad)
    start = weight.detach().clone()
    for step, scale in enumerate((2.0**15, 2.0**14, 2.0**13)):
        player.turn(system, [batch(0)], step, ALONE)
        assert player.scale == scale
        assert torch.equal(weight, start)
    player.turn(system, [batch(0)], 3, ALONE)
    assert (player.scale, player.good_steps) == (2.0**13, 1)
    assert not torch.equal(weight, start)


def test_float16_gives_up_where_no_scale_is_small_enough() -> None:
    system = Plain(ToyConfig())
    player = players_of(system, toy_training(precision="fp16"))[0]
    player.scale = 2 * LEAST_SCALE
    next(system.parameters()).register_hook(lambda grad: grad * math.nan)
    player.turn(system, [batch(0)], 0, ALONE)
    with pytest.raises(FloatingPointError, match=r"^step 1: gradient of model is nan$"):
        player.turn(system, [batch(0)], 1, ALONE)


def players(made: Mapping[str, Sequence[nn.Parameter]]) -> System:
    class Odd(Plain):
        def players(self) -> Mapping[str, Sequence[nn.Parameter]]:
            return made or {"a": list(self.parameters()), "b": list(self.parameters())[:1]}

    return Odd(ToyConfig())


def test_players_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"net\.0\.weight belongs to the players a and b"):
        players_of(players({}), toy_training())
    with pytest.raises(ValueError, match="player a of plain has no weights"):
        players_of(players({"a": []}), toy_training())
    with pytest.raises(ValueError, match="not the system's"):
        players_of(players({"a": [nn.Parameter(torch.zeros(1))]}), toy_training())
    with pytest.raises(ValueError, match=r"optim_of\.critic: toy_regression has no such player; it has model"):
        players_of(ToyRegression(ToyConfig()), toy_training(optim_of={"critic": {"lr": 1.0}}))


def test_a_loss_of_many_numbers_is_refused() -> None:
    class Many(Plain):
        def loss(self, batch: Batch, player: str, *, generator: torch.Generator) -> Tensor:  # type: ignore[override]
            return self.net(batch.source[:, None]).sum(dim=(1, 2, 3))

    system = Many(ToyConfig())
    with pytest.raises(ValueError, match=r"loss of model has shape \(2,\)"):
        players_of(system, toy_training())[0].turn(system, [batch(0, 1)], 0, ALONE)


def test_a_device_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="device is 'gpu'"):
        device_of("gpu")
    with pytest.raises(ValueError, match="cuda:99 is not here"):
        device_of("cuda:99")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="with several processes"):
        join("cuda:1")
