"""Steadier corners: sure readings stay, doubtful ones follow their neighbours, and the error falls as the posterior says."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from spondyl.geometry import View
from spondyl.measure.steady import FRONTAL, SIDEWAYS, posterior, steadied
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
def test_the_posterior_is_that_of_the_joint_normal_distribution(sway: object) -> None:
    # by conditioning a joint normal of truth and reading, numbers alone, with a flat prior for the overall tilt
    rng = np.random.default_rng(0)
    place, tilt, sd = np.arange(9.0), rng.normal(0, 10, 9), rng.uniform(0.5, 4, 9)
    away = np.abs(place[:, None] - place) * 5**0.5 / sway.reach_levels  # type: ignore[attr-defined]
    prior = sway.sway_deg**2 * (1 + away + away**2 / 3) * np.exp(-away)  # type: ignore[attr-defined]
    prior += sway.own_deg**2 * np.eye(9)  # type: ignore[attr-defined]
    flat = prior + 1e7
    wanted = flat @ np.linalg.inv(flat + np.diag(sd**2)) @ tilt
    mean, left = posterior(*(torch.from_numpy(x) for x in (place, tilt, sd)), sway)  # type: ignore[arg-type]
    assert np.allclose(mean.numpy(), wanted, atol=1e-3)
    inner = prior - prior @ np.linalg.inv(prior + np.diag(sd**2)) @ prior
    assert np.allclose(left.numpy(), np.sqrt(np.diag(inner)), atol=1e-6)
