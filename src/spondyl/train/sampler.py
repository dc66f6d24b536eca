"""Which cases belong to which step: a function of (seed, step, process), so that a resumed run needs no memory of the past."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from spondyl.pairs import Pair
from spondyl.sim.seeds import seed_of


@dataclass(frozen=True)
class Cases:
    """The data of a run.

    Args:
        pair: gives the pair of a case; the same one whenever it is asked for the same index, in any process.
        count: number of cases, with indices from 0 on; None where they never end.
        name: what they are, for the record of the run.
    """

    pair: Callable[[int], Pair]
    count: int | None
    name: str = "unnamed"

    def __post_init__(self) -> None:
        if self.count is not None and self.count < 1:
            raise ValueError(f"{self.name} holds {self.count} cases; wanted at least one")


@dataclass(frozen=True)
class Sampler:
    """Indices of the cases of every step.

    All cases stand in one endless row: a random order of all of them, another one, and so on (or 0, 1, 2, ... where they never
    end). A step takes the next `batch` x `accumulate` x `ranks` of the row. So every case is seen once before any is seen twice,
    and the cases of a step do not depend on how many processes share it.
    """

    count: int | None
    batch: int
    accumulate: int = 1
    seed: int = 0
    rank: int = 0
    ranks: int = 1

    def indices(self, step: int) -> list[list[int]]:
        """The batches of a step in this process: `accumulate` lists of `batch` indices."""
        begin = step * self.accumulate * self.ranks + self.rank
        rows = range(begin, begin + self.accumulate * self.ranks, self.ranks)
        return [[self._at(row * self.batch + i) for i in range(self.batch)] for row in rows]

    def epochs(self, step: int) -> float | None:
        """How often every case was seen before a step."""
        taken = step * self.batch * self.accumulate * self.ranks
        return None if self.count is None else taken / self.count

    def _at(self, position: int) -> int:
        if self.count is None:
            return position
        epoch, within = divmod(position, self.count)
        return int(order(self.count, self.seed, epoch)[within])


@lru_cache(maxsize=4)
def order(count: int, seed: int, epoch: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The random order of the cases in one epoch."""
    return np.random.default_rng(seed_of(seed, "order", epoch)).permutation(count)
