"""The moving average of the weights: what is sampled from and shipped."""

import copy
from typing import Generic

import torch

from spondyl.system import BatchT, System


def decay_at(step: int, decay: float) -> float:
    """The decay after step `step` (from 0): `decay`, and less at first, so that the start is forgotten.

    min(decay, (1 + n) / (10 + n)) after n updates, as in TensorFlow's ExponentialMovingAverage (`num_updates`).
    """
    return min(decay, (1 + step) / (10 + step))


class Average(Generic[BatchT]):
    """A copy of a system whose weights follow the mean of the past; its buffers are the system's own."""

    def __init__(self, system: System[BatchT], decay: float) -> None:
        self.decay = decay
        self.system = copy.deepcopy(system).eval().requires_grad_(False)

    @torch.no_grad()
    def follow(self, system: System[BatchT], step: int) -> None:
        """Move towards the system's weights after a step."""
        share = 1 - decay_at(step, self.decay)
        for mine, theirs in zip(self.system.parameters(), system.parameters(), strict=True):
            mine.lerp_(theirs, share)
        for copied, now in zip(self.system.buffers(), system.buffers(), strict=True):
            copied.copy_(now)
