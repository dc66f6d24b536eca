"""Agreement: Bland and Altman's own numbers of 1986, closed forms, patients with several curves, failures counted."""

import math

import pytest
import torch

from spondyl.metrics.agreement import Agreement, agreement, limits_of_agreement

# Bland and Altman, Lancet 1986, table 1: peak expiratory flow, l/min, first reading by the large and the mini meter.
LARGE = torch.tensor([494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]).double()
MINI = torch.tensor([512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]).double()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(n: int, seed: int) -> torch.Tensor:
    return torch.randn(n, dtype=torch.float64, generator=seeded(seed))


def of(predicted: torch.Tensor, reference: torch.Tensor, ids: torch.Tensor | None = None) -> Agreement:
    ids = torch.arange(len(predicted)) if ids is None else ids
    return agreement(predicted, reference, patients=ids, generator=seeded(), resamples=400)


def test_the_limits_are_those_of_bland_and_altman_1986() -> None:
    got = limits_of_agreement(LARGE, MINI)
    assert got.n == 17
    assert got.bias == pytest.approx(-2.1, abs=0.05)
    assert got.sd == pytest.approx(38.8, abs=0.05)
    assert (got.bias_interval.low, got.bias_interval.high) == pytest.approx((-22.0, 17.8), abs=0.1)
    # The paper takes 2 SD (-79.7, 75.5) where this takes 1.96, and prints the limits' intervals as those +- 34.6.
    assert (got.bias - 2 * got.sd, got.bias + 2 * got.sd) == pytest.approx((-79.7, 75.5), abs=0.15)
    assert got.low_interval.high - got.low == pytest.approx((114.3 - 45.1) / 2, abs=0.1)
    assert got.high - got.high_interval.low == pytest.approx((110.1 - 40.9) / 2, abs=0.1)


def test_every_number_is_its_closed_form_on_a_small_case() -> None:
    predicted, reference = torch.tensor([11.0, 19.0, 33.0, 38.0]), torch.tensor([10.0, 20.0, 30.0, 41.0])
    got = of(predicted, reference)  # differences 1, -1, 3, -3; means 10.5, 19.5, 31.5, 39.5
    assert got.bias.value == 0
    assert got.mae.value == 2
    assert got.rmse.value == pytest.approx(math.sqrt(5))
    assert got.sd.value == pytest.approx(math.sqrt(20 / 3))
    assert got.lower_limit.value == pytest.approx(-1.959964 * math.sqrt(20 / 3), rel=1e-6)
    assert got.median_absolute.value == 2
    assert got.p95_absolute.value == pytest.approx(3)
    means = [-14.75, -5.75, 6.25, 14.25]
    slope = sum(m * d for m, d in zip(means, [1, -1, 3, -3], strict=True)) / sum(m * m for m in means)
    assert got.proportional_bias.value == pytest.approx(slope)
    assert got.pearson_r.value == pytest.approx(
        float(torch.corrcoef(torch.stack([predicted, reference]))[0, 1]), abs=1e-6
    )
    assert [w.share.hits for w in got.within] == [4, 4]


def test_bland_altman_by_resampling_lies_near_the_closed_form() -> None:
    reference = 30 + 10 * noise(120, 1)
    predicted = reference + 1 + 3 * noise(120, 2)
    got = agreement(predicted, reference, patients=torch.arange(120), generator=seeded(), resamples=800)
    book = limits_of_agreement(predicted, reference)
    assert got.bias.value == pytest.approx(book.bias)
    assert got.upper_limit.value == pytest.approx(book.high)
    assert got.bias.interval.width == pytest.approx(book.bias_interval.width, rel=0.1)
    assert got.upper_limit.interval.width == pytest.approx(book.high_interval.width, rel=0.25)


def test_curves_of_one_patient_widen_the_interval() -> None:
    ids = torch.arange(40).repeat_interleave(3)
    reference = 30 + 10 * noise(120, 1)
    predicted = reference + 3 * noise(40, 2)[ids] + 0.3 * noise(120, 3)  # the error belongs to the patient
    clustered, naive = of(predicted, reference, ids), of(predicted, reference)
    assert clustered.bias.value == naive.bias.value
    assert clustered.bias.interval.width == pytest.approx(math.sqrt(3) * naive.bias.interval.width, rel=0.2)
    assert clustered.within[0].share.interval_percent.width > 1.3 * naive.within[0].share.interval_percent.width


def test_an_error_that_grows_with_the_angle_shows_as_proportional_bias() -> None:
    reference = 15 + 4 * noise(80, 1).abs() * 5
    got = of(1.2 * reference + 0.2 * noise(80, 2), reference)
    assert got.proportional_bias.value == pytest.approx(0.2 / 1.1, abs=0.01)  # slope on the mean: 0.2 x over 1.1 x
    assert 0 not in got.proportional_bias.interval


def test_equal_error_in_both_methods_shows_no_proportional_bias() -> None:
    truth = 30 + 6 * noise(2000, 1)
    predicted, reference = truth + 4 * noise(2000, 2), truth + 4 * noise(2000, 3)
    got = agreement(predicted, reference, patients=torch.arange(2000) // 40, generator=seeded(), resamples=100)
    on_the_reference = float(torch.cov(torch.stack([predicted - reference, reference]))[0, 1] / reference.var())
    assert got.proportional_bias.value == pytest.approx(0, abs=0.075)  # four standard errors
    assert on_the_reference < -0.25, "regressed on the reference it would look like one"


def test_failures_are_counted_as_misses_not_dropped() -> None:
    predicted, reference = 30 + noise(20, 1), torch.full((20,), 30.0, dtype=torch.float64)
    predicted[:5] = math.nan
    got = of(predicted, reference)
    assert (got.n, got.failures) == (15, 5)
    assert got.within[1].share.n == 20
    assert got.within[1].share.percent <= 75
    assert got.mae.value == pytest.approx(float((predicted - reference)[5:].abs().mean()))


def test_margins_belong_to_the_share() -> None:
    got = agreement(
        torch.tensor([5.0, 7, 9, 12]), torch.tensor([5.0, 8, 9, 10]), patients=torch.arange(4),
        generator=seeded(), margins=(0.0, 1.0), resamples=100,
    )  # fmt: skip
    assert [(w.margin, w.share.percent) for w in got.within] == [(0.0, 50.0), (1.0, 75.0)]


def test_a_difference_of_exactly_the_margin_is_within_it_in_any_precision() -> None:
    predicted, reference = torch.tensor([8.1, 3.6, 9.1, 4.6]), torch.tensor([3.1, 8.6, 4.1, 9.6])
    assert not bool(((predicted - reference).abs() <= 5).all()), "float32 must miss one, or this test could not fail"
    assert of(predicted, reference).within[1].share.hits == 4


def test_a_reference_that_never_varies_has_no_correlation() -> None:
    got = of(30 + noise(10, 1), torch.full((10,), 30.0, dtype=torch.float64))
    assert math.isnan(got.pearson_r.value)
    assert math.isfinite(got.mae.value)


def test_a_reference_that_is_missing_is_refused() -> None:
    reference = torch.tensor([1.0, 2.0, math.nan, 3.0])
    with pytest.raises(ValueError, match="reference holds 1"):
        of(torch.tensor([1.0, 2.0, math.nan, 3.0]), reference)


def test_proportional_bias_is_statsmodels_slope() -> None:
    api = pytest.importorskip("statsmodels.api")
    reference = 30 + 10 * noise(50, 1)
    predicted = 1.1 * reference + 2 * noise(50, 2)
    fit = api.OLS((predicted - reference).numpy(), api.add_constant(((predicted + reference) / 2).numpy())).fit()
    assert of(predicted, reference).proportional_bias.value == pytest.approx(fit.params[1], abs=1e-12)
