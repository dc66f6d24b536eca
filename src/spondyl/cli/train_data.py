"""The cases that `train` learns from: those of cohorts on disk, or virtual patients made when they are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from spondyl.images import Layers, Radiograph, Ultrasound
from spondyl.io.case_record import Split
from spondyl.io.shards import LANDMARKS, Cohort, StoredCase
from spondyl.pairs import Pair
from spondyl.sim.ultrasound_marks import landmarks_of, marks_of
from spondyl.simulate import simulate_pairs
from spondyl.simulate.landmark_json import arches_of
from spondyl.system import System
from spondyl.system.protocol import READINGS
from spondyl.train import Cases

HELD_OUT = 4  # cases on the page of a run
SplitBy = Literal["patient", "shape"]


@dataclass(frozen=True)
class Stored:
    """Pairs of cohorts on disk, by their place in a list of cases and of the two images to take."""

    cases: tuple[tuple[StoredCase, tuple[str, str]], ...]

    def __call__(self, index: int) -> Pair:
        case, names = self.cases[index]
        images = {name: case.image(name) for name in names}
        if isinstance(image := images[names[0]], Ultrasound) and names[0] == names[1]:
            arches = arches_of(case.content(LANDMARKS), f"{LANDMARKS} of case {case.id}")
            return Pair(image, marks_of(arches, image), case.spine, case.record.seed)
        return Pair(images[names[0]], images[names[1]], case.spine, case.record.seed)


@dataclass(frozen=True)
class Simulated:
    """Pairs of virtual patients, by their number. A reader takes one of its modalities after the other of each."""

    modalities: tuple[str, ...]
    reads: bool
    seed: int

    def __call__(self, index: int) -> Pair:
        if not self.reads:
            return next(simulate_pairs(self.modalities[0], self.modalities[1], seed=self.seed, start=index))
        patient, turn = divmod(index, len(self.modalities))
        name = self.modalities[turn]
        pair = next(simulate_pairs(name, name, seed=self.seed, start=patient))
        if isinstance(pair.source, Ultrasound):
            return replace(pair, target=marks_of(landmarks_of(pair.spine), pair.source))
        return pair


def cohort_cases(
    folders: Sequence[Path], system: type[System], *, split_by: SplitBy = "patient"
) -> tuple[Cases, list[Pair]]:
    """The training cases of cohorts, and some of their validation cases.

    A system that reads landmarks learns from every image of its modalities by itself; others from pairs of them.

    Args:
        split_by: "patient", or "shape": curves of the held-out regions are not learnt from.

    Raises:
        ValueError: where there is no finished cohort, or none of its training cases has what is needed.
    """
    learnt, held = (
        [case for f in folders for case in _cases(f, system, split, split_by)] for split in ("train", "val")
    )
    if not learnt:
        wanted = (" or " if system.target in READINGS else " and ").join(system.modalities)
        raise ValueError(
            f"{', '.join(map(str, folders))}: no training case with {wanted}; simulate some with --modalities"
        )
    name = f"{'cohort' if len(folders) == 1 else 'cohorts'} {', '.join(map(str, folders))} by {split_by}"
    shown = [_film(Stored(tuple(held))(i)) for i in range(0, len(held), max(1, len(held) // HELD_OUT))][:HELD_OUT]
    return Cases(Stored(tuple(learnt)), len(learnt), name), shown


def fresh_cases(system: type[System], seed: int) -> tuple[Cases, list[Pair]]:
    """Virtual patients without end, and some others of another seed."""
    reads = system.target in READINGS
    held = Simulated(system.modalities, reads, seed + 1)
    return Cases(Simulated(system.modalities, reads, seed), None, f"fresh patients of seed {seed}"), [
        _film(held(i)) for i in range(HELD_OUT)
    ]


def _cases(
    folder: Path, system: type[System], split: Split, split_by: SplitBy
) -> list[tuple[StoredCase, tuple[str, str]]]:
    cohort = Cohort(folder)
    cases = cohort.iterate(split=split) if split_by == "patient" else cohort.iterate(shape_split=split)
    first, second = system.modalities
    if system.target in READINGS:
        return [
            (case, (name, name))
            for case in cases
            for name in dict.fromkeys(system.modalities)
            if name in case.modalities
        ]
    return [(case, (first, second)) for case in cases if {first, second} <= set(case.modalities)]


def _film(pair: Pair) -> Pair:
    """The pair with whole films for layers: what is shown and translated is a film."""
    if not isinstance(image := pair.source, Layers):
        return pair
    film = Radiograph(image.optical_depth.sum(0), image.view)
    return replace(pair, source=film, target=film)
