"""Steadier corners: sure readings stay, doubtful ones follow their neighbours, and the error falls as the posterior says."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from spondyl.geometry import View
from spondyl.measure.cobb import cobb_from_corners
from spondyl.measure.steady import FRONTAL, SIDEWAYS, Sway, line_tilts_deg, posterior, steadied
from spondyl.sim.patient import demo_patient
from spondyl.spine import Corners


def demo_corners(spread: float) -> Corners:
    spine = demo_patient().spine
    view = View.around(spine.centres_mm.mean(0).tolist(), pixel_spacing_mm=(0.7, 0.7), shape_px=(900, 500))
    corners = spine.project(view)
    return replace(corners, spread_px=torch.full_like(corners.corners_px, spread))


def test_corners_without_spread_or_with_next_to_none_stay_as_they_are() -> None:
    corners = demo_corners(1e-4)
    still = steadied(corners)
    assert torch.allclose(still.corners_px.nan_to_num(), corners.corners_px.nan_to_num(), atol=0.05)
    bare = replace(corners, spread_px=None)
    assert steadied(bare) is bare


def test_noise_shrinks_and_by_about_as_much_as_is_said() -> None:
    truth = demo_corners(2.0)
    generator = torch.Generator().manual_seed(0)
    before, after, said = [], [], []
    for _ in range(40):
        noise = 2.0 * torch.randn(truth.corners_px.shape, generator=generator)
        read = replace(truth, corners_px=truth.corners_px + noise)
        better = steadied(read)
        row = slice(0, len(truth.levels) - 1)
        before.append((read.tilts_deg() - truth.tilts_deg())[row])
        after.append((better.tilts_deg() - truth.tilts_deg())[row])
        assert better.spread_px is not None
        assert truth.spread_px is not None
        said.append(float((better.spread_px / truth.spread_px)[row].nanmean()))
    raw, left = (torch.stack(x).square().mean().sqrt() for x in (before, after))
    assert float(left) < 0.55 * float(raw)
    assert float(left / raw) == pytest.approx(sum(said) / len(said), rel=0.35)


def test_middles_and_lengths_of_endplates_and_the_sacrum_do_not_change() -> None:
    truth = demo_corners(2.0)
    noise = torch.randn(truth.corners_px.shape, generator=torch.Generator().manual_seed(1))
    read = replace(truth, corners_px=truth.corners_px + noise)
    better = steadied(read)
    for name in ("mean", "diff"):
        a, b = (
            c.corners_px.reshape(-1, 2, 2, 2).mean(2)
            if name == "mean"
            else torch.linalg.norm(c.corners_px.reshape(-1, 2, 2, 2).diff(dim=2)[:, :, 0], dim=-1)
            for c in (read, better)
        )
        assert torch.allclose(a.nan_to_num(), b.nan_to_num(), atol=1e-3)
    sacrum = truth.levels.index("S1")
    assert torch.equal(better.corners_px[sacrum].nan_to_num(), read.corners_px[sacrum].nan_to_num())


def test_an_endplate_with_a_missing_corner_is_left_alone_and_the_others_are_not() -> None:
    read = demo_corners(2.0)
    points = read.corners_px + torch.randn(read.corners_px.shape, generator=torch.Generator().manual_seed(2))
    points[4, 1] = torch.nan
    better = steadied(replace(read, corners_px=points))
    assert torch.equal(better.corners_px[4, :2].nan_to_num(), points[4, :2].nan_to_num())
    assert not torch.allclose(better.corners_px[4, 2:], points[4, 2:], atol=1e-3)


def test_pixels_that_are_not_square_give_the_same_spine() -> None:
    truth = demo_corners(2.0)
    noise = torch.randn(truth.corners_px.shape, generator=torch.Generator().manual_seed(3))
    read = replace(truth, corners_px=truth.corners_px + noise, view=None)
    stretch = torch.tensor([1.0, 2.0])
    assert read.spread_px is not None
    wide = replace(read, corners_px=read.corners_px * stretch, spread_px=read.spread_px * stretch)
    one, two = steadied(read).corners_px, steadied(wide, pixel=(1.0, 0.5)).corners_px / stretch
    assert torch.allclose(one.nan_to_num(), two.nan_to_num(), atol=1e-2)


@pytest.mark.parametrize("sway", [FRONTAL, SIDEWAYS])
def test_the_posterior_is_that_of_the_joint_normal_distribution(sway: Sway) -> None:
    # by conditioning a joint normal of truth and reading, in numpy
    rng = np.random.default_rng(0)
    place, tilt, line = np.arange(9.0), rng.normal(0, 10, 9), rng.normal(0, 10, 9)
    sd = rng.uniform(0.5, 4, 9)
    away = np.abs(place[:, None] - place) * 5**0.5 / sway.reach_levels
    prior = sway.sway_deg**2 * (1 + away + away**2 / 3) * np.exp(-away) + sway.own_deg**2 * np.eye(9)
    gain = prior @ np.linalg.inv(prior + np.diag(sd**2))
    mean, left = posterior(*(torch.from_numpy(x) for x in (place, tilt, sd)), sway, torch.from_numpy(line))
    assert np.allclose(mean.numpy(), line + gain @ (tilt - line), atol=1e-9)
    assert np.allclose(left.numpy(), np.sqrt(np.diag(prior - gain @ prior)), atol=1e-9)


def test_plates_across_a_circle_have_its_tilts() -> None:
    angle = torch.linspace(-0.5, 0.5, 12, dtype=torch.float64)
    centres = torch.stack([300 * torch.sin(angle), 300 * torch.cos(angle)], dim=1)
    along = torch.arange(12, dtype=torch.float64)
    found = line_tilts_deg(centres, along, along)
    # down the circle its column grows, then falls: the plates across it tilt as the line turns
    assert torch.allclose(found, -torch.rad2deg(angle), atol=0.05)


def test_of_a_reader_that_sees_no_tilt_the_line_of_its_bodies_tells_most_of_the_angle() -> None:
    truth = demo_corners(30.0)
    chord = truth.corners_px.reshape(-1, 2, 2, 2)
    flat = chord.clone()
    flat[..., 0] = chord.mean(2, keepdim=True)[..., 0].expand_as(chord[..., 0])
    read = replace(truth, corners_px=flat.reshape(-1, 4, 2))
    wanted, before, after = (
        max(c.angle_deg for c in cobb_from_corners(x)) if cobb_from_corners(x) else 0.0
        for x in (truth, read, steadied(read))
    )
    assert wanted > 40
    assert before < 1
    assert 0.8 * wanted < after < wanted + 3
