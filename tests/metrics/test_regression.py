"""Deming against NCSS's worked example, principal axes and scipy's ODR; Passing-Bablok against cases done by hand and Theil-Sen."""

import math
import warnings

import pytest
import torch
from scipy import stats

from spondyl.metrics.regression import Line, deming, passing_bablok

# NCSS Statistical Software, chapter 303 (Deming regression), examples 5 and 6: ten samples by two methods.
NCSS_X = torch.tensor([7, 8.3, 10.5, 9, 5.1, 8.2, 10.2, 10.3, 7.1, 5.9], dtype=torch.float64)
NCSS_Y = torch.tensor([7.9, 8.2, 9.6, 9, 6.5, 7.3, 10.2, 10.6, 6.3, 5.2], dtype=torch.float64)


def noise(n: int, seed: int) -> torch.Tensor:
    return torch.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def line(y: torch.Tensor, x: torch.Tensor, ratio: float = 1.0) -> Line:
    return deming(y, x, patients=torch.arange(len(x)), variance_ratio=ratio)


def test_deming_is_the_worked_example_of_ncss() -> None:
    got = line(NCSS_Y, NCSS_X, 0.25)
    assert got.slope == pytest.approx(1.0011942, abs=5e-8)
    assert got.intercept == pytest.approx(-0.0897449, abs=5e-8)
    assert (got.slope_interval.low, got.slope_interval.high) == pytest.approx((0.5695632, 1.4328253), abs=5e-8)


def test_deming_with_equal_errors_is_the_first_principal_axis() -> None:
    x = 30 + 10 * noise(60, 1)
    y = 4 + 0.9 * x + 3 * noise(60, 2)
    both = torch.stack([x - x.mean(), y - y.mean()], dim=1)
    axis = torch.linalg.svd(both).Vh[0]
    assert line(y, x).slope == pytest.approx(float(axis[1] / axis[0]), rel=1e-12)


def test_deming_with_an_exact_reference_is_least_squares() -> None:
    fit = stats.linregress(NCSS_X.numpy(), NCSS_Y.numpy())
    assert line(NCSS_Y, NCSS_X, 1e9).slope == pytest.approx(fit.slope, rel=1e-6)


def test_deming_is_scipys_orthogonal_distance_regression() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # scipy gives it up; while it is there it is an oracle
        odr = pytest.importorskip("scipy.odr")
        data = odr.RealData(NCSS_X.numpy(), NCSS_Y.numpy(), sx=1.0, sy=math.sqrt(2.5))
        fit = odr.ODR(data, odr.unilinear, beta0=[1.0, 0.0], sstol=1e-15, partol=1e-12).run()
    got = line(NCSS_Y, NCSS_X, 2.5)
    assert (got.slope, got.intercept) == pytest.approx(tuple(fit.beta), rel=1e-5)


def test_demings_jackknife_leaves_out_whole_patients() -> None:
    ids = torch.arange(10).repeat_interleave(4)
    once, copied = line(NCSS_Y, NCSS_X), deming(NCSS_Y[ids], NCSS_X[ids], patients=ids)
    naive = line(NCSS_Y[ids], NCSS_X[ids])
    assert copied.slope == pytest.approx(once.slope)
    assert copied.slope_interval.width == pytest.approx(once.slope_interval.width)
    assert naive.slope_interval.width < 0.6 * once.slope_interval.width


def test_deming_refuses_what_has_no_line() -> None:
    with pytest.raises(ValueError, match="do not vary together"):
        line(torch.tensor([1.0, 2, 1, 2]), torch.tensor([1.0, 1, 2, 2]))
    with pytest.raises(ValueError, match="variance_ratio is 0"):
        line(NCSS_Y, NCSS_X, 0)
    with pytest.raises(ValueError, match="2 patients; wanted at least 3"):
        deming(NCSS_Y, NCSS_X, patients=torch.arange(10) % 2)


def test_passing_bablok_finds_an_exact_line() -> None:
    x = torch.tensor([1.0, 2.0, 4.0, 7.0, 11.0, 12.0, 15.0], dtype=torch.float64)
    got = passing_bablok(3 + 2 * x, x)
    assert (got.slope, got.intercept) == pytest.approx((2, 3))
    assert (got.slope_interval.low, got.slope_interval.high) == pytest.approx((2, 2))
    assert (got.intercept_interval.low, got.intercept_interval.high) == pytest.approx((3, 3))


def test_passing_bablok_is_a_case_done_by_hand() -> None:
    # Points (0,0) (1,1) (2,4) (3,1.5): slopes 1, 2, 0.5, 3, 0.25, -2.5. K = 1 below -1, N = 6, so the median is the mean
    # of the 4th and the 5th of -2.5 0.25 0.5 1 2 3, 1.5. Intercept: median of 0, -0.5, 1, -3.
    got = passing_bablok(torch.tensor([0.0, 1.0, 4.0, 1.5]), torch.tensor([0.0, 1.0, 2.0, 3.0]))
    assert got.slope == pytest.approx(1.5)
    assert got.intercept == pytest.approx(-0.25)
    # 95 %: C = 1.96 sqrt(4 3 13 / 18) = 5.77, M1 = round(0.115) = 0: the 1st is the lower end, the upper one is open.
    assert got.slope_interval.low == -2.5
    assert got.slope_interval.high == math.inf
    assert got.intercept_interval.low == -math.inf


def test_passing_bablok_leaves_out_slopes_of_minus_one_and_pairs_of_one_point() -> None:
    # (0,0) (1,1) (1,1) (2,0) (3,4): 0/0 once and -1 twice are out; left are 1 1 0 4/3 1.5 1.5 4: the median is 4/3.
    y, x = torch.tensor([0.0, 1, 1, 0, 4]), torch.tensor([0.0, 1, 1, 2, 3])
    assert passing_bablok(y, x).slope == pytest.approx(4 / 3)


def test_passing_bablok_keeps_upright_slopes() -> None:
    # (0,0) (0,2) (1,1) (2,2): slopes +inf, 1, 1, -1 (out), 0, 1: the median is 1; without the upright one 1 too, so
    # lift it: (0,0) (0,2) (1,3) (2,3): +inf 3 1.5 1 0.5 0: the median is the mean of 1 and 1.5.
    y, x = torch.tensor([0.0, 2, 3, 3]), torch.tensor([0.0, 0, 1, 2])
    assert passing_bablok(y, x).slope == pytest.approx(1.25)


def test_passing_bablok_does_not_mind_which_method_comes_first() -> None:
    x = 30 + 10 * noise(23, 1)
    y = 2 + 1.1 * x + 3 * noise(23, 2)  # 253 pairs, an odd number: the median is one of the slopes
    there, back = passing_bablok(y, x), passing_bablok(x, y)
    assert back.slope == pytest.approx(1 / there.slope)
    assert back.slope_interval.low == pytest.approx(1 / there.slope_interval.high)
    assert back.intercept == pytest.approx(-there.intercept / there.slope)


def test_passing_bablok_is_theil_sen_where_no_slope_lies_below_minus_one() -> None:
    x = torch.arange(25, dtype=torch.float64)
    y = 1 + 1.05 * x + 0.4 * noise(25, 3).clamp(-1, 1)
    theirs, got = stats.theilslopes(y.numpy(), x.numpy(), 0.95), passing_bablok(y, x)
    assert got.slope == pytest.approx(theirs.slope, rel=1e-12)
    assert (got.slope_interval.low, got.slope_interval.high) == pytest.approx(
        (theirs.low_slope, theirs.high_slope), rel=1e-12
    )


def test_one_wild_reading_does_not_bend_passing_bablok() -> None:
    x = 30 + 10 * noise(40, 1)
    y = x + noise(40, 2)
    wild = y.clone()
    wild[0] += 300
    assert passing_bablok(wild, x).slope == pytest.approx(passing_bablok(y, x).slope, abs=0.03)
    assert abs(line(wild, x).slope - 1) > 0.3


def test_passing_bablok_refuses_what_does_not_rise() -> None:
    x = torch.arange(6.0)
    with pytest.raises(ValueError, match="rising line"):
        passing_bablok(-3 * x, x)
    with pytest.raises(ValueError, match="no two pairs"):
        passing_bablok(torch.ones(4), torch.ones(4))
