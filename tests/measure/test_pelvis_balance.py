"""Pelvic angles and balance: hand-computed figures, exact identities, and the posture that a patient was made with."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spondyl.geometry import View
from spondyl.measure.balance import (
    apical_translation_mm,
    centroid_of_corners,
    centroid_of_spine,
    coronal_balance_mm,
    sagittal_vertical_axis_mm,
    spinopelvic_inclination_deg,
    t1_pelvic_angle_deg,
)
from spondyl.measure.cobb import cobb_from_spine, main_curve
from spondyl.measure.pelvis import (
    SagittalPelvis,
    pelvic_angles,
    pelvis_of_corners,
    pelvis_of_spine,
    sacral_endplate_of_corners,
    sacral_endplate_of_spine,
)
from spondyl.measure.sagittal import sacral_slope_deg
from spondyl.measure.tilt import TiltProfile, tilts_of_corners, tilts_of_spine
from spondyl.sim.patient import Patient, draw
from spondyl.sim.patient.pelvis import pelvis_of
from spondyl.spine import Cobb, Corners


def point(forward: float, up: float) -> torch.Tensor:
    return torch.tensor([forward, up], dtype=torch.float64)


@pytest.fixture(scope="module")
def patients() -> list[Patient]:
    g = torch.Generator().manual_seed(11)
    return [draw(generator=g, cohort=cohort) for cohort in ("screening", "surgical", "adult", "normal")]


def hips_mm(patient: Patient) -> torch.Tensor:
    pelvis = pelvis_of(patient.posture, patient.body)
    return torch.stack([torch.tensor(pelvis.hip(sign), dtype=torch.float64) for sign in (1.0, -1.0)])


def lateral(angle_deg: float = 90.0) -> View:
    return View.around(
        (0.0, -20.0, 200.0),
        angle_deg=angle_deg,
        source_to_detector_mm=2000.0,
        source_to_centre_mm=1000.0,
        pixel_spacing_mm=(0.2, 0.4),
        shape_px=(4000, 2000),
        beam="parallel",
    )


def test_a_pelvis_drawn_on_paper_has_its_angles() -> None:
    # an endplate that drops 1 forward in 1, the hips straight below its middle
    made = pelvic_angles(SagittalPelvis(point(1, -1), point(-1, 1), point(0, -10)))
    assert (made.sacral_slope_deg, made.pelvic_tilt_deg, made.pelvic_incidence_deg) == pytest.approx((45, 0, 45))
    made = pelvic_angles(SagittalPelvis(point(2, 0), point(-2, 0), point(10, -10)))
    assert (made.sacral_slope_deg, made.pelvic_tilt_deg, made.pelvic_incidence_deg) == pytest.approx((0, 45, 45))


@given(*(st.floats(-100, 100) for _ in range(6)))
def test_incidence_is_tilt_plus_slope(a: float, b: float, c: float, d: float, e: float, f: float) -> None:
    pelvis = SagittalPelvis(point(a, b), point(c, d + 200), point(e, f - 300))
    got = pelvic_angles(pelvis)
    off = got.pelvic_incidence_deg - got.pelvic_tilt_deg - got.sacral_slope_deg
    assert abs((off + 180) % 360 - 180) < 1e-6


def test_a_patient_has_the_pelvic_angles_that_he_was_made_with(patients: list[Patient]) -> None:
    for patient in patients:
        got = pelvic_angles(pelvis_of_spine(patient.spine, hips_mm(patient)))
        posture = patient.posture
        assert got.sacral_slope_deg == pytest.approx(posture.sacral_slope_deg, abs=0.01)
        assert got.sacral_slope_deg == pytest.approx(sacral_slope_deg(patient.spine), abs=1e-3)
        assert got.pelvic_tilt_deg == pytest.approx(posture.pelvic_tilt_deg, abs=0.1)
        assert got.pelvic_incidence_deg == pytest.approx(posture.pelvic_incidence_deg, abs=0.1)


@pytest.mark.parametrize("angle", [90.0, 270.0])
def test_a_lateral_picture_gives_the_same_pelvis_whichever_way_the_patient_looks(
    angle: float, patients: list[Patient]
) -> None:
    for patient in patients:
        view = lateral(angle)
        heads = view.project_points(hips_mm(patient).float())
        corners = patient.spine.project(view)
        got = pelvic_angles(pelvis_of_corners(corners, heads))
        true = pelvic_angles(pelvis_of_spine(patient.spine, hips_mm(patient)))
        assert got.sacral_slope_deg == pytest.approx(true.sacral_slope_deg, abs=0.1)
        assert got.pelvic_tilt_deg == pytest.approx(true.pelvic_tilt_deg, abs=0.1)
        unknown = replace(corners, view=None, corners_px=corners.corners_px * torch.tensor([0.2, 0.4]))
        side = "right" if angle == 90.0 else "left"
        again = pelvic_angles(pelvis_of_corners(unknown, heads * torch.tensor([0.2, 0.4]), faces=side))
        assert again.pelvic_incidence_deg == pytest.approx(got.pelvic_incidence_deg, abs=0.01)


def test_one_head_alone_stands_for_both_and_none_is_one_line(patients: list[Patient]) -> None:
    hips = hips_mm(patients[0])
    both = pelvis_of_spine(patients[0].spine, hips)
    gone = hips.clone()
    gone[1] = math.nan
    assert float((pelvis_of_spine(patients[0].spine, gone).hip_axis - both.hip_axis).abs().max()) < 12
    with pytest.raises(ValueError, match=r"^hip_axis was not seen; pelvic angles want"):
        pelvis_of_spine(patients[0].spine, gone[1:])


def test_t1_pelvic_angle_is_pelvic_tilt_plus_t1_inclination(patients: list[Patient]) -> None:
    for patient in patients:
        pelvis = pelvis_of_spine(patient.spine, hips_mm(patient))
        t1 = centroid_of_spine(patient.spine, "T1")
        total = pelvic_angles(pelvis).pelvic_tilt_deg + spinopelvic_inclination_deg(t1, pelvis)
        assert t1_pelvic_angle_deg(t1, pelvis) == pytest.approx(total, abs=1e-9)


def test_t1_in_front_of_the_line_from_hips_to_sacrum_is_positive() -> None:
    pelvis = SagittalPelvis(point(2, 100), point(-2, 100), point(0, 0))
    assert t1_pelvic_angle_deg(point(100, 100), pelvis) == pytest.approx(45)


def test_sva_counts_from_the_back_corner_of_s1_forward() -> None:
    endplate = torch.stack([point(20, -10), point(-15, 12)])
    assert sagittal_vertical_axis_mm(point(30, 400), endplate, mm_per_unit=0.5) == pytest.approx(22.5)


def test_sva_and_coronal_balance_of_a_patient_are_read_alike_in_space_and_in_pictures(patients: list[Patient]) -> None:
    for patient in patients:
        spine, side, back = patient.spine, lateral(), lateral(0.0)
        in_space = sagittal_vertical_axis_mm(
            centroid_of_spine(spine, "C7"), sacral_endplate_of_spine(spine), mm_per_unit=1.0
        )
        film = spine.project(side)
        on_film = sagittal_vertical_axis_mm(
            centroid_of_corners(film, "C7"), sacral_endplate_of_corners(film), mm_per_unit=1.0
        )
        assert on_film == pytest.approx(in_space, abs=0.3)
        assert in_space == pytest.approx(
            float(
                spine.endplates_mm[-1, 0, 0, 1]
                + spine.endplates_mm[-1, 0, 2, 1]
                - spine.endplates_mm[0, :, 0, 1].mean()
            ),
            abs=0.3,
        )
        balance = coronal_balance_mm(tilts_of_spine(spine), mm_per_unit=1.0)
        assert balance == pytest.approx(-float(spine.endplates_mm[0, :, 0, 0].mean()), abs=1e-3)  # S1 is the origin
        assert coronal_balance_mm(tilts_of_corners(spine.project(back)), mm_per_unit=1.0) == pytest.approx(
            balance, abs=0.3
        )


def straight(lefts: dict[str, float]) -> TiltProfile:
    n = len(lefts)
    middles = torch.tensor([[[x, -10.0 * i], [x, -10.0 * i - 5]] for i, x in enumerate(lefts.values())])
    return TiltProfile(tuple(lefts), torch.zeros(n, 2), middles)


def test_apical_translation_uses_the_plumb_line_in_the_chest_and_the_csvl_below() -> None:
    profile = straight({"C7": 4.0, "T8": -30.0, "T9": -32.0, "L2": 18.0, "S1": 1.0})
    thoracic = Cobb(40, "T5", "T12", "T8", "right")
    assert apical_translation_mm(profile, thoracic, mm_per_unit=1.0) == pytest.approx(34.0)
    assert apical_translation_mm(profile, replace(thoracic, apex="T8/T9"), mm_per_unit=2.0) == pytest.approx(70.0)
    assert apical_translation_mm(profile, Cobb(30, "T12", "L4", "L2", "left"), mm_per_unit=1.0) == pytest.approx(-17.0)
    low = straight({"C7": 4.0, "T12": 18.0, "L1": 20.0, "S1": 1.0})
    assert apical_translation_mm(low, Cobb(30, "T10", "L3", "T12/L1", "left"), mm_per_unit=1.0) == pytest.approx(-18.0)
    assert coronal_balance_mm(profile, mm_per_unit=1.0) == pytest.approx(-3.0)


def test_a_curve_convex_to_the_right_has_its_apex_to_the_right(patients: list[Patient]) -> None:
    curve = main_curve(cobb_from_spine(patients[1].spine))
    assert curve is not None
    found = apical_translation_mm(tilts_of_spine(patients[1].spine), curve, mm_per_unit=1.0)
    assert (found > 0) == (curve.side == "right")


def test_what_is_missing_is_one_line() -> None:
    profile = straight({"T1": 0.0, "S1": 0.0})
    with pytest.raises(ValueError, match=r"^C7 is not among the levels seen \(T1 S1\)"):
        coronal_balance_mm(profile, mm_per_unit=1.0)
    assert coronal_balance_mm(profile, mm_per_unit=1.0, top="T1") == 0.0
    with pytest.raises(ValueError, match=r"^S1's endplate was not seen"):
        coronal_balance_mm(straight({"C7": 0.0, "T1": 0.0}), mm_per_unit=1.0)
    with pytest.raises(ValueError, match=r"^mm_per_unit is 0.0; wanted"):
        coronal_balance_mm(profile, mm_per_unit=0.0, top="T1")
    film = Corners(("T1",), torch.full((1, 4, 2), math.nan), torch.ones(1))
    with pytest.raises(ValueError, match=r"^a corner of T1 was not seen"):
        centroid_of_corners(film, "T1", faces="left")
    with pytest.raises(ValueError, match=r"^S1 is not among the corners"):
        sacral_endplate_of_corners(film, faces="left")
