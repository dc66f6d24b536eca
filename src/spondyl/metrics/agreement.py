"""How far readings lie from a reference: error, bias, limits of agreement, proportional bias, shares within margins.

A reading is any number with a unit: a Cobb angle in degrees, a balance in millimetres, the position of an end vertebra in
the list of levels. Results are in that unit. Differences are always predicted minus reference.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from scipy.stats import norm, t
from torch import Tensor

from spondyl.metrics.bootstrap import RESAMPLES, bootstrap
from spondyl.metrics.interval import Estimate, Interval, clusters, interval_from, paired
from spondyl.metrics.share import Share, share

Z_95 = float(norm.ppf(0.975))  # limits of agreement hold 95 % of differences whatever the confidence of their intervals
MARGINS_DEG = (3.0, 5.0)  # repeat readings of one observer, and the change that counts as progression
SLACK = 1e-4  # 8.1 - 3.1 is more than 5 in float32; no reading is finer than this


@dataclass(frozen=True)
class Within:
    """The share of readings whose absolute difference is at most `margin` (to 1e-4)."""

    margin: float
    share: Share


@dataclass(frozen=True)
class Agreement:
    """Predicted readings beside a reference, every interval over patients.

    Args:
        n: pairs that both exist.
        n_patients: patients of those pairs.
        failures: pairs whose prediction is missing; they count as misses in `within`, and nowhere else.
        bias: mean difference.
        sd: standard deviation of the differences (n - 1).
        lower_limit, upper_limit: bias -+ 1.96 SD, the 95 % limits of agreement.
        mae, rmse, median_absolute, p95_absolute: of the absolute differences.
        proportional_bias: slope of the difference on the pair's mean, per unit; 0 where the error does not grow.
        pearson_r: correlation; says nothing about agreement alone. NaN where all readings of one side are alike.
        within: shares with an absolute difference of at most each margin, of n + failures.
    """

    n: int
    n_patients: int
    failures: int
    bias: Estimate
    sd: Estimate
    lower_limit: Estimate
    upper_limit: Estimate
    mae: Estimate
    rmse: Estimate
    median_absolute: Estimate
    p95_absolute: Estimate
    proportional_bias: Estimate
    pearson_r: Estimate
    within: tuple[Within, ...]


def agreement(
    predicted: Float[Tensor, "n"],
    reference: Float[Tensor, "n"],
    *,
    patients: Integer[Tensor, "n"],
    generator: torch.Generator,
    margins: tuple[float, ...] = MARGINS_DEG,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
) -> Agreement:
    """Everything that a clinical journal asks about two readings of the same things.

    J. M. Bland and D. G. Altman, Statistical methods for assessing agreement, Lancet 327 (1986) 307-310, with intervals
    by resampling patients (`bootstrap`). The difference is regressed on the mean of both readings, not on the reference:
    the latter slopes downwards whenever the reference has errors (Bland and Altman, Lancet 346 (1995) 1085-1087).

    Args:
        predicted: the readings under test; NaN where the method failed.
        reference: what they are held against; finite.
        patients: whose reading each is.
        margins: for `within`, in the unit of the readings; the default is for degrees.

    Raises:
        ValueError: for fewer than three pairs or two patients, a reference that is not finite.
    """
    failed = torch.isnan(predicted)
    paired(predicted.nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf), reference)
    clusters(patients, len(predicted))
    a, b = paired(predicted[~failed], reference[~failed])
    who = patients[~failed.to(patients.device)]

    def statistics(rows: Integer[Tensor, "rows"]) -> Float[Tensor, "10"]:
        return _statistics(a[rows], b[rows])

    e = bootstrap(statistics, who, generator=generator, resamples=resamples, confidence=confidence)
    away = torch.where(failed, torch.inf, (predicted - reference).abs()).cpu()
    shares = tuple(Within(m, share(away <= m + SLACK, patients, confidence=confidence)) for m in margins)
    return Agreement(
        n=len(a), n_patients=e[0].n_patients, failures=int(failed.sum()),
        bias=e[0], sd=e[1], lower_limit=e[2], upper_limit=e[3], mae=e[4], rmse=e[5], median_absolute=e[6],
        p95_absolute=e[7], proportional_bias=e[8], pearson_r=e[9], within=shares,
    )  # fmt: skip


def _statistics(predicted: Float[Tensor, "n"], reference: Float[Tensor, "n"]) -> Float[Tensor, "10"]:
    """In the order of Agreement's fields. NaN where a resample holds one reading, repeated."""
    d, m = predicted - reference, (predicted + reference) / 2
    away, bias, sd = d.abs(), d.mean(), d.std()
    m = m - m.mean()
    slope = (m * (d - bias)).sum() / m.square().sum()
    x, y = predicted - predicted.mean(), reference - reference.mean()
    r = (x * y).sum() / (x.square().sum() * y.square().sum()).sqrt()
    return torch.stack(
        [bias, sd, bias - Z_95 * sd, bias + Z_95 * sd, away.mean(), d.square().mean().sqrt(),
         away.quantile(0.5), away.quantile(0.95), slope, r]
    )  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """Bias and 95 % limits of agreement with the textbook's intervals, in the unit of the readings."""

    n: int
    bias: float
    sd: float
    low: float
    high: float
    bias_interval: Interval
    low_interval: Interval
    high_interval: Interval


def limits_of_agreement(
    predicted: Float[Tensor, "n"], reference: Float[Tensor, "n"], *, confidence: float = 0.95
) -> Limits:
    """Bland and Altman's limits with their closed-form intervals: for one reading a patient, normal differences.

    Standard errors s / sqrt(n) of the bias and sqrt(3 / n) s of each limit (Lancet 1986), Student's t with n - 1
    degrees of freedom. Where patients have several readings use `agreement`, whose intervals know that.

    Raises:
        ValueError: for fewer than three pairs, or readings that are not finite.
    """
    a, b = paired(predicted, reference)
    d, n = a - b, len(a)
    bias, sd = float(d.mean()), float(d.std())
    width = float(t.ppf((1 + confidence) / 2, n - 1)) * sd
    low, high, half = bias - Z_95 * sd, bias + Z_95 * sd, width * (3 / n) ** 0.5
    around = [interval_from(m - h, m + h, confidence) for m, h in ((bias, width / n**0.5), (low, half), (high, half))]
    return Limits(n, bias, sd, low, high, *around)
