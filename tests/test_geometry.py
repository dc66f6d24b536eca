"""A ray and a projected point are each other's inverse; the named views face where they say."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spondyl.geometry import BEAMS, View, inverse_rigid, rigid, stack_views, view_angle_deg

SETTINGS = st.fixed_dictionaries(
    {
        "angle_deg": st.floats(-400, 400),
        "tilt_deg": st.floats(-80, 80),
        "source_to_detector_mm": st.floats(300, 3000),
        "pixel_spacing_mm": st.tuples(st.floats(0.1, 3), st.floats(0.1, 3)),
        "shape_px": st.tuples(st.integers(1, 12), st.integers(1, 12)),
        "beam": st.sampled_from(BEAMS),
    }
)
CENTRE = st.tuples(*[st.floats(-500, 500)] * 3)


def any_view(settings: dict[str, Any], centre: tuple[float, float, float], share: float) -> View:
    to_centre = settings["source_to_detector_mm"] * share
    return View.around(centre, source_to_centre_mm=to_centre, **settings).to(dtype=torch.float64)


@settings(max_examples=150, deadline=None)
@given(SETTINGS, CENTRE, st.floats(0.3, 0.95), st.floats(0.05, 1.5))
def test_a_point_anywhere_on_a_pixels_ray_projects_onto_that_pixel(
    choice: dict[str, Any], centre: tuple[float, float, float], share: float, t: float
) -> None:
    view = any_view(choice, centre, share)
    start, vector = view.rays()
    points = (start + t * vector).reshape(-1, 3)
    h, w = view.shape_px
    v, u = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    expected = torch.stack([v, u], -1).reshape(-1, 2).double()
    torch.testing.assert_close(view.project_points(points), expected, atol=2e-3, rtol=0)


@settings(max_examples=50, deadline=None)
@given(SETTINGS, CENTRE)
def test_a_ray_ends_on_the_detector_at_its_pixel(choice: dict[str, Any], centre: tuple[float, float, float]) -> None:
    view = any_view(choice, centre, 0.8)
    start, vector = view.rays()
    x, y = view.pixels()
    local = torch.stack([x, y, torch.zeros_like(x)], -1).double()
    m = view.world_from_detector
    torch.testing.assert_close(start + vector, local @ m[:3, :3].T + m[:3, 3], atol=1e-3, rtol=0)


def test_a_pa_view_is_seen_from_behind_and_stands_upright() -> None:
    view = View.around((0, 0, 0), angle_deg=0)
    middle, left, head = view.project_points(torch.tensor([[0.0, 0, 0], [50, 0, 0], [0, 0, 50]]))
    assert left[1] < middle[1], "patient left must lie at low columns, as seen from behind"
    assert head[0] < middle[0], "cranial must lie at low rows"


def test_a_left_lateral_faces_right_and_a_right_lateral_faces_left() -> None:
    points = torch.tensor([[0.0, 0, 0], [0, -50, 0]])
    for name, sign in (("left_lateral", 1), ("right_lateral", -1)):
        centre, front = View.around((0, 0, 0), angle_deg=view_angle_deg(name)).project_points(points)
        assert sign * (front[1] - centre[1]) > 0


def test_a_slot_never_magnifies_the_height_and_a_cone_does() -> None:
    top, bottom = torch.tensor([[0.0, 30, 100], [0, 30, -100]])
    for beam, expected in (("slot", 200.0), ("parallel", 200.0), ("cone", 200 * 1800 / 1470)):
        view = View.around((0, 0, 0), beam=beam, pixel_spacing_mm=(1.0, 1.0))
        p = view.project_points(torch.stack([top, bottom]))
        assert float(p[1, 0] - p[0, 0]) == pytest.approx(expected, rel=1e-5)


def test_magnification_is_source_detector_over_source_object_distance() -> None:
    view = View.around((0, 0, 0), source_to_detector_mm=1000, source_to_centre_mm=600)
    assert float(view.magnification(torch.zeros(1, 3))) == pytest.approx(1000 / 600)


def test_a_point_behind_the_source_has_no_image() -> None:
    view = View.around((0, 0, 0), source_to_detector_mm=1000, source_to_centre_mm=600)
    assert torch.isnan(view.project_points(torch.tensor([[0.0, 700, 0]]))).all()


def test_projection_is_differentiable_in_the_pose() -> None:
    base = View.around((0, 0, 0)).to(dtype=torch.float64)
    m = base.world_from_detector.clone()
    m.requires_grad_(True)
    view = View(m, base.source_to_detector_mm, base.pixel_spacing_mm, base.shape_px)
    view.project_points(torch.randn(5, 3, dtype=torch.float64)).sum().backward()
    assert m.grad is not None
    assert torch.isfinite(m.grad).all()


def test_a_rigid_motion_times_its_inverse_is_the_identity() -> None:
    q, _ = torch.linalg.qr(torch.randn(5, 3, 3, dtype=torch.float64))
    q = q * torch.linalg.det(q)[:, None, None].sign()
    m = rigid(q, torch.randn(5, 3, dtype=torch.float64) * 100)
    torch.testing.assert_close(m @ inverse_rigid(m), torch.eye(4, dtype=torch.float64).expand(5, 4, 4))


def test_views_of_one_detector_stack_and_index() -> None:
    a, b = View.around((0, 0, 0)), View.around((0, 0, 0), angle_deg=90)
    torch.testing.assert_close(stack_views([a, b])[1].world_from_detector, b.world_from_detector)
    with pytest.raises(ValueError, match="differ in detector"):
        stack_views([a, View.around((0, 0, 0), shape_px=(3, 3))])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pixel_spacing_mm": (0.0, 1.0)}, "pixel_spacing_mm"),
        ({"shape_px": (0, 4)}, "shape_px"),
        ({"source_to_detector_mm": torch.tensor(math.nan)}, "source_to_detector_mm"),
        ({"world_from_detector": torch.eye(4) * 2}, "not rigid"),
        ({"world_from_detector": torch.diag(torch.tensor([-1.0, 1, 1, 1]))}, "mirrors"),
        ({"world_from_detector": torch.full((4, 4), math.nan)}, "NaN"),
    ],
)
def test_nonsense_is_refused_at_birth(change: dict[str, object], message: str) -> None:
    good: dict[str, object] = {
        "world_from_detector": torch.eye(4), "source_to_detector_mm": torch.tensor(1000.0),
        "pixel_spacing_mm": (1.0, 1.0), "shape_px": (4, 4),
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        View(**{**good, **change})  # type: ignore[arg-type]


def test_an_unknown_view_name_says_which_exist() -> None:
    assert view_angle_deg("Left lateral") == 90
    assert view_angle_deg("-30") == -30
    with pytest.raises(ValueError, match="pa, lateral"):
        view_angle_deg("oblique")
