"""Batches in the order of the sampler, made here or in worker processes; nothing in it has a state to be saved."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Generic, TypeVar, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from spondyl.pairs import Pair
from spondyl.spine import SpineCurve
from spondyl.train.sampler import Cases, Sampler

T = TypeVar("T")


@dataclass(frozen=True)
class Broken:
    """A case that could not be had, and why: a worker's exception would arrive with its traceback in its text."""

    reason: str


class Indexed(Dataset[Pair | Broken]):
    """The cases as torch's loader wants them."""

    def __init__(self, cases: Cases) -> None:
        self.cases = cases

    def __getitem__(self, index: int) -> Pair | Broken:
        try:
            return self.cases.pair(index)
        except (ValueError, OSError) as error:
            return Broken(f"case {index} of {self.cases.name}: {error}")


@dataclass(frozen=True)
class Collated(Generic[T]):
    """Joins pairs with the system's own `collate`, and lets what is broken through."""

    collate: Callable[[Sequence[Pair]], T]

    def __call__(self, pairs: Sequence[Pair | Broken]) -> T | Broken:
        for pair in pairs:
            if isinstance(pair, Broken):
                return pair
        try:
            return self.collate([pair for pair in pairs if isinstance(pair, Pair)])
        except ValueError as error:
            return Broken(str(error))


def batches(
    cases: Cases, sampler: Sampler, collate: Callable[[Sequence[Pair]], T], *, steps: range, workers: int
) -> Iterator[list[T]]:
    """For each step the list of its batches, on the CPU.

    Raises:
        ValueError: where a case cannot be read, or a worker process dies.
    """
    loader = DataLoader(
        Indexed(cases),
        batch_sampler=Rows(sampler, steps),
        collate_fn=Collated(collate),
        num_workers=workers,
        generator=torch.Generator(),  # else it would draw from the global one
    )
    ready = iter(loader)
    for _ in steps:
        yield [_whole(ready, workers) for _ in range(sampler.accumulate)]


class Rows:
    """The index lists of some steps, one after another, made when they are asked for."""

    def __init__(self, sampler: Sampler, steps: range) -> None:
        self.sampler, self.steps = sampler, steps

    def __iter__(self) -> Iterator[list[int]]:
        for step in self.steps:
            yield from self.sampler.indices(step)

    def __len__(self) -> int:
        return len(self.steps) * self.sampler.accumulate


def _whole(ready: Iterator[T | Broken], workers: int) -> T:
    try:
        made = next(ready)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error) or "Caught" in str(error):
            raise
        raise ValueError(
            f"a data process died ({str(error).splitlines()[0]}); most often memory ran out: use --set train.workers={workers // 2}"
        ) from error
    if isinstance(made, Broken):
        raise ValueError(made.reason)
    return made


def moved(batch: T, device: torch.device) -> T:
    """The batch with every tensor in it on the device: in dataclasses, mappings, tuples and lists.

    Spines stay where they are: their truths are read on the CPU.
    """
    return cast("T", _moved(batch, device))


def _moved(value: object, device: torch.device) -> object:
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, SpineCurve):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        inner = {f.name: getattr(value, f.name) for f in fields(value)}
        changed = {name: _moved(part, device) for name, part in inner.items()}
        return replace(value, **{n: p for n, p in changed.items() if p is not inner[n]})
    if isinstance(value, Mapping):
        return {key: _moved(part, device) for key, part in value.items()}
    if isinstance(value, tuple | list) and any(isinstance(part, Tensor) or is_dataclass(part) for part in value):
        return type(value)([_moved(part, device) for part in value])
    return value
