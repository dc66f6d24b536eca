"""Errors of Cobb angles: AASCE's SMAPE by hand and beside the usual one, CMAE, severity on its bounds."""

import math

import pytest
import torch

from spondyl.metrics.angles import cmae_deg, severity_class, smape_percent


def test_smape_is_the_ratio_of_sums_without_a_factor_two() -> None:
    predicted, reference = torch.tensor([[10.0, 30, 20], [5, 50, 0]]), torch.tensor([[12.0, 25, 20], [0, 45, 10]])
    got = smape_percent(predicted, reference)
    assert got.tolist() == pytest.approx([100 * 7 / 117, 100 * 20 / 110])
    usual = 100 * (2 * (predicted - reference).abs() / (predicted + reference)).mean(dim=1)
    assert (usual - got).abs().min() > 1, "the usual SMAPE must differ, or this test could not fail"


def test_smape_is_0_for_equal_angles_and_100_where_one_side_is_flat() -> None:
    angles = torch.tensor([[10.0, 30, 20]])
    assert smape_percent(angles, angles).item() == 0
    assert smape_percent(torch.zeros(1, 3), angles).item() == 100


def test_smape_is_not_defined_for_a_straight_spine_read_as_straight() -> None:
    with pytest.raises(ValueError, match="image 1 has only angles of 0"):
        smape_percent(torch.tensor([[1.0, 2, 3], [0, 0, 0]]), torch.tensor([[1.0, 2, 3], [0, 0, 0]]))


def test_smape_refuses_signed_angles() -> None:
    with pytest.raises(ValueError, match="negative"):
        smape_percent(torch.tensor([[-10.0, 30, 20]]), torch.tensor([[10.0, 30, 20]]))


def test_cmae_of_equal_errors_is_that_error_and_of_small_ones_the_mean() -> None:
    reference = torch.tensor([[40.0, 30, 20]]).double()
    assert cmae_deg(reference + torch.tensor([7.0, -7, 7]), reference).item() == pytest.approx(7)
    assert cmae_deg(reference + torch.tensor([1.0, -5, 9]), reference).item() == pytest.approx(5, abs=0.02)
    s = math.sin(math.radians(60)) / 2
    c = (1 + math.cos(math.radians(60))) / 2
    got = cmae_deg(torch.tensor([[60.0, 0]]), torch.zeros(1, 2)).item()
    assert got == pytest.approx(math.degrees(math.atan2(s, c)), abs=1e-5)


def test_a_failed_image_is_refused_not_averaged() -> None:
    with pytest.raises(ValueError, match="NaN"):
        cmae_deg(torch.tensor([[math.nan, 1, 2]]), torch.ones(1, 3))


def test_severity_bounds_belong_to_the_class_above() -> None:
    assert severity_class(torch.tensor([0.0, 9.99, 10, 24.9, 25, 39.9, 40, 95])).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_severity_refuses_what_is_no_magnitude() -> None:
    with pytest.raises(ValueError, match="negative"):
        severity_class(torch.tensor([-12.0]))
    with pytest.raises(ValueError, match="ascending"):
        severity_class(torch.tensor([12.0]), (25.0, 10.0))
