"""Shares: Clopper and Pearson's interval where patients have one reading, a wider one where they have several."""

import pytest
import torch
from scipy import stats

from spondyl.metrics.share import share


def hits(k: int, n: int) -> torch.Tensor:
    return torch.arange(n) < k


@pytest.mark.parametrize(("k", "n"), [(7, 10), (0, 12), (12, 12), (89, 100)])
def test_one_reading_a_patient_gives_clopper_pearson(k: int, n: int) -> None:
    got = share(hits(k, n), torch.arange(n))
    exact = stats.binomtest(k, n).proportion_ci(method="exact")
    assert got.percent == 100 * k / n
    assert got.interval_percent.low == pytest.approx(100 * exact.low, abs=1e-9)
    assert got.interval_percent.high == pytest.approx(100 * exact.high, abs=1e-9)


def test_copies_of_readings_add_no_certainty() -> None:
    ids = torch.arange(40).repeat_interleave(5)
    copied, once = share(hits(30, 40).repeat_interleave(5), ids), share(hits(30, 40), torch.arange(40))
    naive = share(hits(150, 200), torch.arange(200))
    assert copied.percent == once.percent == naive.percent
    assert copied.interval_percent.width >= once.interval_percent.width
    assert copied.interval_percent.width == pytest.approx(once.interval_percent.width, rel=0.05)
    assert naive.interval_percent.width < 0.6 * once.interval_percent.width


def test_all_hits_are_counted_by_patient() -> None:
    got = share(torch.ones(20, dtype=torch.bool), torch.arange(10).repeat_interleave(2))
    assert (got.hits, got.n, got.n_patients, got.interval_percent.high) == (20, 20, 10, 100.0)
    assert got.interval_percent.low == pytest.approx(100 * 0.025 ** (1 / 10))


def test_the_interval_is_statsmodels() -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    got = share(hits(17, 60), torch.arange(60), confidence=0.9).interval_percent
    low, high = proportion.proportion_confint(17, 60, alpha=0.1, method="beta")
    assert (got.low, got.high) == pytest.approx((100 * low, 100 * high), abs=1e-9)
