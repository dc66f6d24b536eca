"""Axial rotation is the one that a spine was turned by, whatever its tilt and lean."""

import itertools

import pytest
import torch
from labelled_phantom import bent_spine, rotation, true_spine

from spondyl.measure.cobb import cobb_from_spine, main_curve
from spondyl.measure.rotation import apical_rotation_deg, rotation_deg
from spondyl.spine import SpineCurve


def test_rotation_comes_back_for_every_tilt_and_lean() -> None:
    cases = list(itertools.product((-45, 0, 20), (-40, 0, 30), (-30, -5, 0, 12, 45)))
    for coronal, sagittal, axial in cases:
        axes = torch.tensor(rotation(coronal, sagittal, axial)).T[None]
        one = torch.ones(1, 3).double()
        spine = SpineCurve(("T8",), one, axes, one, torch.zeros(1, 2, 3, 3).double())
        assert float(rotation_deg(spine)[0]) == pytest.approx(axial, abs=1e-6)


def test_a_body_turned_to_the_left_counts_positive() -> None:
    axes = torch.tensor(rotation(0, 0, 20))
    front = -axes[:, 1]
    assert front[0] > 0, "the body's front points to the patient's left"


@pytest.mark.parametrize("side", [1, -1])
def test_a_body_turned_towards_the_convexity_counts_positive_on_both_sides(side: int) -> None:
    spine = true_spine(
        bent_spine(
            {"T1 superior": 0, "T5 superior": 20 * side, "T12 inferior": -20 * side, "L5 inferior": 0},
            axial_deg={"T1": 0, "T5": 0, "T8": -14.0 * side, "T9": -14.0 * side, "T12": 0, "L5": 0},
        )
    )
    curve = main_curve(cobb_from_spine(spine))
    assert curve is not None
    assert (curve.side, curve.apex) == ("right" if side > 0 else "left", "T8/T9")
    assert apical_rotation_deg(spine, curve) == pytest.approx(14.0, abs=1e-4)


def test_an_apex_outside_the_spine_is_refused() -> None:
    spine = true_spine(bent_spine({"T5 superior": 20, "T12 inferior": -20}))
    curve = main_curve(cobb_from_spine(spine))
    assert curve is not None
    with pytest.raises(ValueError, match="not in this spine"):
        apical_rotation_deg(spine.subset(["T1", "T2"]), curve)
