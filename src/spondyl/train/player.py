"""One player's turn in a step: gradients over the batches, their mean over the processes, one move of its weights."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spondyl.sim.seeds import generator_of, seed_of
from spondyl.system import BatchT, Optim, System, Training
from spondyl.train.processes import Processes

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
# Loss scaling for float16 (Micikevicius et al. 2018, section 3.2), with the constants of torch.amp.GradScaler.
FIRST_SCALE, GROWTH_STEPS, LEAST_SCALE = 2.0**16, 2000, 2.0**-8


@dataclass(frozen=True)
class Turn:
    """What a turn gave: the mean loss over all processes, the gradient's norm before clipping, the learning rate."""

    loss: float
    grad_norm: float
    lr: float


def rate_at(optim: Optim, step: int, steps: int) -> float:
    """The learning rate of step `step` of `steps`, counted from 0."""
    if step < optim.warmup_steps:
        return optim.lr * (step + 1) / optim.warmup_steps
    if optim.decay == "constant":
        return optim.lr
    share = min(1.0, (step - optim.warmup_steps) / max(1, steps - 1 - optim.warmup_steps))
    return optim.lr * (optim.final_lr + (1 - optim.final_lr) * (1 + math.cos(math.pi * share)) / 2)


class Player:
    """A named part of a system's weights with its optimiser and, in float16, its loss scale."""

    def __init__(self, name: str, parameters: Sequence[nn.Parameter], settings: Training) -> None:
        self.name, self.parameters, self.settings = name, list(parameters), settings
        self.optim = settings.optim_for(name)
        o = self.optim
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=o.lr, betas=(o.beta1, o.beta2), eps=o.eps, weight_decay=o.weight_decay
        )
        self.scale = FIRST_SCALE if settings.precision == "fp16" else 1.0
        self.good_steps = 0

    def turn(self, system: System[BatchT], batches: Sequence[BatchT], step: int, processes: Processes) -> Turn:
        """Learn from the batches of one step.

        Raises:
            FloatingPointError: where loss or gradient are not finite: one line with step and player; no weight has moved.
        """
        total = torch.zeros((), device=processes.device)
        for micro, batch in enumerate(batches):
            loss = self.loss(system, batch, (step, processes.rank, micro), processes.device) / len(batches)
            (loss * self.scale).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        if processes.count > 1:
            for p in self.parameters:
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        grads = [p.grad for p in self.parameters if p.grad is not None]
        processes.mean_([*grads, total])
        if self.scale != 1:
            for grad in grads:
                grad /= self.scale
        norm = nn.utils.clip_grad_norm_(self.parameters, self.optim.clip_norm or math.inf)
        lost, length = torch.stack([total, norm.to(total)]).tolist()
        rate = rate_at(self.optim, step, self.settings.steps)
        if self._may_move(step, lost, length):
            self._move(rate)
        self.optimizer.zero_grad(set_to_none=True)
        return Turn(lost, length, rate)

    def loss(
        self, system: System[BatchT], batch: BatchT, at: tuple[int, int, int], device: torch.device, salt: str = "loss"
    ) -> Tensor:
        """The loss of one batch at (step, rank, micro), with all chance a function of the seed, that place and this player."""
        seed, kind = self.settings.seed, self.settings.precision
        # dropout and the like draw from the global generators
        torch.manual_seed(seed_of(seed, f"{salt} global", *at, self.name))
        noise = generator_of(seed, salt, *at, self.name, device=device)
        with torch.autocast(device.type, DTYPES.get(kind), enabled=kind in DTYPES):
            loss = system.loss(batch, self.name, generator=noise)
        if loss.shape != ():
            raise ValueError(
                f"loss of {self.name} has shape {tuple(loss.shape)}; wanted one number, the mean over the batch"
            )
        return loss.float()

    def _may_move(self, step: int, loss: float, norm: float) -> bool:
        """Whether the gradient can be used; the float16 scale follows it."""
        if math.isfinite(loss) and math.isfinite(norm):
            if self.settings.precision == "fp16":
                self.good_steps += 1
                if self.good_steps % GROWTH_STEPS == 0:
                    self.scale *= 2
            return True
        if self.settings.precision == "fp16" and math.isfinite(loss) and self.scale > LEAST_SCALE:
            self.scale, self.good_steps = self.scale / 2, 0
            return False
        what = f"loss of {self.name} is {loss}" if not math.isfinite(loss) else f"gradient of {self.name} is {norm}"
        raise FloatingPointError(f"step {step}: {what}")

    def _move(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()

    def alone(self, system: nn.Module) -> None:
        """Give gradient to this player's weights and to no others."""
        system.requires_grad_(False)
        for p in self.parameters:
            p.requires_grad_(True)


def players_of(system: System[BatchT], settings: Training) -> list[Player]:
    """The players of a system, in the order of their turns.

    Raises:
        ValueError: for no player, a player without weights, a weight of two players or of another system, or settings for
            a player that is not there.
    """
    named = system.players()
    if not named:
        raise ValueError(f"{system.name} has no players; wanted at least one with weights")
    own = {id(p): name for name, p in system.named_parameters()}
    taken: dict[int, str] = {}
    for name, parameters in named.items():
        if not parameters:
            raise ValueError(f"player {name} of {system.name} has no weights; leave it out")
        for p in parameters:
            if id(p) not in own:
                raise ValueError(
                    f"player {name} of {system.name} has a weight that is not the system's; make it a submodule"
                )
            if id(p) in taken:
                raise ValueError(f"{own[id(p)]} belongs to the players {taken[id(p)]} and {name}; wanted one")
            taken[id(p)] = name
    strange = sorted(set(settings.optim_of) - set(named))
    if strange:
        raise ValueError(f"train.optim_of.{strange[0]}: {system.name} has no such player; it has {', '.join(named)}")
    return [Player(name, parameters, settings) for name, parameters in named.items()]
