"""The spine's words: the order of levels, the silhouette of an endplate in closed form, the tilt of a chord, refusals."""

import itertools
import math
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spondyl.geometry import View
from spondyl.spine import LEVEL_LABELS, LEVELS, Cobb, Corners, Sagittal, SpineCurve, level_index

ANGLE = st.floats(-35, 35)


def turned(axial_deg: float = 0.0, coronal_deg: float = 0.0, sagittal_deg: float = 0.0) -> Tensor:
    """A rotation: about the patient's long axis, then in the coronal plane, then in the sagittal one; float64."""
    a, c, s = (math.radians(d) for d in (axial_deg, coronal_deg, sagittal_deg))
    about_z = [[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]]
    about_y = [[math.cos(c), 0, math.sin(c)], [0, 1, 0], [-math.sin(c), 0, math.cos(c)]]
    about_x = [[1, 0, 0], [0, math.cos(s), -math.sin(s)], [0, math.sin(s), math.cos(s)]]
    return torch.tensor(about_x).double() @ torch.tensor(about_y).double() @ torch.tensor(about_z).double()


def column(levels: tuple[str, ...], rotations: list[Tensor] | None = None) -> SpineCurve:
    """Cylinders 40 mm wide, 30 mm deep and 20 mm high, 30 mm apart, the first at the top; float64."""
    n = len(levels)
    rotations = rotations or [torch.eye(3, dtype=torch.float64)] * n
    centres = torch.tensor([[0.0, 0.0, -30.0 * i] for i in range(n)], dtype=torch.float64).reshape(n, 3)
    plates = torch.zeros(n, 2, 3, 3, dtype=torch.float64)
    for i, r in enumerate(rotations):
        for j, height in enumerate((10.0, -10.0)):
            plates[i, j] = torch.stack([centres[i] + r[:, 2] * height, r[:, 0] * 20.0, r[:, 1] * 15.0])
    axes = torch.stack([r.T for r in rotations]) if n else torch.zeros(0, 3, 3, dtype=torch.float64)
    sizes = torch.tensor([[40.0, 30.0, 20.0]], dtype=torch.float64).expand(n, 3)
    return SpineCurve(levels, centres, axes, sizes, plates)


def parallel(angle_deg: float = 0.0, **settings: Any) -> View:
    view = View.around((0, 0, 0), angle_deg=angle_deg, beam="parallel", **settings)
    return view.to(dtype=torch.float64)


def silhouette_px(plate: Tensor, view: View) -> Tensor:
    """The ends of an ellipse's shadow in a parallel beam: c -+ (L L_u + B B_u) / |(L_u, B_u)|, low u first."""
    v, u = view.world_from_detector[:3, 1], view.world_from_detector[:3, 0]
    centre, left, back = plate
    reach = torch.hypot(left @ u, back @ u)
    half = (left * (left @ u) + back * (back @ u)) / reach
    ends = torch.stack([centre - half, centre + half]) - view.world_from_detector[:3, 3]
    dv, du = view.pixel_spacing_mm
    h, w = view.shape_px
    return torch.stack([ends @ v / dv + (h - 1) / 2, ends @ u / du + (w - 1) / 2], dim=-1)


def test_thirteen_thoracic_and_six_lumbar_levels_stand_in_order() -> None:
    assert len(LEVELS) == 7 + 13 + 6 + 1
    order = [level_index(name) for name in ("C7", "T1", "T12", "T13", "L1", "L5", "L6", "S1")]
    assert order == sorted(order)
    assert level_index("T13") == level_index("T12") + 1 == level_index("L1") - 1
    assert level_index("L6") == level_index("L5") + 1 == level_index("S1") - 1


def test_every_level_has_one_label_and_versess_numbering_holds() -> None:
    assert set(LEVEL_LABELS) == set(LEVELS)
    assert len(set(LEVEL_LABELS.values())) == len(LEVELS)
    known = {"C1": 1, "C7": 7, "T1": 8, "T12": 19, "L1": 20, "L5": 24, "L6": 25, "S1": 26, "T13": 28}
    assert {name: LEVEL_LABELS[name] for name in known} == known


def test_a_spine_with_a_thirteenth_rib_pair_or_four_lumbar_vertebrae_can_be_said() -> None:
    assert column(("T12", "T13", "L1", "L6", "S1")).index("T13") == 1
    assert column(("T12", "L1", "L2", "L3", "L4", "S1")).index("S1") == 5


@pytest.mark.parametrize(
    "levels", [("T2", "T1"), ("T1", "T1"), ("L1", "T13"), ("S1", "L6"), ("T1", "T3", "T2")], ids="-".join
)
def test_levels_out_of_order_or_twice_are_refused(levels: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="from cranial to caudal"):
        column(levels)


def test_an_unknown_level_says_what_exists() -> None:
    with pytest.raises(ValueError, match=r"'T14'.*T13 and L6 included"):
        level_index("T14")
    with pytest.raises(ValueError, match="T14"):
        column(("T1", "T14"))


def test_a_level_that_is_not_visible_is_not_extrapolated() -> None:
    with pytest.raises(ValueError, match=r"L5 is not in this spine \(T1 to T3\); nothing is extrapolated"):
        column(("T1", "T2", "T3")).index("L5")


def test_skewed_axes_and_unknown_centres_are_refused() -> None:
    good = column(("T1", "T2"))
    skewed = good.axes.clone()
    skewed[1, 0, 1] = 0.2
    with pytest.raises(ValueError, match="not orthonormal"):
        SpineCurve(good.levels, good.centres_mm, skewed, good.sizes_mm, good.endplates_mm)
    lost = good.centres_mm.clone()
    lost[0, 0] = math.nan
    with pytest.raises(ValueError, match="leave a level out"):
        SpineCurve(good.levels, lost, good.axes, good.sizes_mm, good.endplates_mm)


def test_a_spine_cannot_be_changed_in_place() -> None:
    with pytest.raises(FrozenInstanceError):
        column(("T1",)).levels = ("T2",)  # type: ignore[misc]


@settings(max_examples=40, deadline=None)
@given(ANGLE, ANGLE, ANGLE)
def test_endplate_normals_are_the_bodys_own_cranial_axis(axial: float, coronal: float, sagittal: float) -> None:
    spine = column(("T8", "T9"), [torch.eye(3, dtype=torch.float64), turned(axial, coronal, sagittal)])
    expected = spine.axes[:, 2][:, None].expand(-1, 2, -1)
    torch.testing.assert_close(spine.endplate_normals(), expected)
    assert (spine.endplate_normals()[..., 2] > 0).all(), "normals point cranially"


def test_a_rim_lies_in_its_plane_and_on_its_ellipse() -> None:
    spine = column(("T8",), [turned(10, 20, -15)])
    rim = spine.endplate_rims_mm(points=90)[0, 0]
    plate, normal = spine.endplates_mm[0, 0], spine.endplate_normals()[0, 0]
    off = rim - plate[0]
    torch.testing.assert_close(off @ normal, torch.zeros(90, dtype=torch.float64), atol=1e-12, rtol=0)
    on = (off @ plate[1] / plate[1].square().sum()) ** 2 + (off @ plate[2] / plate[2].square().sum()) ** 2
    torch.testing.assert_close(on, torch.ones(90, dtype=torch.float64))


@settings(max_examples=60, deadline=None)
@given(ANGLE, ANGLE, ANGLE, st.sampled_from([0.0, 30.0, 90.0, 180.0, -45.0]))
def test_corners_are_the_ends_of_the_ellipses_shadow(axial: float, coronal: float, sagittal: float, at: float) -> None:
    rotations = [turned(axial, coronal, sagittal), turned(-axial, sagittal, coronal)]
    spine, view = column(("L1", "L2"), rotations), parallel(at, pixel_spacing_mm=(0.5, 0.25))
    corners = spine.project(view)
    expected = torch.stack(
        [torch.cat([silhouette_px(plate, view) for plate in spine.endplates_mm[i]]) for i in range(2)]
    )
    assert float((corners.corners_px - expected)[..., 1].abs().max()) < 1e-6
    assert float((corners.corners_px - expected)[..., 0].abs().max()) < 1e-3
    assert (corners.corners_px[:, 1::2, 1] > corners.corners_px[:, ::2, 1]).all(), "low column first"
    assert corners.confidence.tolist() == [1, 1]


@settings(max_examples=40, deadline=None)
@given(ANGLE)
def test_a_body_tilted_in_the_picture_plane_shows_its_own_angle(tilt: float) -> None:
    spine = column(("T8", "T9"), [turned(coronal_deg=tilt), turned(coronal_deg=-tilt)])
    # about_y carries the patient's left down for positive angles; seen from behind, left is at low columns
    got = spine.project(parallel(0.0)).tilts_deg()
    expected = torch.tensor([[tilt, tilt], [-tilt, -tilt]], dtype=torch.float64)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)
    seen_from_front = spine.project(parallel(180.0)).tilts_deg()
    torch.testing.assert_close(seen_from_front, -expected, atol=1e-5, rtol=0)


def test_a_lateral_view_shows_the_sagittal_tilt_of_a_body() -> None:
    spine = column(("T8",), [turned(sagittal_deg=25)])
    # about_x lifts the back for positive angles; on a left lateral the patient faces right, the back is at low columns
    left, right = (spine.project(parallel(a)).tilts_deg() for a in (90.0, 270.0))
    assert left[0].tolist() == pytest.approx([-25, -25])
    assert right[0].tolist() == pytest.approx([25, 25])


def test_a_body_tilted_towards_the_source_does_not_tilt_in_the_picture() -> None:
    spine = column(("T8",), [turned(sagittal_deg=25)])
    torch.testing.assert_close(
        spine.project(parallel(0.0)).tilts_deg(), torch.zeros(1, 2, dtype=torch.float64), atol=1e-5, rtol=0
    )


def test_the_sacrum_has_two_corners_and_half_the_confidence() -> None:
    spine = column(("L5", "S1"))
    plates = spine.endplates_mm.clone()
    plates[1, 1] = math.nan
    corners = SpineCurve(spine.levels, spine.centres_mm, spine.axes, spine.sizes_mm, plates).project(parallel())
    assert corners.confidence.tolist() == [1.0, 0.5]
    assert torch.isfinite(corners.corners_px[1, :2]).all()
    assert torch.isnan(corners.corners_px[1, 2:]).all()
    assert torch.isnan(corners.tilts_deg()[1, 1])


def test_a_cone_magnifies_the_corners_about_the_central_ray() -> None:
    spine = column(("T8",))
    view = View.around((0, 0, 0), source_to_detector_mm=1800, source_to_centre_mm=1500).to(dtype=torch.float64)
    near = spine.project(view)
    width = near.corners_px[0, 1, 1] - near.corners_px[0, 0, 1]
    # max over phi of a cos(phi) / (d + b sin(phi)) = a / sqrt(d^2 - b^2): the tangents from the source to the rim
    a, b, d = 20.0, 15.0, 1500.0
    assert float(width) == pytest.approx(2 * 1800 * a / math.sqrt(d**2 - b**2), rel=1e-5)


def test_a_batch_of_views_must_be_indexed_first() -> None:
    batch = View(torch.eye(4).expand(2, 4, 4), torch.full((2,), 1000.0), (1.0, 1.0), (4, 4))
    with pytest.raises(ValueError, match="index the batch first"):
        column(("T1",)).project(batch)


def test_a_subset_keeps_rows_together_and_restores_the_order() -> None:
    spine = column(("T1", "T2", "T3", "L1"))
    part = spine.subset(["L1", "T2"])
    assert part.levels == ("T2", "L1")
    torch.testing.assert_close(part.centres_mm, spine.centres_mm[[1, 3]])
    torch.testing.assert_close(part.endplates_mm, spine.endplates_mm[[1, 3]])


@settings(max_examples=60, deadline=None)
@given(st.floats(0.05, 5), st.floats(0.05, 5), st.floats(-80, 80), st.floats(1, 100))
def test_tilts_are_angles_in_millimetres_whatever_the_pixels_shape(
    dv: float, du: float, tilt: float, length: float
) -> None:
    rise, run = length * math.sin(math.radians(tilt)), length * math.cos(math.radians(tilt))
    chord = torch.tensor([[10.0, 5.0], [10.0 - rise / dv, 5.0 + run / du]], dtype=torch.float64)
    view = View.around((0, 0, 0), pixel_spacing_mm=(dv, du))
    corners = Corners(("T1",), torch.cat([chord, chord])[None], torch.ones(1), view)
    torch.testing.assert_close(corners.tilts_deg(), torch.full((1, 2), tilt, dtype=torch.float64), atol=1e-9, rtol=0)


def test_tilts_without_a_view_take_pixels_as_square_and_with_one_do_not() -> None:
    px = torch.tensor([[[10.0, 0], [0, 10], [20, 0], [20, 10]]])
    assert Corners(("T1",), px, torch.ones(1)).tilts_deg().tolist() == [[45.0, 0.0]]
    wide = View.around((0, 0, 0), pixel_spacing_mm=(1.0, 2.0))
    tilted = float(Corners(("T1",), px, torch.ones(1), wide).tilts_deg()[0, 0])
    assert tilted == pytest.approx(math.degrees(math.atan2(1, 2)), abs=1e-4)


COBB: dict[str, Any] = {"angle_deg": 20.0, "upper": "T5", "lower": "T12", "apex": "T8/T9", "side": "right"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"angle_deg": -1.0}, "angle_deg is -1.0"),
        ({"angle_deg": math.nan}, "angle_deg is nan"),
        ({"angle_deg": 181.0}, "angle_deg is 181"),
        ({"upper": "L1"}, "swap them"),
        ({"lower": "T99"}, "T99"),
    ],
)
def test_an_impossible_cobb_angle_is_refused(change: dict[str, Any], message: str) -> None:
    assert Cobb(**COBB).interval_deg is None
    with pytest.raises(ValueError, match=message):
        Cobb(**{**COBB, **change})


def test_lordosis_is_kyphosis_with_the_other_sign_and_nan_is_no_angle() -> None:
    assert Sagittal(-48.0, "L1 superior", "S1 superior").lordosis_deg == 48
    with pytest.raises(ValueError, match="no Sagittal at all"):
        Sagittal(math.nan, "L1 superior", "S1 superior")


def test_every_pair_of_neighbouring_levels_is_accepted_in_order() -> None:
    for upper, lower in itertools.pairwise(LEVELS):
        assert Cobb(**{**COBB, "upper": upper, "lower": lower}).upper == upper


def test_a_slot_picture_needs_its_magnification_to_tell_a_tilt() -> None:
    spine = column(("T8",), [turned(coronal_deg=40.0)])
    view = View.around((0, 0, 0), source_to_detector_mm=1300, source_to_centre_mm=1000, beam="slot").to(
        dtype=torch.float64
    )
    corners = spine.project(view)
    with pytest.raises(ValueError, match="give u_magnification"):
        corners.tilts_deg()
    assert corners.tilts_deg(u_magnification=1.0)[0, 0].abs() < 34
    # the endplates lie a body's half height off the centre, hence not quite at the centre's magnification
    torch.testing.assert_close(
        corners.tilts_deg(u_magnification=1.3)[0], torch.full((2,), 40.0).double(), atol=0.1, rtol=0
    )
