"""What is read of corners: fixed ends, sides, levels, places, and the sagittal angles."""

from dataclasses import replace

import pytest
import torch
from drawn_spines import LEVELS, ROWS, VIEW, spine, tilts

from spondyl.evaluate import SpineTruth
from spondyl.evaluate.corners import aasce_scores, level_name, level_number, read_corners
from spondyl.evaluate.quantities import QUANTITIES, Reading
from spondyl.geometry import View
from spondyl.measure.aasce import AasceAngles
from spondyl.spine import Corners

TRUTH = SpineTruth(spine(tilts(40.0)), "coronal", ROWS, mm_per_px=(0.5, 0.25))


def read(answer: Corners | None, truth: SpineTruth = TRUTH) -> dict[str, Reading]:
    return {f"{r.quantity} {r.item}".strip(): r for r in read_corners(answer, truth, truth)}


def test_the_main_angle_of_the_truth_is_the_drawn_one() -> None:
    got = read(TRUTH.corners)
    assert got["main_cobb"].truth == pytest.approx(40, abs=1e-4)
    assert got["curve_cobb T5-T12"].value == pytest.approx(40, abs=1e-4)
    assert all(r.quantity in QUANTITIES for r in got.values())


def test_a_curve_that_bends_the_other_way_is_read_as_negative() -> None:
    assert read(spine(tilts(-40.0)))["curve_cobb T5-T12"].value == pytest.approx(-40, abs=1e-4)
    assert read(spine(tilts(-40.0)))["main_cobb"].value == pytest.approx(40, abs=1e-4)


def test_ends_one_level_lower_are_one_level_off() -> None:
    got = read(spine(tilts(40.0, first=5, last=12)))
    assert got["upper_end"].error == 1
    assert got["lower_end"].error == 1


def test_t12_and_l1_are_one_level_apart_and_t13_lies_between() -> None:
    assert level_number("L1") - level_number("T12") == 1
    assert level_number("S1") - level_number("L5") == 1
    assert level_number("T12") < level_number("T13") < level_number("L1")
    assert level_number("L5") < level_number("L6") < level_number("S1")
    assert [level_name(level_number(level)) for level in LEVELS] == list(LEVELS)


def test_a_vertebra_is_found_by_place_and_named_by_level() -> None:
    whole = TRUTH.corners
    shifted = Corners(("C7", *LEVELS[:-1]), whole.corners_px, whole.confidence, VIEW)
    got = read(shifted)
    assert (got["found"].value, got["named"].value) == (100, 0)
    assert got["corner_share"].value == 0
    half = Corners(LEVELS[:8], whole.corners_px[:8], whole.confidence[:8], VIEW)
    assert read(half)["found"].value == pytest.approx(100 * 8 / 17)


def test_corner_errors_are_in_mm_at_the_spine_and_in_shares_of_the_width() -> None:
    moved = replace(TRUTH.corners, corners_px=TRUTH.corners.corners_px + torch.tensor([0.0, 4.0]))
    got = read(moved)
    assert got["corner_mm"].value == pytest.approx(1.0, abs=1e-5)
    assert got["corner_share"].value == pytest.approx(10.0, abs=1e-4)


def test_one_vertebra_is_a_failure_of_everything_but_the_count() -> None:
    one = Corners(("T5",), TRUTH.corners.corners_px[4:5], torch.ones(1), VIEW)
    for answer in (None, one):
        got = read(answer)
        assert {name for name, r in got.items() if r.value is not None} == {"found"}
        assert got.keys() == read(TRUTH.corners).keys()


def test_a_straight_spine_that_was_read_has_the_angle_zero() -> None:
    assert read(spine([0.0] * 17))["main_cobb"].value == 0


def test_a_lateral_film_gives_kyphosis_lordosis_and_sacral_slope() -> None:
    view = View.around((0.0, 0.0, 0.0), angle_deg=90.0, shape_px=(ROWS, 200), beam="parallel")
    lean = [30.0 - 5 * i for i in range(17)]  # T4 15, T12 -25, L1 -30; the patient looks right in this view
    drawn = spine([-x for x in lean])
    s1 = spine([-35.0] * 17).corners_px[-1:] + torch.tensor([25.0, 0.0])
    s1[:, 2:] = torch.nan
    levels = (*LEVELS, "S1")
    corners = Corners(levels, torch.cat([drawn.corners_px, s1]), torch.ones(18), view)
    truth = SpineTruth(corners, "sagittal", ROWS, mm_per_px=(1.0, 1.0))
    got = read(corners, truth)
    assert got["kyphosis"].truth == pytest.approx(40, abs=1e-3)
    assert got["lordosis"].truth == pytest.approx(65, abs=1e-3)
    assert got["sacral_slope"].truth == pytest.approx(35, abs=1e-3)
    assert all(got[name].error == 0 for name in ("kyphosis", "lordosis", "sacral_slope"))
    without = Corners(LEVELS, drawn.corners_px, torch.ones(17), view)
    assert read(without, truth)["lordosis"].value is None


def test_the_challenge_scores_are_those_of_its_three_angles() -> None:
    truth = replace(TRUTH, aasce=AasceAngles(40.0, 20.0, 20.0))
    got = read(spine(tilts(44.0)), truth)
    assert got["aasce_main"].value == pytest.approx(44, abs=1e-4)
    wrong = sum(abs(got[f"aasce_{n}"].error or 0) for n in ("main", "upper", "lower"))
    total = sum(got[f"aasce_{n}"].value or 0 for n in ("main", "upper", "lower")) + 80
    assert got["smape"].value == pytest.approx(100 * wrong / total, abs=1e-6)
    assert [
        r.value for r in aasce_scores([Reading(f"aasce_{n}", "", 1.0, None) for n in ("main", "upper", "lower")])
    ] == [None, None]


def test_a_slot_film_is_measured_with_the_magnification_of_its_own_case() -> None:
    slot = View.around((0.0, 0.0, 0.0), shape_px=(ROWS, 200), beam="slot")
    wide = TRUTH.corners.corners_px * torch.tensor([1.0, 1.4])
    seen = SpineTruth(Corners(LEVELS, wide, torch.ones(17), slot), "coronal", ROWS, u_magnification=1.4)
    got = {r.quantity: r for r in read_corners(seen.corners, seen, TRUTH)}
    assert got["main_cobb"].value == pytest.approx(40, abs=1e-3)
    assert got["main_cobb"].error == pytest.approx(0, abs=1e-3)
