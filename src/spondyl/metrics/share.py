"""The share of readings that are good enough, with an interval that knows patients."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Integer
from scipy.stats import beta, t
from torch import Tensor

from spondyl.metrics.interval import Interval, check_confidence, clusters, interval_from


@dataclass(frozen=True)
class Share:
    """Part of the readings that meet a condition.

    Args:
        hits: how many do.
        n: of how many.
        n_patients: whose.
        percent: 100 hits / n.
        interval_percent: confidence interval, percent, in [0, 100].
    """

    hits: int
    n: int
    n_patients: int
    percent: float
    interval_percent: Interval


def share(hit: Bool[Tensor, "n"], patients: Integer[Tensor, "n"], *, confidence: float = 0.95) -> Share:
    """The share of readings with `hit`, and its interval.

    Clopper-Pearson with the effective number of readings, p (1 - p) / variance, the variance taken between patients and
    the degrees of freedom theirs (E. L. Korn and B. I. Graubard, Confidence intervals for proportions with small expected
    number of positive counts, Survey Methodology 24 (1998) 193-201). Where all or none are hits the variance says
    nothing, and patients are counted: 20 of 20 curves in 10 patients are worth 10 of 10.

    Raises:
        ValueError: for fewer than two patients or ids that do not match.
    """
    check_confidence(confidence)
    n = len(hit)
    numbered = clusters(patients, n)
    count = int(numbered.max()) + 1
    hits = int(hit.sum())
    p = hits / n
    effective = _effective_number(hit.double().cpu(), numbered, p) if 0 < p < 1 else float(count)
    x, tail = effective * p, (1 - confidence) / 2
    low = float(beta.ppf(tail, x, effective - x + 1)) if hits else 0.0
    high = float(beta.ppf(1 - tail, x + 1, effective - x)) if hits < n else 1.0
    return Share(hits, n, count, 100 * p, interval_from(100 * low, 100 * high, confidence))


def _effective_number(hit: Tensor, numbered: Tensor, p: float) -> float:
    n, count = len(hit), int(numbered.max()) + 1
    totals = torch.zeros(count, dtype=torch.float64).index_add_(0, numbered, hit - p)
    # Without the factor g / (g - 1), so that one reading a patient gives Clopper and Pearson's own interval.
    variance = float(totals.square().sum()) / n**2
    if variance == 0:
        return float(n)
    # Korn and Graubard's correction for the few degrees of freedom of few patients; 0.025 as in their paper.
    ratio = float(t.ppf(0.975, n - 1) / t.ppf(0.975, count - 1))
    return min(p * (1 - p) / variance * ratio**2, float(n))
