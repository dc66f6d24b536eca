"""The angles of a film are those of its corners; intervals grow with the spread; what is not seen is missing."""

import math
from dataclasses import replace

import pytest
import torch
from film_stand_in import corners, read_of, spine

from spondyl.measure.cobb import cobb_from_corners
from spondyl.measure.interval import Calibration
from spondyl.measure.sagittal import sacral_slope_deg, sagittal_from_corners
from spondyl.pipeline.film_angles import (
    SACRAL_SLOPE,
    coronal_angles,
    facing,
    lenke_words,
    missing_on_lateral,
    sagittal_angles_of,
)
from spondyl.pipeline.film_reader import corners_of, squared
from spondyl.report.film_record import FilmAngle
from spondyl.spine import Corners

NOMINAL = Calibration.nominal()


def coronal(found: Corners, *, low_u: bool = True) -> tuple[FilmAngle, ...]:
    noise = torch.Generator().manual_seed(0)
    return coronal_angles(found, left_is_low_u=low_u, calibration=NOMINAL, generator=noise)


@pytest.mark.parametrize("pixel", [(1.0, 1.0), (0.5, 1.0), (1.0, 0.7)])
def test_the_cobb_angles_of_a_film_are_those_of_its_corners_whatever_the_pixels(pixel: tuple[float, float]) -> None:
    exact = corners(pixel=pixel)
    read = squared(corners_of(read_of(exact)), pixel)
    found = {(a.upper, a.lower, a.side): a.angle_deg for a in coronal(read)}
    truth = {(f"{c.upper} superior", f"{c.lower} inferior", c.side): c.angle_deg for c in cobb_from_corners(exact)}
    assert found.keys() == truth.keys()
    assert len(found) == 3
    for key, angle in truth.items():
        assert found[key] == pytest.approx(angle, abs=1e-3)


def test_pixels_that_are_taken_as_square_and_are_not_change_the_angle() -> None:
    exact = corners(pixel=(1.0, 0.7))
    right, wrong = (coronal(squared(corners_of(read_of(exact)), p))[0].angle_deg for p in ((1.0, 0.7), (1.0, 1.0)))
    assert abs(right - wrong) > 5


def test_the_main_curve_comes_first_and_the_others_from_cranial_to_caudal() -> None:
    found = coronal(corners_of(read_of(corners())))
    assert [a.main for a in found] == [True, False, False]
    assert [a.upper.split()[0] for a in found] == ["T6", "T1", "T12"]
    assert found[0].name == "Cobb, main thoracic"


def test_a_mirrored_display_changes_the_side_alone() -> None:
    one, other = (coronal(corners_of(read_of(corners())), low_u=low) for low in (True, False))
    assert [a.angle_deg for a in one] == [a.angle_deg for a in other]
    assert [a.side for a in one] == ["right", "left", "left"]
    assert [a.side for a in other] == ["left", "right", "right"]


def test_an_interval_holds_the_truth_and_grows_with_the_spread() -> None:
    widths = []
    for spread in (0.2, 0.6):
        main = coronal(corners_of(read_of(corners(), spread_px=spread)))[0]
        assert main.low_deg is not None
        assert main.high_deg is not None
        assert main.low_deg < main.angle_deg < main.high_deg
        widths.append(main.high_deg - main.low_deg)
    assert widths[1] > 2 * widths[0] > 0


def test_reversals_within_the_noise_of_the_reading_are_no_curves() -> None:
    assert len(coronal(corners_of(read_of(corners(), spread_px=0.2)))) == 3
    assert len(coronal(corners_of(read_of(corners(), spread_px=4.0)))) < 3


def test_without_a_spread_there_is_no_interval() -> None:
    main = coronal(replace(corners_of(read_of(corners())), spread_px=None))[0]
    assert main.low_deg is None
    assert main.high_deg is None
    assert main.interval == ""


def test_corners_and_spreads_that_are_not_numbers_leave_finite_angles_or_none() -> None:
    found = corners_of(read_of(corners()))
    assert found.spread_px is not None
    holes, spread = found.corners_px.clone(), found.spread_px.clone()
    holes[6:8] = torch.nan
    spread[2:12] = torch.nan
    for broken in (replace(found, corners_px=holes), replace(found, spread_px=spread)):
        for angle in coronal(broken):
            known = [x for x in (angle.angle_deg, angle.low_deg, angle.high_deg) if x is not None]
            assert all(math.isfinite(x) for x in known)


@pytest.mark.parametrize(("angle_deg", "faces"), [(90.0, "right"), (270.0, "left")])
def test_a_spine_tells_which_way_its_patient_looks_and_its_angles_are_those_of_its_corners(
    angle_deg: float, faces: str
) -> None:
    exact = corners(angle_deg)
    found = corners_of(read_of(exact))
    looks = facing(found)
    assert looks == faces
    assert looks is not None
    angles = {(a.upper, a.lower): a for a in sagittal_angles_of(found, faces=looks, calibration=NOMINAL)}
    for truth in sagittal_from_corners(exact):
        assert abs(angles[truth.upper, truth.lower].angle_deg) == pytest.approx(abs(truth.kyphosis_deg), abs=1e-3)
    by_name = {a.name: a for a in angles.values()}
    # designed in space: the chord of a rotated endplate lies some degrees off, the sign does not
    assert by_name["Kyphosis T4–T12"].angle_deg == pytest.approx(30.0, abs=5)
    assert by_name["Lordosis L1–S1"].angle_deg == pytest.approx(56.0, abs=5)
    assert by_name[SACRAL_SLOPE].angle_deg == pytest.approx(sacral_slope_deg(spine()) or 0, abs=2)
    assert [a.name for a in by_name.values() if a.main] == ["Kyphosis T4–T12", "Lordosis L1–S1"]
    for angle in by_name.values():
        assert angle.low_deg is not None
        assert angle.high_deg is not None
        assert angle.low_deg < angle.angle_deg < angle.high_deg


def test_a_straight_or_short_spine_does_not_tell_which_way_its_patient_looks() -> None:
    assert facing(corners_of(read_of(corners(90.0, levels=("T10", "T11", "T12", "L1"))))) is None


def test_levels_that_were_not_found_have_no_angle_and_a_sentence() -> None:
    thoracic = tuple(level for level in spine().levels if level[0] == "T")
    found = corners_of(read_of(corners(90.0, levels=thoracic)))
    names = [a.name for a in sagittal_angles_of(found, faces="right", calibration=NOMINAL)]
    assert "Kyphosis T4–T12" in names
    assert not [name for name in names if "Lordosis" in name or name == SACRAL_SLOPE]
    said = " ".join(missing_on_lateral(found, "right"))
    assert "lordosis L1-S1 is not measured" in said
    assert "Sacral slope is not measured" in said


def test_a_lenke_type_is_stated_as_far_as_one_film_allows() -> None:
    assert "1" in lenke_words(coronal(corners_of(read_of(corners()))))
    assert lenke_words(()) == ""
