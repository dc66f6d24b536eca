"""A framed volume lies whole on the detector, upright, and every machine keeps its distances."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spondyl.images import Volume
from spondyl.xray.geometries import GEOMETRIES, MAX_PIXELS, machine_named, view_for


def grid(
    size_mm: tuple[float, float, float], spacing_mm: float = 2.0, at: tuple[float, float, float] = (30, -80, 700)
) -> Volume:
    shape = tuple(max(1, round(s / spacing_mm)) for s in reversed(size_mm))
    m = torch.diag(torch.tensor([spacing_mm, spacing_mm, spacing_mm, 1.0]))
    m[:3, 3] = torch.tensor(at, dtype=torch.float32)
    return Volume(torch.zeros(shape), m)


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(st.floats(20, 250), st.floats(20, 200), st.floats(20, 240)),
    st.sampled_from(["cone", "slot", "parallel"]),
    st.floats(0, 360),
)
def test_the_shadow_of_the_volume_fills_the_detector_and_does_not_leave_it(
    size: tuple[float, float, float], geometry: str, angle: float
) -> None:
    volume = grid(size)
    view = view_for(volume, geometry, angle)
    v, u = view.to(dtype=torch.float64).project_points(volume.corners_mm()).unbind(-1)
    for positions, count in ((v, view.shape_px[0]), (u, view.shape_px[1])):
        reach = float((positions - (count - 1) / 2).abs().max())
        assert reach <= count / 2 + 0.01, "nothing beyond the outer pixels"
        assert reach >= (count - 1) / 2 - 0.01, "no larger than needed"


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("angle", [0.0, 45.0, 90.0, 270.0])
def test_heads_are_up_and_the_patient_stands_between_source_and_detector(geometry: str, angle: float) -> None:
    volume = grid((200, 180, 200))
    view = view_for(volume, geometry, angle)
    centre = torch.tensor(volume.centre_mm)
    middle, head = view.project_points(torch.stack([centre, centre + torch.tensor([0.0, 0, 50])]))
    assert head[0] < middle[0]
    assert float(head[1]) == pytest.approx(float(middle[1]), abs=0.01)
    depth = (volume.corners_mm().float() - view.world_from_detector[:3, 3]) @ view.world_from_detector[:3, 2]
    assert float(depth.max()) <= 1e-3, "in front of the detector"
    assert float((depth + view.source_to_detector_mm).min()) > 0, "behind the source"


@pytest.mark.parametrize(("angle", "to_centre"), [(0.0, 987.0), (180.0, 987.0), (90.0, 918.0), (270.0, 918.0)])
def test_the_slot_scanner_has_its_two_distances_and_never_magnifies_height(angle: float, to_centre: float) -> None:
    volume = grid((200, 180, 300), spacing_mm=0.9)
    view = view_for(volume, "slot", angle)
    centre = torch.tensor(volume.centre_mm)
    assert float(view.magnification(centre[None])) == pytest.approx(1300 / to_centre, rel=1e-5)
    dv, du = view.pixel_spacing_mm
    assert dv == pytest.approx(du * to_centre / 1300), "pixels are square at the patient"
    for offset in (-80.0, 0.0, 80.0):
        points = centre + torch.tensor([[offset, offset, 0.0], [offset, offset, 100.0]])
        low, high = view.project_points(points)[:, 0].tolist()
        assert (low - high) * dv == pytest.approx(100, abs=1e-2)


def test_the_slot_scanners_own_pixel_at_the_patient_is_the_published_one() -> None:
    volume = grid((100, 100, 100), spacing_mm=0.1 * 10)
    for angle, wanted in ((0.0, 0.1928), (90.0, 0.1794)):
        view = view_for(volume, "slot", angle, pixel_spacing_mm=0.254)
        assert view.pixel_spacing_mm[0] == pytest.approx(wanted, abs=1e-4)


def test_pixels_at_the_patient_match_the_voxels_but_never_beat_the_machine() -> None:
    coarse = view_for(grid((200, 200, 200), 1.0), "cone", 0.0)
    assert coarse.pixel_spacing_mm == pytest.approx((1.2, 1.2))
    fine = view_for(grid((20, 20, 20), 0.1), "cone", 0.0)
    assert fine.pixel_spacing_mm == (0.143, 0.143)
    chosen = view_for(grid((200, 200, 200), 1.0), "cone", 0.0, pixel_spacing_mm=0.5)
    assert chosen.pixel_spacing_mm == (0.5, 0.5)


def test_a_machine_shows_no_more_than_its_field() -> None:
    view = view_for(grid((450, 250, 600), 2.0), "c-arm", 0.0)
    assert [round(n * s) for n, s in zip(view.shape_px, view.pixel_spacing_mm, strict=True)] == pytest.approx(
        [298, 298], abs=4
    )
    wide = view_for(grid((450, 250, 600), 2.0), "cone", 0.0)
    assert wide.shape_px[1] * wide.pixel_spacing_mm[1] == pytest.approx(430, abs=3)
    everything = view_for(grid((450, 250, 600), 2.0), "parallel", 0.0)
    assert everything.shape_px == (300, 225)


def test_a_volume_that_would_reach_through_the_detector_moves_towards_the_source() -> None:
    volume = grid((700, 250, 100), 5.0)
    view = view_for(volume, "cone", 90.0)
    depth = (volume.corners_mm().float() - view.world_from_detector[:3, 3]) @ view.world_from_detector[:3, 2]
    assert float(depth.max()) == pytest.approx(0, abs=0.01)
    with pytest.raises(ValueError, match="deep"):
        view_for(grid((1900, 250, 100), 5.0), "cone", 90.0)


def test_too_many_pixels_are_refused_with_a_spacing_that_works() -> None:
    volume = grid((400, 250, 900), 1.0)
    with pytest.raises(ValueError, match=r"pixel_spacing_mm of") as caught:
        view_for(volume, "cone", 0.0, pixel_spacing_mm=0.2)
    advised = float(str(caught.value).split("pixel_spacing_mm of ")[1].split(" ")[0])
    assert "\n" not in str(caught.value)
    assert max(view_for(volume, "cone", 0.0, pixel_spacing_mm=advised + 0.01).shape_px) <= MAX_PIXELS


@pytest.mark.parametrize("spacing", [0.0, -1.0, math.nan, math.inf])
def test_an_impossible_spacing_is_refused(spacing: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        view_for(grid((50, 50, 50)), "cone", 0.0, pixel_spacing_mm=spacing)


def test_an_unknown_machine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="slot"):
        machine_named("pinhole")
