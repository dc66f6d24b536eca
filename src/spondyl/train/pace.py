"""Time: what the last steps cost and gave, how much of the budget is left, when the next checkpoint is due."""

import time
from collections.abc import Mapping

from spondyl.train.player import Turn


class Clock:
    """Wall time of one process's run. Nothing that is learnt depends on it."""

    def __init__(self, minutes: float | None, save_minutes: float) -> None:
        self.begun = time.monotonic()
        self.minutes, self.save_minutes = minutes, save_minutes
        self._saved = self.begun
        self._longest_step = 0.0
        self._step_began = self.begun

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self.begun

    @property
    def left_s(self) -> float | None:
        """Seconds of the budget that are left; None without one."""
        return None if self.minutes is None else self.minutes * 60 - self.seconds

    def stepped(self) -> None:
        """A step is over."""
        now = time.monotonic()
        self._longest_step = max(0.9 * self._longest_step, now - self._step_began)
        self._step_began = now

    def is_up(self) -> bool:
        """Whether another step like the last ones would go past the budget."""
        return self.left_s is not None and self.left_s < self._longest_step

    def save_due(self) -> bool:
        """Whether the newest checkpoint is too old."""
        return time.monotonic() - self._saved > self.save_minutes * 60

    def saved(self) -> None:
        """A checkpoint was written just now."""
        self._saved = time.monotonic()


class Tally:
    """Means over the steps since the last event."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._lr: dict[str, float] = {}
        self._steps = 0
        self._cases = 0
        self._waited = 0.0
        self._begun = time.monotonic()

    def add(self, turns: Mapping[str, Turn], *, cases: int, waited_s: float) -> None:
        """One step: every player's turn, the cases of all processes, the time spent waiting for data."""
        for name, turn in turns.items():
            self._sums[f"loss/{name}"] = self._sums.get(f"loss/{name}", 0.0) + turn.loss
            self._sums[f"grad_norm/{name}"] = self._sums.get(f"grad_norm/{name}", 0.0) + turn.grad_norm
            self._lr[f"lr/{name}"] = turn.lr
        self._steps += 1
        self._cases += cases
        self._waited += waited_s

    def skip(self, seconds: float) -> None:
        """Leave out time in which nothing was learnt."""
        self._begun += seconds

    def means(self) -> dict[str, float]:
        """By name as in `Event`: means over the steps, the last learning rates, the pace; empty where no step was added."""
        if not self._steps:
            return {}
        took = max(time.monotonic() - self._begun, 1e-9)
        means = {name: value / self._steps for name, value in self._sums.items()} | self._lr
        return means | {"cases_per_s": self._cases / took, "data_share": min(1.0, self._waited / took)}
