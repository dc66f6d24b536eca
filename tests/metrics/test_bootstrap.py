"""Resampling patients: against scipy's BCa, a cluster of copies, and the same seed twice."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from spondyl.metrics.bootstrap import bootstrap


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def skewed(n: int) -> torch.Tensor:
    return torch.randn(n, dtype=torch.float64, generator=seeded(5)).exp()


def scipys(x: torch.Tensor, method: str, confidence: float) -> tuple[float, float]:
    got = stats.bootstrap((x.numpy(),), np.mean, n_resamples=20000, method=method, confidence_level=confidence, rng=1)
    return (float(got.confidence_interval.low), float(got.confidence_interval.high))


def as_wide(n: int) -> float:
    """Ours is wider, for few patients: the confidence that makes scipy's normal quantile ours."""
    return float(2 * stats.norm.cdf(math.sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1)) - 1)


@pytest.mark.parametrize(("n", "within"), [(10, 0.2), (40, 0.03)])
def test_the_interval_is_scipys_where_each_patient_has_one_reading(n: int, within: float) -> None:
    x = skewed(n)
    ours = bootstrap(lambda rows: x[rows].mean()[None], torch.arange(n), generator=seeded(), resamples=6000)[0]
    assert ours.value == pytest.approx(float(x.mean()))
    assert (ours.interval.low, ours.interval.high) == pytest.approx(scipys(x, "BCa", as_wide(n)), abs=within)


def test_the_ways_to_be_wrong_are_larger_than_what_that_test_lets_pass() -> None:
    few, more = skewed(10), skewed(40)
    assert scipys(more, "BCa", as_wide(40))[1] - scipys(more, "percentile", as_wide(40))[1] > 0.06
    assert scipys(few, "BCa", as_wide(10))[1] - scipys(few, "BCa", 0.95)[1] > 0.25


def test_copies_of_every_reading_change_nothing_when_patients_are_the_unit() -> None:
    x = skewed(30)
    tripled, ids = x.repeat_interleave(3), torch.arange(30).repeat_interleave(3)
    once = bootstrap(lambda rows: x[rows].mean()[None], torch.arange(30), generator=seeded())[0]
    thrice = bootstrap(lambda rows: tripled[rows].mean()[None], ids, generator=seeded())[0]
    naive = bootstrap(lambda rows: tripled[rows].mean()[None], torch.arange(90), generator=seeded())[0]
    assert thrice.interval.low == pytest.approx(once.interval.low)
    assert thrice.interval.high == pytest.approx(once.interval.high)
    assert (thrice.n, thrice.n_patients) == (90, 30)
    assert naive.interval.width == pytest.approx(once.interval.width / math.sqrt(3), rel=0.15)


def test_intervals_over_patients_cover_and_those_over_readings_do_not() -> None:
    generator, covered = seeded(3), [0, 0]
    ids, studies = torch.arange(20).repeat_interleave(3), 60
    for _ in range(studies):
        error = torch.randn(20, dtype=torch.float64, generator=generator)[ids]
        x = error + 0.5 * torch.randn(60, dtype=torch.float64, generator=generator)
        for i, unit in enumerate((ids, torch.arange(60))):
            got = bootstrap(lambda rows, x=x: x[rows].mean()[None], unit, generator=generator, resamples=100)[0]
            covered[i] += 0 in got.interval
    assert covered[0] / studies == pytest.approx(0.95, abs=0.085)  # three standard errors
    assert covered[1] / studies < 0.85


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    x = skewed(20)

    def low(seed: int) -> float:
        got = bootstrap(lambda rows: x[rows].mean()[None], torch.arange(20), generator=seeded(seed), resamples=200)
        return got[0].interval.low

    assert low(1) == low(1)
    assert low(1) != low(2)


def test_order_and_names_of_patients_do_not_matter_to_the_value() -> None:
    x, ids = skewed(12), torch.tensor([4, 4, 9, 9, 9, 1, 2, 2, 7, 7, 7, 7])
    got = bootstrap(lambda rows: x[rows].sum()[None], ids, generator=seeded(), resamples=100)[0]
    assert got.value == pytest.approx(float(x.sum()))
    assert got.n_patients == 5


def test_a_statistic_without_spread_has_an_interval_without_width() -> None:
    got = bootstrap(lambda rows: torch.ones(1), torch.arange(9), generator=seeded(), resamples=100)[0]
    assert (got.interval.low, got.interval.high) == (1.0, 1.0)


def test_a_statistic_that_is_not_defined_has_an_open_interval() -> None:
    got = bootstrap(lambda rows: torch.tensor([math.nan]), torch.arange(9), generator=seeded(), resamples=100)[0]
    assert math.isnan(got.value)
    assert got.interval.width == math.inf


def test_too_few_resamples_are_refused() -> None:
    with pytest.raises(ValueError, match="resamples is 50"):
        bootstrap(lambda rows: torch.ones(1), torch.arange(9), generator=seeded(), resamples=50)
