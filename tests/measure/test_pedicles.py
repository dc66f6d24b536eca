"""Pedicles: the formula inverts the turn that made them; grades by thirds; a real vertebra's tilt and lean play no part."""

import math

import pytest
import torch
from labelled_phantom import rotation

from spondyl.geometry import View
from spondyl.measure.pedicles import PEDICLE_RATIO, PediclePlaces, nash_moe_grade, pedicle_places, stokes_rotation_deg
from spondyl.measure.rotation import rotation_deg
from spondyl.sim.patient import draw
from spondyl.sim.patient.patient import posed_vertebrae
from spondyl.sim.patient.vertebra import Vertebra
from spondyl.spine import Corners, SpineCurve


def places(rows: list[tuple[float, float]], level: str = "T8") -> PediclePlaces:
    levels = (level,) if len(rows) == 1 else tuple(f"T{i}" for i in range(1, len(rows) + 1))
    return PediclePlaces(levels, torch.tensor(rows))


def film(angle_deg: float = 0.0) -> View:
    return View.around(
        (0.0, 0.0, 0.0),
        angle_deg=angle_deg,
        source_to_detector_mm=2000.0,
        source_to_centre_mm=1000.0,
        pixel_spacing_mm=(0.1, 0.2),
        shape_px=(1500, 900),
        beam="parallel",
    )


@pytest.mark.parametrize("azimuth", [0.0, 180.0])
@pytest.mark.parametrize("coronal", [0.0, 35.0, -20.0])
def test_a_turn_comes_back_from_its_picture_whatever_the_tilt_and_lean(coronal: float, azimuth: float) -> None:
    width, depth = 22.0, 17.0
    for lean in (-25.0, 0.0, 30.0):
        for axial in (-40.0, -7.0, 0.0, 25.0):
            r = torch.tensor(rotation(coronal, lean, axial)).float()
            # a square body, so that its corners' middle line is its left axis in the picture
            straight = torch.tensor(rotation(coronal, 0, 0)).float()
            body = torch.tensor([[16.0, 0, 10], [-16, 0, 10], [16, 0, -10], [-16, 0, -10]]) @ straight.T
            pedicles = torch.tensor([[width / 2, depth, 4.0], [-width / 2, depth, 4.0]]) @ r.T
            view = film(azimuth)
            corners = view.project_points(body)
            corners = corners if azimuth == 0.0 else corners[[1, 0, 3, 2]]
            seen = Corners(("T8",), corners[None], torch.ones(1), view)
            got = stokes_rotation_deg(
                pedicle_places(seen, view.project_points(pedicles)[None]),
                half_width_over_depth=torch.tensor([width / 2 / depth]),
            )
            assert float(got[0]) == pytest.approx(axial, abs=0.01)


def test_turning_the_body_to_the_left_moves_both_pedicles_to_the_right() -> None:
    assert float(stokes_rotation_deg(places([(0.5, -0.9)]))[0]) > 0


def test_stokes_formula_by_hand() -> None:
    # a = 0.9, b = 0.5: tan = r * 0.4 / 1.4
    wanted = math.degrees(math.atan(PEDICLE_RATIO["T8"] * 0.4 / 1.4))
    assert float(stokes_rotation_deg(places([(0.5, -0.9)]))[0]) == pytest.approx(wanted, abs=1e-4)


def test_a_pedicle_that_is_not_seen_has_no_angle_but_the_convex_one_has_a_grade() -> None:
    hidden = places([(math.nan, -0.2)])
    assert math.isnan(float(stokes_rotation_deg(hidden)[0]))
    assert nash_moe_grade(hidden, "right") == (3,)
    assert nash_moe_grade(hidden, "left") == (None,)


@pytest.mark.parametrize(
    ("convex", "concave", "grade"),
    [(0.8, 0.8, 0), (0.7, 0.95, 1), (0.95, 0.7, 0), (0.5, 1.0, 2), (0.2, 1.0, 3), (-0.1, 1.0, 4), (-0.6, 1.0, 4)],
)
def test_grades_go_by_the_third_that_holds_the_convex_pedicle(convex: float, concave: float, grade: int) -> None:
    assert nash_moe_grade(places([(convex, -concave)]), "left") == (grade,)
    assert nash_moe_grade(places([(concave, -convex)]), "right") == (grade,)


def test_one_side_a_level_and_wrong_numbers_are_one_line() -> None:
    assert nash_moe_grade(places([(0.5, -1.0), (1.0, -0.5)]), ["left", "right"]) == (2, 2)
    with pytest.raises(ValueError, match=r"^got 1 sides for 2 levels"):
        nash_moe_grade(places([(0.5, -1.0), (1.0, -0.5)]), ["left"])
    with pytest.raises(ValueError, match=r"^pedicles_px has shape \(2, 2, 2\); wanted \(1, 2, 2\)$"):
        pedicle_places(Corners(("T8",), torch.zeros(1, 4, 2), torch.ones(1)), torch.zeros(2, 2, 2))


def pedicle(v: Vertebra, sign: float) -> list[float]:
    """The middle of a pedicle, a fifth of the canal's depth behind the body."""
    s = v.size
    return [float(x) for x in v.point(sign * (s.scw + s.pw) / 2, v.half_depth + 0.2 * s.scd, s.height * 0.2)]


def test_of_virtual_patients_rotation_is_read_within_the_published_error() -> None:
    """Stokes 1986: SD 3.6 degrees on a phantom. Here exact pedicle axes in the canal's front, symmetric, parallel beam."""
    g = torch.Generator().manual_seed(3)
    view = View.around((0.0, -20.0, 200.0), pixel_spacing_mm=(0.2, 0.2), shape_px=(4000, 2500), beam="parallel")
    errors = []
    for _ in range(8):
        patient = draw(generator=g, cohort="surgical")
        vertebrae = posed_vertebrae(patient)
        levels = [v.size.level for v in vertebrae if v.size.level != "C7"]
        spine: SpineCurve = patient.spine.subset(levels)
        pairs = [[pedicle(v, s) for s in (1.0, -1.0)] for v in vertebrae if v.size.level in levels]
        middles = torch.tensor(pairs)
        seen = pedicle_places(spine.project(view), view.project_points(middles.flatten(0, 1)).unflatten(0, (-1, 2)))
        errors.append(stokes_rotation_deg(seen) - rotation_deg(spine))
    error = torch.cat(errors)  # of 40 patients: mean -0.2, SD 0.6, largest 6.1
    assert abs(float(error.mean())) < 1.0
    assert float(error.std()) < 3.6
