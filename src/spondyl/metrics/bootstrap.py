"""Confidence intervals by resampling patients: whole patients are drawn with replacement, never single readings.

Curves of one spine, and two films of one patient, are not independent. Drawing readings would make every interval
too narrow.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Integer
from scipy.stats import norm, t
from torch import Tensor

from spondyl.metrics.interval import Estimate, check_confidence, clusters, interval_from

RESAMPLES = 2000


def bootstrap(
    statistic: Callable[[Integer[Tensor, "rows"]], Float[Tensor, "k"]],
    patients: Integer[Tensor, "n"],
    *,
    generator: torch.Generator,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
) -> tuple[Estimate, ...]:
    """Each of k statistics of the data with its BCa interval over patients.

    A drawn patient brings all of its readings, as often as it is drawn. The interval is bias-corrected and accelerated
    (B. Efron, Better bootstrap confidence intervals, JASA 82 (1987) 171-185), its acceleration from the jackknife over
    patients. The normal quantile is widened to sqrt(g / (g - 1)) t for g patients (T. Hesterberg, The American
    Statistician 69 (2015) 371-386): a bootstrap of few is too narrow without. docs/metrics.md tells how often
    it covers the truth.

    Args:
        statistic: takes row numbers of the data (with repeats), gives k numbers. A NaN says "not defined for these rows":
            that resample is left out for that number. NaN on the whole data gives NaN and an open interval.
        patients: which patient each row belongs to; any integers.
        generator: the only source of randomness; the same seed gives the same interval on every machine.
        resamples: how many; 2000 for an interval, not fewer than 100.

    Raises:
        ValueError: for fewer than two patients or fewer than 100 resamples.
    """
    check_confidence(confidence)
    if resamples < 100:
        raise ValueError(f"resamples is {resamples}; wanted at least 100")
    numbered = clusters(patients, len(patients))
    rows = _rows_by_patient(numbered)
    whole = statistic(torch.arange(len(numbered))).double()
    count = len(rows)
    drawn = [statistic(_join(rows, _draw(count, generator))).double() for _ in range(resamples)]
    without = [statistic(_join(rows, _all_but(i, count))).double() for i in range(count)]
    replicates, jackknife = torch.stack(drawn), torch.stack(without)
    z = (count / (count - 1)) ** 0.5 * float(t.ppf((1 + confidence) / 2, count - 1))
    ends = [_bca(whole[i], replicates[:, i], jackknife[:, i], z) for i in range(len(whole))]
    return tuple(
        Estimate(value, interval_from(low, high, confidence), len(numbered), count)
        for value, (low, high) in zip(whole.tolist(), ends, strict=True)
    )


def _rows_by_patient(numbered: Integer[Tensor, "n"]) -> tuple[Integer[Tensor, "_"], ...]:
    order = torch.argsort(numbered, stable=True)
    return torch.split(order, torch.bincount(numbered).tolist())


def _draw(count: int, generator: torch.Generator) -> list[int]:
    drawn: list[int] = torch.randint(count, (count,), generator=generator, device=generator.device).tolist()
    return drawn


def _all_but(left_out: int, count: int) -> list[int]:
    return [i for i in range(count) if i != left_out]


def _join(rows: tuple[Integer[Tensor, "_"], ...], drawn: list[int]) -> Integer[Tensor, "_"]:
    return torch.cat([rows[i] for i in drawn])


def _bca(
    value: Float[Tensor, ""], replicates: Float[Tensor, "b"], jackknife: Float[Tensor, "g"], z: float
) -> tuple[float, float]:
    replicates, jackknife = replicates[~torch.isnan(replicates)], jackknife[~torch.isnan(jackknife)]
    if len(replicates) < 100 or bool(torch.isnan(value)):
        return float("nan"), float("nan")
    # Replicates equal to the value count half, so that a statistic with few values (a median, a share) stays centred.
    below = float((replicates < value).double().mean() + 0.5 * (replicates == value).double().mean())
    edge = 0.5 / len(replicates)
    z0 = float(norm.ppf(min(max(below, edge), 1 - edge)))
    away = jackknife.mean() - jackknife if len(jackknife) else replicates.new_zeros(1)
    spread = float(away.square().sum())
    acceleration = float(away.pow(3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
    tails = z0 + torch.tensor([-z, z], dtype=torch.float64)
    levels = torch.special.ndtr(z0 + tails / (1 - acceleration * tails)).clamp(0, 1)
    low, high = torch.quantile(replicates, levels).tolist()
    return low, high
