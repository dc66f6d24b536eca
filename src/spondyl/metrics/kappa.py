"""Agreement on classes beyond chance: Cohen's kappa, weighted or not, with its interval over patients."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from spondyl.metrics.bootstrap import RESAMPLES, bootstrap
from spondyl.metrics.interval import Estimate
from spondyl.metrics.share import Share, share

Weights = Literal["none", "linear", "quadratic"]


@dataclass(frozen=True, eq=False)
class Kappa:
    """Agreement on classes.

    Args:
        kappa: 1 where all agree, 0 for chance, NaN where both sides name one class only.
        exact: share of readings in the same class.
        table: counts, reference class by predicted class.
        weights: what a disagreement by several classes costs.
    """

    kappa: Estimate
    exact: Share
    table: Integer[Tensor, "c c"]
    weights: Weights


def class_agreement(
    predicted: Integer[Tensor, "n"],
    reference: Integer[Tensor, "n"],
    *,
    classes: int,
    weights: Weights,
    patients: Integer[Tensor, "n"],
    generator: torch.Generator,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
) -> Kappa:
    """Cohen's kappa of two classings with its bootstrap interval over patients.

    J. Cohen, Psychological Bulletin 70 (1968) 213-220. For ordered classes such as severity take quadratic weights, which
    make it an intraclass correlation in large samples, and name them: kappas of different weights do not compare.

    Args:
        predicted, reference: class of each reading, 0 to classes - 1 (`severity_class`).

    Raises:
        ValueError: for classes out of range, numbers of readings that differ, fewer than two patients.
    """
    if predicted.shape != reference.shape:
        raise ValueError(f"{len(predicted)} predicted classes beside {len(reference)} of reference; wanted pairs")
    if weights not in get_args(Weights):
        raise ValueError(f"weights is {weights!r}; wanted one of {', '.join(get_args(Weights))}")
    for name, labels in (("predicted", predicted), ("reference", reference)):
        if len(labels) and not (int(labels.min()) >= 0 and int(labels.max()) < classes):
            raise ValueError(f"{name} holds classes outside 0 to {classes - 1}; give the number of classes there are")
    cells = (reference * classes + predicted).long().cpu()

    def statistic(rows: Integer[Tensor, "rows"]) -> Float[Tensor, "1"]:
        return weighted_kappa(_table(cells[rows], classes), weights)[None]

    kappa = bootstrap(statistic, patients, generator=generator, resamples=resamples, confidence=confidence)[0]
    exact = share(predicted == reference, patients, confidence=confidence)
    return Kappa(kappa, exact, _table(cells, classes), weights)


def weighted_kappa(table: Integer[Tensor, "c c"], weights: Weights) -> Float[Tensor, ""]:
    """1 - sum w_ij o_ij / sum w_ij e_ij of a table of counts; e from its margins, w_ij = 0 on the diagonal.

    Weights: none 1, linear |i - j|, quadratic (i - j)^2. NaN for a table with one class only.
    """
    observed = table.double() / table.sum()
    expected = observed.sum(dim=1, keepdim=True) * observed.sum(dim=0, keepdim=True)
    index = torch.arange(len(table), dtype=torch.float64, device=table.device)
    steps = (index[:, None] - index).abs()
    cost = {"none": (steps > 0).double(), "linear": steps, "quadratic": steps.square()}[weights]
    return 1 - (cost * observed).sum() / (cost * expected).sum()


def _table(cells: Integer[Tensor, "_"], classes: int) -> Integer[Tensor, "c c"]:
    return torch.bincount(cells, minlength=classes * classes).reshape(classes, classes)
