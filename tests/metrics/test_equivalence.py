"""TOST: scipy's one-sided t-tests, the interval it equals, patients as the unit."""

import pytest
import torch
from scipy import stats

from spondyl.metrics.equivalence import equivalence


def noise(n: int, seed: int) -> torch.Tensor:
    return torch.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


REFERENCE = 30 + 10 * noise(18, 1)
PREDICTED = REFERENCE + 3.4 + 3 * noise(18, 2)


def test_it_is_two_paired_t_tests() -> None:
    got = equivalence(PREDICTED, REFERENCE, patients=torch.arange(18))
    d = (PREDICTED - REFERENCE).numpy()
    above = stats.ttest_1samp(d, -5, alternative="greater").pvalue
    below = stats.ttest_1samp(d, 5, alternative="less").pvalue
    assert got.p == pytest.approx(max(above, below), rel=1e-10)
    ends = stats.ttest_1samp(d, 0).confidence_interval(0.90)
    assert (got.interval.low, got.interval.high) == pytest.approx((ends.low, ends.high))
    assert got.interval.confidence == pytest.approx(0.9)


@pytest.mark.parametrize("margin", [0.5, 2.0, 3.6, 4.5, 5.0, 6.0, 9.0])
def test_equivalent_means_that_the_interval_lies_inside_the_margins(margin: float) -> None:
    got = equivalence(PREDICTED, REFERENCE, patients=torch.arange(18), margin=margin)
    assert got.equivalent == (got.interval.low > -margin and got.interval.high < margin)
    assert (got.p < 0.05) == got.equivalent


def test_a_bias_beyond_the_margin_has_p_above_one_half() -> None:
    assert equivalence(PREDICTED, REFERENCE, patients=torch.arange(18), margin=1).p > 0.5


def test_copies_of_curves_add_no_certainty() -> None:
    ids = torch.arange(18).repeat_interleave(3)
    once = equivalence(PREDICTED, REFERENCE, patients=torch.arange(18))
    copied = equivalence(PREDICTED[ids], REFERENCE[ids], patients=ids)
    assert (copied.n, copied.n_patients) == (54, 18)
    assert copied.p == pytest.approx(once.p)


def test_equal_readings_are_equivalent_and_a_constant_offset_of_the_margin_is_not() -> None:
    ids = torch.arange(18)
    assert equivalence(REFERENCE, REFERENCE, patients=ids).equivalent
    x = torch.arange(18, dtype=torch.float64)
    assert not equivalence(x + 5, x, patients=ids).equivalent


def test_a_margin_without_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="margin is 0"):
        equivalence(PREDICTED, REFERENCE, patients=torch.arange(18), margin=0)


def test_it_is_statsmodels_tost() -> None:
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    p, _, _ = weightstats.ttost_paired(PREDICTED.numpy(), REFERENCE.numpy(), -5, 5)
    assert equivalence(PREDICTED, REFERENCE, patients=torch.arange(18)).p == pytest.approx(p, rel=1e-10)
