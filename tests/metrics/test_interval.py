"""Interval, Estimate and the checks of paired readings: what they hold, what they refuse."""

import math

import pytest
import torch

from spondyl.metrics.interval import Interval, clusters, interval_from, paired


def test_an_interval_knows_its_width_and_what_lies_in_it() -> None:
    interval = Interval(-1.0, 3.0)
    assert interval.width == 4.0
    assert 3.0 in interval
    assert 3.1 not in interval


@pytest.mark.parametrize(("low", "high", "confidence"), [(2, 1, 0.95), (math.nan, 1, 0.95), (0, 1, 1.0), (0, 1, 95)])
def test_an_interval_refuses_nonsense(low: float, high: float, confidence: float) -> None:
    with pytest.raises(ValueError, match="wanted"):
        Interval(low, high, confidence)


def test_a_nan_end_is_open() -> None:
    assert interval_from(math.nan, 2.0, 0.9) == Interval(-math.inf, 2.0, 0.9)


def test_patients_are_numbered_whatever_their_ids() -> None:
    assert clusters(torch.tensor([70, -3, 70, 900]), 4).tolist() == [1, 0, 1, 2]


def test_patients_that_do_not_match_their_readings_are_refused() -> None:
    with pytest.raises(ValueError, match="3 patient ids for 4 readings"):
        clusters(torch.arange(3), 4)
    with pytest.raises(ValueError, match="1 patients; wanted at least 2"):
        clusters(torch.zeros(4, dtype=torch.long), 4)


def test_readings_that_are_missing_are_not_dropped_in_silence() -> None:
    with pytest.raises(ValueError, match="predicted holds 1 readings"):
        paired(torch.tensor([1.0, math.nan, 2.0]), torch.ones(3))
    with pytest.raises(ValueError, match="reference holds 1 readings"):
        paired(torch.ones(3), torch.tensor([1.0, math.inf, 2.0]))
    with pytest.raises(ValueError, match="2 pairs"):
        paired(torch.ones(2), torch.ones(2))
