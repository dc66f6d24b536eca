"""ICC, SEM and MDC: Shrout and Fleiss's table of 1979, offsets of raters, variance components known in advance."""

import math

import pytest
import torch

from spondyl.metrics.reliability import icc_agreement, icc_consistency, mean_squares, reliability

# Shrout and Fleiss 1979, table 2: six targets, four judges.
JUDGES = torch.tensor(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=torch.float64
)


def noise(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_mean_squares_are_shrout_and_fleiss_table_3() -> None:
    got = mean_squares(JUDGES)
    assert (got.n, got.k) == (6, 4)
    assert (got.targets, got.raters, got.error) == pytest.approx((11.24, 32.49, 1.02), abs=0.005)


def test_correlations_are_shrout_and_fleiss_table_4() -> None:
    got = reliability(JUDGES)
    assert got.agreement == pytest.approx(0.29, abs=0.005)
    assert got.consistency == pytest.approx(0.71, abs=0.005)


def test_intervals_are_those_that_other_programs_print_for_that_table() -> None:
    # R's psych::ICC on the same table: ICC2 0.019 to 0.761, ICC3 0.342 to 0.946.
    got = reliability(JUDGES)
    assert (got.agreement_interval.low, got.agreement_interval.high) == pytest.approx((0.019, 0.761), abs=5e-4)
    assert (got.consistency_interval.low, got.consistency_interval.high) == pytest.approx((0.342, 0.946), abs=5e-4)


def test_an_offset_of_one_rater_hurts_agreement_alone() -> None:
    x = 10 * noise(40, 1, seed=1) + noise(40, 2, seed=2)
    shifted = x + torch.tensor([0.0, 15.0])
    before, after = reliability(x), reliability(shifted)
    assert after.consistency == pytest.approx(before.consistency)
    assert after.sem_consistency == pytest.approx(before.sem_consistency)
    assert after.agreement < before.agreement - 0.3
    assert after.sem_agreement > 5 * before.sem_agreement


def test_known_variances_come_back() -> None:
    x = 6 * noise(4000, 1, seed=1) + 2 * noise(4000, 3, seed=2)
    got = reliability(x)
    assert got.consistency == pytest.approx(36 / 40, abs=0.01)
    assert got.sem_consistency == pytest.approx(2, abs=0.05)
    assert 2 in got.sem_consistency_interval
    assert got.mdc95_consistency == pytest.approx(1.96 * math.sqrt(2) * 2, abs=0.15)
    assert got.agreement_interval.width < 0.02


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rho, covered = 0.8, [0, 0]
    for seed in range(300):
        x = math.sqrt(rho) * noise(15, 1, seed=seed) + math.sqrt(1 - rho) * noise(15, 2, seed=10_000 + seed)
        got = reliability(x)
        covered[0] += rho in got.consistency_interval
        covered[1] += rho in got.agreement_interval
    assert covered[0] == pytest.approx(285, abs=11)  # 95 % of 300, three standard errors
    assert covered[1] == pytest.approx(285, abs=11)


def test_perfect_readings_have_correlation_one_and_no_error() -> None:
    got = reliability(torch.arange(5.0)[:, None].repeat(1, 2))
    assert (got.agreement, got.consistency, got.sem_agreement, got.mdc95_agreement) == (1, 1, 0, 0)
    assert (got.consistency_interval.low, got.agreement_interval.low) == (1, 1)


def test_two_raters_without_error_beside_an_offset_are_finite() -> None:
    got = reliability(torch.arange(5.0)[:, None] + torch.tensor([0.0, 1.0]))
    assert got.consistency == 1
    assert got.agreement == pytest.approx(2.5 / (2.5 + 0.5))
    assert got.agreement in got.agreement_interval


def test_readings_without_variance_are_refused() -> None:
    with pytest.raises(ValueError, match="all readings are alike"):
        reliability(torch.ones(4, 2))
    with pytest.raises(ValueError, match="at least two of each"):
        reliability(torch.ones(4, 1))
    with pytest.raises(ValueError, match="NaN"):
        reliability(torch.tensor([[1.0, math.nan], [2.0, 3.0]]))


def test_mean_squares_are_statsmodels_anova() -> None:
    api = pytest.importorskip("statsmodels.formula.api")
    anova = pytest.importorskip("statsmodels.stats.anova")
    pandas = pytest.importorskip("pandas")
    rows = [(f"t{i}", f"r{j}", float(JUDGES[i, j])) for i in range(6) for j in range(4)]
    table = anova.anova_lm(api.ols("y ~ C(t) + C(r)", pandas.DataFrame(rows, columns=["t", "r", "y"])).fit())
    got = mean_squares(JUDGES)
    theirs = table["mean_sq"].tolist()
    assert [got.targets, got.raters, got.error] == pytest.approx(theirs, rel=1e-12)
    assert icc_agreement(got) < icc_consistency(got)
