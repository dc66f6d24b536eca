"""Intraclass correlation, standard error of measurement and smallest detectable change, from a two-way ANOVA."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy.stats import chi2, f
from torch import Tensor

from spondyl.metrics.agreement import Z_95
from spondyl.metrics.interval import Interval, check_confidence, interval_from


@dataclass(frozen=True)
class MeanSquares:
    """Mean squares of n targets read by k raters, one reading each: between targets, between raters, residual."""

    n: int
    k: int
    targets: float
    raters: float
    error: float


@dataclass(frozen=True)
class Reliability:
    """How well targets can be told apart, and how large a difference must be to be real.

    Args:
        n: targets (patients).
        k: raters, or repeats.
        agreement: ICC(2,1), absolute agreement: raters are a sample, a rater who reads high counts as error.
        consistency: ICC(3,1): raters are these raters, a constant offset between them does not count.
        sem_agreement: standard error of measurement with the raters' offsets, in the unit of the readings.
        sem_consistency: without them, sqrt(MS error).
        mdc95_agreement, mdc95_consistency: 1.96 sqrt(2) SEM, the smallest change of one person beyond error.
    """

    n: int
    k: int
    agreement: float
    agreement_interval: Interval
    consistency: float
    consistency_interval: Interval
    sem_agreement: float
    sem_consistency: float
    sem_consistency_interval: Interval
    mdc95_agreement: float
    mdc95_consistency: float


def mean_squares(readings: Float[Tensor, "n k"]) -> MeanSquares:
    """The two-way analysis of variance without replication (Shrout and Fleiss 1979, table 3).

    Raises:
        ValueError: for fewer than two targets or raters, or readings that are not finite.
    """
    if readings.ndim != 2:
        raise ValueError(f"readings are {tuple(readings.shape)}; wanted targets x raters")
    n, k = readings.shape
    if n < 2 or k < 2:
        raise ValueError(f"readings of {n} targets by {k} raters; wanted at least two of each")
    if not bool(torch.isfinite(readings).all()):
        raise ValueError("readings hold NaN or infinity; leave out every target that some rater has not read")
    x = readings.double().cpu()
    mean, rows, columns = x.mean(), x.mean(dim=1), x.mean(dim=0)
    targets = float(k * (rows - mean).square().sum()) / (n - 1)
    raters = float(n * (columns - mean).square().sum()) / (k - 1)
    error = float((x - rows[:, None] - columns + mean).square().sum()) / ((n - 1) * (k - 1))
    return MeanSquares(n, k, targets, raters, error)


def reliability(readings: Float[Tensor, "n k"], *, confidence: float = 0.95) -> Reliability:
    """ICC(2,1), ICC(3,1), SEM and MDC of n targets read once each by k raters (or by one rater k times).

    P. E. Shrout and J. L. Fleiss, Intraclass correlations, Psychological Bulletin 86 (1979) 420-428, with their intervals:
    exact for ICC(3,1), Satterthwaite's approximation for ICC(2,1). Targets must be independent: one row a patient (for
    several curves a patient, put `icc_agreement` into `bootstrap`). A method against a rater: ICC(2,1). Repeats: (3,1).

    Raises:
        ValueError: as `mean_squares`, and for readings without any variance.
    """
    check_confidence(confidence)
    ms = mean_squares(readings)
    if ms.targets + ms.raters + ms.error == 0:
        raise ValueError("all readings are alike; an intraclass correlation wants targets that differ")
    sem_consistency = math.sqrt(ms.error)
    # Offsets of raters enter as a variance, (MS raters - MS error) / n, never below zero (de Vet et al. 2006).
    sem_agreement = math.sqrt(ms.error + max(ms.raters - ms.error, 0.0) / ms.n)
    freedom, tail = (ms.n - 1) * (ms.k - 1), (1 - confidence) / 2
    ends = [math.sqrt(ms.error * freedom / float(chi2.ppf(p, freedom))) for p in (1 - tail, tail)]
    return Reliability(
        n=ms.n,
        k=ms.k,
        agreement=icc_agreement(ms),
        agreement_interval=_agreement_interval(ms, confidence),
        consistency=icc_consistency(ms),
        consistency_interval=_consistency_interval(ms, confidence),
        sem_agreement=sem_agreement,
        sem_consistency=sem_consistency,
        sem_consistency_interval=interval_from(ends[0], ends[1], confidence),
        mdc95_agreement=Z_95 * math.sqrt(2) * sem_agreement,
        mdc95_consistency=Z_95 * math.sqrt(2) * sem_consistency,
    )


def icc_agreement(ms: MeanSquares) -> float:
    """ICC(2,1) = (MST - MSE) / (MST + (k - 1) MSE + k (MSR - MSE) / n); at most 1, may be negative."""
    spread = ms.targets + (ms.k - 1) * ms.error + ms.k * (ms.raters - ms.error) / ms.n
    return (ms.targets - ms.error) / spread


def icc_consistency(ms: MeanSquares) -> float:
    """ICC(3,1) = (MST - MSE) / (MST + (k - 1) MSE); in [-1 / (k - 1), 1]."""
    return (ms.targets - ms.error) / (ms.targets + (ms.k - 1) * ms.error)


def _consistency_interval(ms: MeanSquares, confidence: float) -> Interval:
    """Shrout and Fleiss 1979: F over its quantiles."""
    if ms.error == 0:
        return Interval(1.0, 1.0, confidence)
    ratio, level = ms.targets / ms.error, (1 + confidence) / 2
    above, below = ms.n - 1, (ms.n - 1) * (ms.k - 1)
    low, high = ratio / float(f.ppf(level, above, below)), ratio * float(f.ppf(level, below, above))
    return interval_from((low - 1) / (low + ms.k - 1), (high - 1) / (high + ms.k - 1), confidence)


def _agreement_interval(ms: MeanSquares, confidence: float) -> Interval:
    """Shrout and Fleiss 1979: Satterthwaite's degrees of freedom for a mixture of two mean squares."""
    n, k, level = ms.n, ms.k, (1 + confidence) / 2
    rho = icc_agreement(ms)
    if ms.error == 0 and ms.raters == 0:
        return Interval(1.0, 1.0, confidence)
    a = k * rho
    b = n * (1 + (k - 1) * rho) - k * rho
    mixture = (a * ms.raters + b * ms.error) ** 2
    # Scaling a and b by n (1 - rho) leaves the degrees of freedom as they are, and keeps rho = 1 finite.
    parts = (a * ms.raters) ** 2 / (k - 1) + (b * ms.error) ** 2 / ((n - 1) * (k - 1))
    freedom = mixture / parts
    f_low, f_high = float(f.ppf(level, n - 1, freedom)), float(f.ppf(level, freedom, n - 1))
    rest = k * ms.raters + (k * n - k - n) * ms.error
    low = n * (ms.targets - f_low * ms.error) / (f_low * rest + n * ms.targets)
    high = n * (f_high * ms.targets - ms.error) / (rest + n * f_high * ms.targets)
    return interval_from(low, high, confidence)
