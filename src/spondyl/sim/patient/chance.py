"""Draws from one generator, as plain numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False)
class Chance:
    """Random numbers of one patient, in the order in which they are asked for."""

    generator: torch.Generator

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high)."""
        return low + (high - low) * float(torch.rand((), generator=self.generator, dtype=torch.float64))

    def normal(self, mean: float, sd: float, low: float = -math.inf, high: float = math.inf) -> float:
        """A normal number, drawn again (up to 50 times) until it lies in [low, high], then clipped."""
        for _ in range(50):
            value = mean + sd * float(torch.randn((), generator=self.generator, dtype=torch.float64))
            if low <= value <= high:
                return value
        return min(max(mean, low), high)

    def lognormal(self, log_sd: float) -> float:
        """A factor with median 1."""
        return math.exp(self.normal(0.0, log_sd))

    def happens(self, share: float) -> bool:
        """True in this share of the cases."""
        return self.uniform() < share

    def choose(self, options: Sequence[str], weights: Sequence[float]) -> str:
        """One of the options, by weight."""
        left = self.uniform() * sum(weights)
        for option, weight in zip(options, weights, strict=True):
            left -= weight
            if left < 0:
                return option
        return [o for o, w in zip(options, weights, strict=True) if w > 0][-1]

    def walk(self, n: int, sd: float, correlation: float) -> list[float]:
        """n normal numbers, neighbours correlated (first-order autoregression), each within 3 sd."""
        out: list[float] = []
        for _ in range(n):
            fresh = self.normal(0.0, 1.0, -3, 3)
            out.append(fresh if not out else correlation * out[-1] + math.sqrt(1 - correlation**2) * fresh)
        return [sd * min(max(v, -3.0), 3.0) for v in out]
