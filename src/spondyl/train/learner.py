"""What learns: the system, its players, the average of its weights, and the count of steps. It writes nothing."""

import math
from collections.abc import Sequence
from typing import Generic

import torch

from spondyl.pairs import Pair
from spondyl.system import BatchT, System, Training
from spondyl.train.checkpoint import Found
from spondyl.train.ema import Average
from spondyl.train.loader import moved
from spondyl.train.player import Turn, players_of
from spondyl.train.processes import Processes
from spondyl.train.sampler import Cases, Sampler
from spondyl.train.state import restore, tensors_of


class Learner(Generic[BatchT]):
    """A system in training. Weights and buffers begin as the first process has them."""

    def __init__(self, system: System[BatchT], settings: Training, processes: Processes) -> None:
        self.system = system.to(processes.device).train()
        self.settings, self.processes = settings, processes
        processes.from_first_([*system.parameters(), *system.buffers()])
        self.players = players_of(system, settings)
        self.average = Average(system, settings.ema_decay) if settings.ema_decay else None
        self.step = 0

    @property
    def result(self) -> System[BatchT]:
        """The system to use and to ship: with averaged weights where an average is kept."""
        return self.system if self.average is None else self.average.system

    def sampler(self, cases: Cases) -> Sampler:
        """Which cases this process takes."""
        s, p = self.settings, self.processes
        return Sampler(cases.count, s.batch, s.accumulate, s.seed, p.rank, p.count)

    def restore(self, found: Found) -> None:
        """Become what a checkpoint holds."""
        restore(found.state, self.system, self.average, self.players)
        self.step = found.record.step

    def state(self) -> dict[str, torch.Tensor]:
        """The tensors of a checkpoint."""
        return tensors_of(self.system, self.average, self.players)

    def learn(self, batches: Sequence[BatchT]) -> dict[str, Turn]:
        """One step: every player's turn on the same batches.

        Raises:
            FloatingPointError: see `Player.turn`.
        """
        here = [moved(batch, self.processes.device) for batch in batches]
        turns: dict[str, Turn] = {}
        for player in self.players:
            player.alone(self.system)
            turns[player.name] = player.turn(self.system, here, self.step, self.processes)
        # statistics that layers keep (batch norm) are seen by each process on its own cases; integers count alike in all
        self.processes.mean_([b for b in self.system.buffers() if b.is_floating_point()])
        if self.average is not None:
            self.average.follow(self.system, self.step)
        self.step += 1
        return turns

    def held_out(self, pairs: Sequence[Pair]) -> dict[str, float]:
        """The loss of every player on pairs that are not learnt from, with `result`, one by one, the same noise every time."""
        system = self.result
        was_training = system.training
        system.eval()
        sums = dict.fromkeys((f"loss/{player.name}" for player in self.players), 0.0)
        for number, pair in enumerate(pairs):
            batch = moved(self.system.collate([pair]), self.processes.device)
            for player in self.players:
                # a loss may itself differentiate (gradient penalties), so gradients stay possible
                value = player.loss(system, batch, (0, 0, number), self.processes.device, "held out")
                sums[f"loss/{player.name}"] += float(value.detach()) / len(pairs)
        system.train(was_training)
        return {name: value for name, value in sums.items() if math.isfinite(value)}
