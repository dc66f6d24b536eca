"""The cases that `train` learns from: those of a cohort on disk, or virtual patients made when they are asked for."""

from dataclasses import dataclass
from pathlib import Path

from spondyl.io.shards import Cohort, StoredCase
from spondyl.pairs import Pair
from spondyl.simulate import simulate_pairs
from spondyl.train import Cases

HELD_OUT = 4  # cases on the page of a run


@dataclass(frozen=True)
class Stored:
    """Pairs of a cohort on disk, by their place in a list of its cases."""

    cases: tuple[StoredCase, ...]
    modalities: tuple[str, str]

    def __call__(self, index: int) -> Pair:
        case = self.cases[index]
        source, target = (case.image(modality) for modality in self.modalities)
        return Pair(source, target, case.spine, case.record.seed)


@dataclass(frozen=True)
class Simulated:
    """Pairs of virtual patients, by their number."""

    modalities: tuple[str, str]
    seed: int

    def __call__(self, index: int) -> Pair:
        return next(simulate_pairs(*self.modalities, seed=self.seed, start=index))


def cohort_cases(folder: Path, modalities: tuple[str, str]) -> tuple[Cases, list[Pair]]:
    """The training cases of a cohort, and some of its validation cases.

    Raises:
        ValueError: where there is no finished cohort, or none of its training cases has both modalities.
    """
    cohort = Cohort(folder)
    learnt, held = (tuple(cohort.iterate(split=split, modalities=modalities)) for split in ("train", "val"))
    if not learnt:
        raise ValueError(
            f"{folder} holds no training case with {' and '.join(modalities)}; simulate one with --modalities"
        )
    pair = Stored(held, modalities)
    shown = [pair(i) for i in range(min(HELD_OUT, len(held)))]
    return Cases(Stored(learnt, modalities), len(learnt), f"cohort {folder}"), shown


def fresh_cases(modalities: tuple[str, str], seed: int) -> tuple[Cases, list[Pair]]:
    """Virtual patients without end, and some others of another seed."""
    held = Simulated(modalities, seed + 1)
    return Cases(Simulated(modalities, seed), None, f"fresh patients of seed {seed}"), [
        held(i) for i in range(HELD_OUT)
    ]
