"""Straight lines between two methods that both have errors: Deming and Passing-Bablok.

Least squares takes the reference as exact and flattens the slope; these do not.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from scipy.stats import norm, t
from torch import Tensor

from spondyl.metrics.interval import Interval, check_confidence, clusters, interval_from, paired


@dataclass(frozen=True)
class Line:
    """predicted = intercept + slope x reference. Slope 1 and intercept 0 within their intervals: no bias was shown.

    Args:
        slope: per unit.
        intercept: in the unit of the readings.
        n: pairs.
    """

    slope: float
    slope_interval: Interval
    intercept: float
    intercept_interval: Interval
    n: int


def deming(
    predicted: Float[Tensor, "n"],
    reference: Float[Tensor, "n"],
    *,
    patients: Integer[Tensor, "n"],
    variance_ratio: float = 1.0,
    confidence: float = 0.95,
) -> Line:
    """Deming's line, with intervals from the jackknife over patients.

    slope = (u + sqrt(u^2 + 4 r Sxy^2)) / (2 Sxy), u = Syy - r Sxx, r the ratio of error variances. Intervals: Student's t
    about the estimate with the jackknife's standard error (K. Linnet, Clinical Chemistry 39 (1993) 424-432), whole
    patients left out; g patients, g - 2 degrees of freedom.

    Args:
        patients: whose pair each is.
        variance_ratio: error variance of the predicted reading over that of the reference, from replicate readings of
            both. 1 makes it the orthogonal line.

    Raises:
        ValueError: for fewer than three patients, a ratio that is not positive, readings that do not correlate at all.
    """
    check_confidence(confidence)
    y, x = paired(predicted, reference)
    numbered = clusters(patients, len(x), least=3)
    if not variance_ratio > 0:
        raise ValueError(f"variance_ratio is {variance_ratio}; wanted a positive ratio of error variances")
    count = int(numbered.max()) + 1
    whole = _deming(y, x, variance_ratio)
    left_out = torch.stack([_deming(y[numbered != g], x[numbered != g], variance_ratio) for g in range(count)])
    pseudo = count * whole - (count - 1) * left_out
    half = float(t.ppf((1 + confidence) / 2, count - 2)) * pseudo.std(dim=0) / count**0.5
    (slope, intercept), (low, low_0), (high, high_0) = whole.tolist(), (whole - half).tolist(), (whole + half).tolist()
    return Line(
        slope, interval_from(low, high, confidence), intercept, interval_from(low_0, high_0, confidence), len(x)
    )


def _deming(y: Float[Tensor, "n"], x: Float[Tensor, "n"], ratio: float) -> Float[Tensor, "2"]:
    dx, dy = x - x.mean(), y - y.mean()
    sxx, syy, sxy = dx.square().mean(), dy.square().mean(), (dx * dy).mean()
    if float(sxy.abs()) <= 1e-12 * float((sxx * syy).sqrt()) or len(x) < 2:
        raise ValueError("readings do not vary together; a Deming line wants correlated readings of different patients")
    u = syy - ratio * sxx
    slope = (u + (u.square() + 4 * ratio * sxy.square()).sqrt()) / (2 * sxy)
    return torch.stack([slope, y.mean() - slope * x.mean()])


def passing_bablok(predicted: Float[Tensor, "n"], reference: Float[Tensor, "n"], *, confidence: float = 0.95) -> Line:
    """Passing and Bablok's line: the shifted median of all slopes between two points; no outlier can bend it.

    H. Passing and W. Bablok, J. Clin. Chem. Clin. Biochem. 21 (1983) 709-720, with their closed-form intervals, which take
    pairs as independent: one a patient. Exchanging the methods inverts the line. It wants positively correlated readings
    on a straight line, and error variances in the ratio of the squared slope. All pairs are formed: n up to a few thousand.

    Raises:
        ValueError: for fewer than three pairs, pairs that are all the same point, readings that fall against each other.
    """
    check_confidence(confidence)
    y, x = paired(predicted, reference)
    slopes = _slopes(y, x)
    n, count = len(x), len(slopes)
    if not count:
        raise ValueError("no two pairs of readings give a slope; Passing-Bablok wants readings that differ")
    shift = int((slopes < -1).sum())
    at = (count - 1) // 2 + shift, count // 2 + shift
    if at[1] >= count or not bool(torch.isfinite(slopes[list(at)]).all()):
        raise ValueError("readings fall against each other or stand upright; Passing-Bablok wants a rising line")
    slope = float(slopes[list(at)].mean())
    spread = float(norm.ppf((1 + confidence) / 2)) * (n * (n - 1) * (2 * n + 5) / 18) ** 0.5
    first = round((count - spread) / 2)
    last = count - first + 1
    # The paper counts from 1. An end that falls off the list is open: n is too small for this confidence.
    low = float(slopes[first + shift - 1]) if first + shift >= 1 else -torch.inf
    high = float(slopes[last + shift - 1]) if last + shift <= count else torch.inf
    around = interval_from(_intercept(y, x, high), _intercept(y, x, low), confidence)
    return Line(slope, interval_from(low, high, confidence), _intercept(y, x, slope), around, n)


def _slopes(y: Float[Tensor, "n"], x: Float[Tensor, "n"]) -> Float[Tensor, "_"]:
    """All slopes between two different points, ascending; those of exactly -1 left out (1983)."""
    i, j = torch.triu_indices(len(x), len(x), offset=1)
    dx, dy = x[j] - x[i], y[j] - y[i]
    apart = (dx != 0) | (dy != 0)
    slopes = dy[apart] / dx[apart]
    upright = dx[apart] == 0
    slopes = torch.where(upright, torch.inf * dy[apart].sign(), slopes)
    # Decimal readings make slopes of -1 that miss it by rounding.
    return slopes[(slopes + 1).abs() > 1e-12].sort().values


def _intercept(y: Float[Tensor, "n"], x: Float[Tensor, "n"], slope: float) -> float:
    """Median of y - slope x, the mean of the middle two where n is even; open for an open slope."""
    return -slope if abs(slope) == torch.inf else float((y - slope * x).quantile(0.5))
