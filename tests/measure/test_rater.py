"""The virtual rater: exact without errors, as unsteady as published with them, repeatable by its generators."""

import math
from dataclasses import replace

import pytest
import torch
from labelled_phantom import bent_spine, true_spine

from spondyl.geometry import View
from spondyl.measure.cobb import cobb_from_corners, main_curve
from spondyl.measure.rater import Habit, Rater, chosen_ends, corner_share, read_cobb, set_off, shaken
from spondyl.measure.tilt import tilts_of_corners
from spondyl.spine import Cobb, Corners

STEADY = Rater(hand=0.0, hand_habit=0.0, eye_deg=0.0, eye_habit_deg=0.0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def film() -> Corners:
    view = View.around(
        (0.0, 0.0, 200.0),
        angle_deg=0.0,
        source_to_detector_mm=2000.0,
        source_to_centre_mm=1000.0,
        pixel_spacing_mm=(0.2, 0.4),
        shape_px=(4000, 2000),
        beam="parallel",
    )
    knots = {"T1 superior": 4.0, "T5 superior": 21.0, "T12 inferior": -21.0, "L5 inferior": 0.0}
    return true_spine(bent_spine(knots)).project(view)


@pytest.fixture(scope="module")
def curve(film: Corners) -> Cobb:
    found = main_curve(cobb_from_corners(film))
    assert found is not None
    return found


def differences(film: Corners, curve: Cobb, rater: Rater, *, free: bool, raters: int = 600) -> tuple[float, float]:
    """95 % limits between two readings of one rater, and between two raters."""
    g = seeded(3)
    rows = []
    for _ in range(raters):
        habit = Habit.drawn(rater, len(film.levels), generator=g)
        rows.append([read_cobb(film, curve, rater, habit, generator=g, free=free).angle_deg for _ in range(2)])
    a = torch.tensor(rows, dtype=torch.float64)
    within = 1.96 * float((a[:, 0] - a[:, 1]).square().mean().sqrt())
    between = 1.96 * float((a[0::2, 0] - a[1::2, 0]).square().mean().sqrt())
    return within, between


def test_a_rater_without_errors_reads_the_exact_angle(film: Corners, curve: Cobb) -> None:
    habit = Habit.drawn(STEADY, len(film.levels), generator=seeded())
    for free in (False, True):
        read = read_cobb(film, curve, STEADY, habit, generator=seeded(1), free=free)
        assert read.angle_deg == pytest.approx(curve.angle_deg, abs=1e-4)
        assert (read.upper, read.lower) == (curve.upper, curve.lower)


def test_with_fixed_ends_two_readings_differ_by_the_published_limits(film: Corners, curve: Cobb) -> None:
    within, between = differences(film, curve, Rater(), free=False)
    assert within == pytest.approx(3.8, rel=0.08)
    assert between == pytest.approx(6.3, rel=0.12)


def test_a_free_choice_of_ends_makes_readings_differ_more(film: Corners, curve: Cobb) -> None:
    fixed, free = (differences(film, curve, Rater(), free=f, raters=400) for f in (False, True))
    assert free[0] > fixed[0]
    assert free[1] > fixed[1]


def test_the_eye_alone_makes_readings_differ_and_its_habit_is_one_raters_own(film: Corners, curve: Cobb) -> None:
    restless = differences(film, curve, replace(STEADY, eye_deg=3.0), free=True, raters=40)
    stubborn = differences(film, curve, replace(STEADY, eye_habit_deg=3.0), free=True, raters=40)
    assert restless[0] > 0.3
    assert stubborn[0] == 0.0
    assert stubborn[1] > 0.3
    assert differences(film, curve, replace(STEADY, eye_deg=3.0), free=False, raters=10) == (0.0, 0.0)


def test_the_closed_form_is_the_spread_of_a_line_between_shaken_corners(film: Corners) -> None:
    share = corner_share(3.8)
    g = seeded(7)
    tilts = torch.stack([tilts_of_corners(shaken(film, share, generator=g)).tilts_deg for _ in range(400)])
    wanted = math.degrees(math.sqrt(2) * share)
    seen = torch.isfinite(tilts[0])
    assert float(tilts.std(0)[seen].mean()) == pytest.approx(wanted, rel=0.03)
    assert wanted == pytest.approx(3.8 / 1.96 / 2, rel=1e-3)  # two lines a reading, two readings a difference


def test_corners_are_set_off_along_the_normal_by_shares_of_the_chord() -> None:
    corners = Corners(("T5",), torch.tensor([[[10.0, 0.0], [10.0, 30.0], [30.0, 0.0], [34.0, 30.0]]]), torch.ones(1))
    moved = set_off(corners, torch.tensor([[[0.1, 0.0], [0.0, 0.1]]])).corners_px[0]
    assert moved[0].tolist() == pytest.approx([7.0, 0.0])  # 3 px towards the head
    assert moved[1].tolist() == pytest.approx([10.0, 30.0])
    assert moved[3].tolist() == pytest.approx([31.0, 30.4])


def test_a_corner_nobody_sees_stays_unseen(film: Corners) -> None:
    corners = film.corners_px.clone()
    corners[2, 1] = math.nan
    moved = shaken(replace(film, corners_px=corners), 0.01, generator=seeded()).corners_px
    assert torch.equal(torch.isnan(moved[2]), torch.tensor([[True] * 2, [True] * 2, [False] * 2, [False] * 2]))


def test_the_most_tilted_endplates_around_the_curve_are_chosen(film: Corners, curve: Cobb) -> None:
    profile = tilts_of_corners(film)
    tilts = profile.tilts_deg.clone()
    row = profile.levels.index(curve.upper) - 1
    tilts[row, 0] += 30.0 if curve.side == "right" else -30.0
    assert chosen_ends(replace(profile, tilts_deg=tilts), curve) == (profile.levels[row], curve.lower)


def test_the_same_generators_give_the_same_reading(film: Corners, curve: Cobb) -> None:
    habit = Habit.drawn(Rater(), len(film.levels), generator=seeded(1))
    a, b, c = (read_cobb(film, curve, Rater(), habit, generator=seeded(s)) for s in (5, 5, 6))
    assert a == b != c


def test_numbers_without_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="hand is nan"):
        Rater(hand=math.nan)
    with pytest.raises(ValueError, match="limit_deg is -1"):
        corner_share(-1.0)
