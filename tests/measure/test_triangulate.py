"""Two views give the spine back: exact without noise in every beam, unbiased with it, nothing invented."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from spondyl.geometry import Beam, View
from spondyl.measure.cobb import cobb_between, cobb_from_corners, cobb_from_spine, main_curve
from spondyl.measure.rotation import rotation_deg
from spondyl.measure.silhouette import rays_through, silhouette_px
from spondyl.measure.tilt import tilts_of_spine
from spondyl.measure.triangulate import triangulate
from spondyl.sim.patient import draw
from spondyl.spine import Corners, SpineCurve

BEAMS: tuple[Beam, ...] = ("cone", "slot", "parallel")
DISTANCES_MM = {"cone": (1800.0, 1500.0), "slot": (1300.0, 987.0), "parallel": (2000.0, 1000.0)}


def view(angle_deg: float, beam: Beam, tilt_deg: float = 0.0) -> View:
    detector, centre = DISTANCES_MM[beam]
    return View.around(
        (0.0, -20.0, 200.0),
        angle_deg=angle_deg,
        tilt_deg=tilt_deg,
        source_to_detector_mm=detector,
        source_to_centre_mm=centre,
        pixel_spacing_mm=(0.5, 0.5),
        shape_px=(1400, 800),
        beam=beam,
    )


@pytest.fixture(scope="module")
def spines() -> list[SpineCurve]:
    g = torch.Generator().manual_seed(4)
    return [draw(generator=g, cohort=cohort).spine for cohort in ("screening", "surgical", "adult")]


def turned(spine: SpineCurve) -> dict[str, float]:
    return dict(zip(spine.levels, rotation_deg(spine).tolist(), strict=True))


def centre_errors_mm(found: SpineCurve, truth: SpineCurve) -> torch.Tensor:
    error = (found.endplates_mm[:, :, 0] - truth.endplates_mm[:, :, 0]).norm(dim=-1)
    return error[torch.isfinite(error)]


@pytest.mark.parametrize("beam", BEAMS)
def test_the_closed_silhouette_is_that_of_the_projected_rim(beam: Beam, spines: list[SpineCurve]) -> None:
    for angle, tilt in ((0, 0), (37, 0), (90, 12), (200, -8)):
        v = view(angle, beam, tilt)
        found = silhouette_px(spines[1].endplates_mm[:-1].double().reshape(-1, 3, 3), v)
        wanted = spines[1].project(v).corners_px[:-1].reshape(-1, 2, 2).double()
        assert float((found - wanted).abs().max()) < 2e-3


@pytest.mark.parametrize("beam", BEAMS)
def test_a_ray_through_a_pixel_is_the_views_own_ray(beam: Beam) -> None:
    v = replace(view(30, beam, 10), shape_px=(5, 4)).to(dtype=torch.float64)
    starts, vectors = v.rays()
    rows = torch.tensor([[0.0, 0.0], [4.0, 3.0], [2.0, 1.0]]).double()
    start, direction = rays_through(v, rows)
    for k, (i, j) in enumerate(rows.long().tolist()):
        assert torch.allclose(start[k], starts[i, j], atol=1e-9)
        assert torch.allclose(direction[k], torch.nn.functional.normalize(vectors[i, j], dim=0), atol=1e-9)


@pytest.mark.parametrize(("beam", "second"), [("cone", 90.0), ("slot", 90.0), ("parallel", 270.0), ("cone", 45.0)])
def test_two_views_and_the_rotations_give_back_every_endplate(
    beam: Beam, second: float, spines: list[SpineCurve]
) -> None:
    for truth in spines:
        made = triangulate(truth.project(view(0, beam)), truth.project(view(second, beam)), rotation_deg=turned(truth))
        assert made.spine.levels == truth.levels
        assert made.notes == ()
        assert float(made.residual_px.max()) < 0.01
        assert float(centre_errors_mm(made.spine, truth).max()) < 0.005
        error = (made.spine.endplates_mm - truth.endplates_mm)[:-1].abs()
        assert float(error.max()) < 0.02
        found, wanted = main_curve(cobb_from_spine(made.spine)), main_curve(cobb_from_spine(truth))
        assert found is not None
        assert wanted is not None
        assert found.angle_deg == pytest.approx(wanted.angle_deg, abs=0.01)


@pytest.mark.parametrize("beam", BEAMS)
def test_pa_and_lateral_alone_give_centres_within_02_mm_and_the_chord_cobb_within_02_degrees(
    beam: Beam, spines: list[SpineCurve]
) -> None:
    pa = view(0, beam)
    for truth in spines:
        made = triangulate(truth.project(pa), truth.project(view(90, beam)))
        assert float(centre_errors_mm(made.spine, truth).max()) < 0.2
        again, before = (cobb_from_corners(s.project(pa), u_magnification=1.3) for s in (made.spine, truth))
        assert len(again) == len(before) > 0
        for a, b in zip(again, before, strict=True):
            assert (a.upper, a.lower) == (b.upper, b.lower)
            assert a.angle_deg == pytest.approx(b.angle_deg, abs=0.2)


def test_corner_noise_of_one_pixel_leaves_centres_and_angles_unbiased(spines: list[SpineCurve]) -> None:
    """Detector pixels of 0.5 mm, 0.42 mm at the patient, all corners independent; fixed end vertebrae."""
    truth, g = spines[1], torch.Generator().manual_seed(5)
    first, second = truth.project(view(0, "cone")), truth.project(view(90, "cone"))
    curve = main_curve(cobb_from_spine(truth))
    assert curve is not None
    shifts, angles = [], []
    for _ in range(25):
        shaken = [
            replace(c, corners_px=c.corners_px + torch.randn(c.corners_px.shape, generator=g)) for c in (first, second)
        ]
        made = triangulate(*shaken, rotation_deg=turned(truth)).spine
        shifts.append((made.endplates_mm - truth.endplates_mm)[:-1, :, 0])
        angles.append(cobb_between(tilts_of_spine(made), curve.upper, curve.lower).angle_deg - curve.angle_deg)
    shift, angle = torch.stack(shifts), torch.tensor(angles)
    assert float(shift.mean((0, 1, 2)).abs().max()) < 0.06  # standard error 0.01 mm
    assert 0.15 < float(shift.std()) < 0.45
    assert abs(float(angle.mean())) < 3 * float(angle.std()) / math.sqrt(len(angle))
    assert float(angle.std()) < 2.5


def test_views_five_degrees_apart_are_refused_in_one_line(spines: list[SpineCurve]) -> None:
    for second in (5.0, 175.0):
        with pytest.raises(ValueError, match=r"^the views are 5 degrees apart; wanted at least 30 \(PA and lateral\)$"):
            triangulate(spines[0].project(view(0, "cone")), spines[0].project(view(second, "cone")))


def test_a_level_of_one_view_is_named_and_not_invented(spines: list[SpineCurve]) -> None:
    truth = spines[0]
    first, second = truth.project(view(0, "cone")), truth.project(view(90, "cone"))
    few = [level for level in truth.levels if level not in ("T2", "T3")]
    second = truth.subset(few).project(view(90, "cone"))
    gone = first.corners_px.clone()
    gone[first.levels.index("T6"), 3] = math.nan
    made = triangulate(replace(first, corners_px=gone), second)
    assert made.spine.levels == tuple(level for level in few if level != "T6")
    assert made.notes == (
        "T2 is seen in the first view only and left out.",
        "T3 is seen in the first view only and left out.",
        "T6 is left out: its inferior endplate is not seen in the first view.",
    )


def test_levels_named_one_off_in_one_view_show_as_a_large_residual(spines: list[SpineCurve]) -> None:
    truth = spines[0]
    first, second = truth.project(view(0, "cone")), truth.project(view(90, "cone"))
    rows = list(itertools.chain(range(1, len(truth.levels) - 1)))
    off = Corners(truth.levels[: len(rows)], second.corners_px[rows], second.confidence[rows], second.view)
    made = triangulate(first, off)
    assert float(made.residual_px.min()) > 5


def test_corners_that_cannot_be_triangulated_are_one_line(spines: list[SpineCurve]) -> None:
    first = spines[0].project(view(0, "cone"))
    with pytest.raises(ValueError, match=r"^corners without a view cannot"):
        triangulate(first, replace(first, view=None))
    with pytest.raises(ValueError, match=r"^the two pictures share no endplate"):
        triangulate(
            spines[0].subset(["T1"]).project(view(0, "cone")), spines[0].subset(["T2"]).project(view(90, "cone"))
        )
