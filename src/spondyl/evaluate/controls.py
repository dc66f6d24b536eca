"""What every system must beat: the mean predictor, which looks at nothing, and the system itself shown another patient."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from spondyl.evaluate.case import EvaluationCase, ImageTruth, Truth
from spondyl.evaluate.corners import aasce_scores
from spondyl.evaluate.films import film_of
from spondyl.evaluate.measuring import readings_of
from spondyl.evaluate.quantities import Reading
from spondyl.images import Radiograph

MEAN, SHUFFLED = "mean", "shuffled"
GRID = (256, 128)  # films of many sizes are averaged on one grid


def partners(cases: Sequence[EvaluationCase], *, generator: torch.Generator) -> dict[str, EvaluationCase]:
    """Another patient's case for every case, by its id: a permutation of the cases of each kind, no patient its own.

    Where one patient has more than half of the cases of a kind, no such permutation exists; the rest then get any case of
    the others.

    Raises:
        ValueError: where a kind of cases has one patient alone.
    """
    kinds: dict[str, list[EvaluationCase]] = defaultdict(list)
    for case in cases:
        kinds[case.kind].append(case)
    found = {}
    for kind, members in kinds.items():
        blocks: dict[str, list[EvaluationCase]] = defaultdict(list)
        for i in torch.randperm(len(members), generator=generator).tolist():
            blocks[members[i].patient].append(members[i])
        if len(blocks) < 2:
            raise ValueError(f"the {kind} cases are of one patient; wanted two or more, to compare and to shuffle")
        order = [case for block in blocks.values() for case in block]
        step = max(len(block) for block in blocks.values())
        for i, case in enumerate(order):
            other = order[(i + step) % len(order)]
            if other.patient == case.patient:
                rest = [c for c in order if c.patient != case.patient]
                other = rest[int(torch.randint(len(rest), (), generator=generator))]
            found[case.id] = other
    return found


@dataclass(frozen=True)
class _Sum:
    total: float = 0.0
    n: int = 0

    def plus(self, value: float, n: int = 1) -> "_Sum":
        return _Sum(self.total + value, self.n + n)


def mean_readings(cases: Sequence[EvaluationCase], learnt: Sequence[Truth]) -> dict[str, tuple[Reading, ...]]:
    """What the mean predictor says to every case: the mean truth of each quantity, whatever the picture shows.

    The mean is that of `learnt`, or where that is empty of all other patients among the cases (leave one patient out). It
    makes no corners and no marks, so it has no scores of them; of images it makes the mean picture.
    """
    if any(isinstance(case.truth, ImageTruth) for case in cases):
        return _mean_films(cases, learnt)
    asked = {case.id: readings_of(None, case.truth, case.truth) for case in cases}
    own: dict[tuple[str, str], _Sum] = defaultdict(_Sum)
    whole: dict[str, _Sum] = defaultdict(_Sum)
    for case in cases:
        for r in asked[case.id]:
            if r.truth is not None:
                own[case.patient, r.quantity] = own[case.patient, r.quantity].plus(r.truth)
                whole[r.quantity] = whole[r.quantity].plus(r.truth)
    taught: dict[str, _Sum] = defaultdict(_Sum)
    for truth in learnt:
        for r in readings_of(None, truth, truth):
            if r.truth is not None:
                taught[r.quantity] = taught[r.quantity].plus(r.truth)
    return {c.id: _predicted(asked[c.id], c.patient, taught if learnt else whole, {} if learnt else own) for c in cases}


def _predicted(
    asked: Sequence[Reading], patient: str, whole: Mapping[str, _Sum], own: Mapping[tuple[str, str], _Sum]
) -> tuple[Reading, ...]:
    out = []
    for r in asked:
        if r.truth is not None:
            left = own.get((patient, r.quantity), _Sum())
            known = whole.get(r.quantity, _Sum()).plus(-left.total, -left.n)
            out.append(replace(r, value=known.total / known.n if known.n else None))
    return (*out, *aasce_scores(out))


def _mean_films(cases: Sequence[EvaluationCase], learnt: Sequence[Truth]) -> dict[str, tuple[Reading, ...]]:
    if learnt:
        pictures = [_on_grid(truth) for truth in learnt]
        mean = torch.stack(pictures).mean(0)
        return {case.id: _film_readings(case, lambda case: mean) for case in cases}
    own: dict[str, Tensor] = defaultdict(lambda: torch.zeros(GRID))
    count: dict[str, int] = defaultdict(int)
    for case in cases:
        own[case.patient] = own[case.patient] + _on_grid(case.truth)
        count[case.patient] += 1
    total = torch.stack(list(own.values())).sum(0)

    def others(case: EvaluationCase) -> Float[Tensor, "256 128"]:
        return (total - own[case.patient]) / (len(cases) - count[case.patient])

    return {case.id: _film_readings(case, others) for case in cases}


def _on_grid(truth: Truth) -> Float[Tensor, "256 128"]:
    if not isinstance(truth, ImageTruth):
        raise ValueError("some cases have images as truth and some have not; evaluate them apart")
    return functional.interpolate(film_of(truth.load()).optical_depth[None, None].float(), size=GRID, mode="area")[0, 0]


def _film_readings(
    case: EvaluationCase, mean: Callable[[EvaluationCase], Float[Tensor, "256 128"]]
) -> tuple[Reading, ...]:
    if not isinstance(case.truth, ImageTruth):
        return ()
    real = film_of(case.truth.load())
    size = real.view.shape_px
    picture = functional.interpolate(mean(case)[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
    return readings_of(Radiograph(picture, real.view), case.truth, case.truth)
