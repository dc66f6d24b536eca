"""The time-of-flight camera: strength and grain of its noise, shallow hollows, flying pixels, holes, parallax, range."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from spondyl.sim.rgbd_depth import REFERENCE_SIGNAL, DepthCamera, correlated, hollow_mm, measured, unseen
from spondyl.sim.rgbd_skin import Complexion

QUIET = DepthCamera(
    noise_mm=0.0, noise_mm_per_m2=0.0, warp_mm=0.0, multipath=0.0, flying=0.0, lost=0.0, baseline_mm=0.0, step_mm=0.0,
    dark_signal=0.0,
)  # fmt: skip
SHAPE = (160, 200)
FOCAL_PX = 823.0


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def taken(depth: Tensor, camera: DepthCamera, *, seed: int = 0, signal: float = REFERENCE_SIGNAL) -> Tensor:
    body = torch.ones_like(depth, dtype=torch.bool)
    return measured(depth, torch.full_like(depth, signal), body, FOCAL_PX, camera, generator=seeded(seed))


def step_edge() -> Tensor:
    """A near half on the left, a far one on the right."""
    depth = torch.full(SHAPE, 2300.0)
    depth[:, :100] = 1400.0
    return depth


def test_a_camera_without_errors_gives_the_exact_depth() -> None:
    depth = torch.linspace(1000, 2000, SHAPE[1]).expand(SHAPE).contiguous()
    assert torch.equal(taken(depth, QUIET), depth)


@pytest.mark.parametrize("z_mm", [700.0, 1400.0, 2800.0])
def test_noise_grows_with_the_square_of_the_distance(z_mm: float) -> None:
    camera = replace(QUIET, noise_mm=0.4, noise_mm_per_m2=0.35)
    error = taken(torch.full(SHAPE, z_mm), camera) - z_mm
    assert float(error.std()) == pytest.approx(0.4 + 0.35 * (z_mm / 1000) ** 2, rel=0.04)
    assert abs(float(error.mean())) < 0.05 * float(error.std())


def test_neighbours_share_their_noise_as_a_gaussian_blur_says() -> None:
    for sigma in (0.8, 1.3):
        noise = correlated(torch.randn(400, 400, generator=seeded()), sigma)
        assert float(noise.std()) == pytest.approx(1.0, abs=0.02)
        for lag in (1, 2):
            found = float((noise[:, lag:] * noise[:, :-lag]).mean())
            assert found == pytest.approx(math.exp(-(lag**2) / (4 * sigma**2)), abs=0.06)


def test_the_slow_wave_has_the_asked_strength() -> None:
    waves = [taken(torch.full(SHAPE, 1400.0), replace(QUIET, warp_mm=1.0), seed=s) - 1400.0 for s in range(60)]
    assert float(torch.stack(waves).square().mean().sqrt()) == pytest.approx(1.0, abs=0.25)
    assert float((waves[0][:, 1:] - waves[0][:, :-1]).abs().max()) < 0.15


def test_frames_have_noise_of_their_own_and_the_same_seed_the_same() -> None:
    camera = DepthCamera(step_mm=0.0, warp_mm=0.0)
    depth = torch.full(SHAPE, 1400.0)
    a, b, again = (taken(depth, camera, seed=s) - depth for s in (1, 2, 1))
    assert torch.equal(a, again)
    assert abs(float((a * b).mean() / a.square().mean())) < 0.05


def test_noise_hardly_depends_on_the_type_of_skin() -> None:
    camera = replace(QUIET, noise_mm=0.4, noise_mm_per_m2=0.35)
    spread = [
        float((taken(torch.full(SHAPE, 1400.0), camera, signal=Complexion(skin_type=k).near_infrared()) - 1400).std())
        for k in range(1, 7)
    ]
    assert max(spread) / min(spread) < 1.12
    holes = [
        float((taken(torch.full(SHAPE, 1400.0), DepthCamera(), signal=Complexion(skin_type=k).near_infrared()) == 0).float().mean())
        for k in (1, 6)
    ]  # fmt: skip
    assert max(holes) == 0


def test_weak_returns_are_noisier_and_the_weakest_are_holes() -> None:
    camera = replace(QUIET, noise_mm=1.0, dark_signal=0.05)
    depth = torch.full(SHAPE, 1400.0)
    grazing = taken(depth, camera, signal=REFERENCE_SIGNAL / 4)
    assert float((grazing - 1400).std()) == pytest.approx(2.0, rel=0.1)
    share = [float((taken(depth, camera, signal=s) == 0).float().mean()) for s in (0.3, 0.05, 0.001)]
    assert share[0] == 0
    assert share[1] == pytest.approx(0.5, abs=0.03)
    assert share[2] > 0.9


def pit(depth_mm: float, sigma_mm: float) -> Tensor:
    v = torch.arange(SHAPE[0])[:, None] - 80.0
    u = torch.arange(SHAPE[1]) - 100.0
    mm = 1400.0 / FOCAL_PX
    return 1400.0 + depth_mm * torch.exp(-((v * mm) ** 2 + (u * mm) ** 2) / (2 * sigma_mm**2))


def test_hollows_are_measured_one_to_three_millimetres_too_shallow() -> None:
    camera = DepthCamera()
    for deep in (10.0, 40.0):
        error = taken(pit(deep, 12.0), replace(QUIET, multipath=camera.multipath)) - pit(deep, 12.0)
        assert -3.01 < float(error.min()) < -0.7
        assert tuple(divmod(int(error.argmin()), SHAPE[1])) == (80, 100)
        assert float(error.max()) <= 1e-3


def test_humps_and_planes_are_not_hollows() -> None:
    whole = torch.ones(SHAPE, dtype=torch.bool)
    assert float(hollow_mm(pit(-15.0, 12.0), whole, FOCAL_PX)[70:90, 90:110].max()) < 0.25
    slope = 1400.0 + 0.5 * torch.arange(SHAPE[1]).expand(SHAPE)
    assert float(hollow_mm(slope, whole, FOCAL_PX)[40:-40, 50:-50].max()) < 0.05
    assert float(hollow_mm(pit(20.0, 12.0), ~whole, FOCAL_PX).max()) == 0


def test_flying_pixels_hang_between_front_and_back_and_only_beside_edges() -> None:
    seen = taken(step_edge(), replace(QUIET, flying=0.5))
    off = (seen - step_edge()).abs() > 1
    columns = off.any(0).nonzero()[:, 0]
    assert columns.min() >= 98
    assert columns.max() <= 101
    assert float(off[:, 98:102].float().mean()) == pytest.approx(0.5, abs=0.06)
    assert bool(((seen >= 1400) & (seen <= 2300)).all())


def test_the_asked_share_of_edge_pixels_is_lost() -> None:
    hole = taken(step_edge(), replace(QUIET, lost=0.4)) == 0
    assert float(hole[:, 98:102].float().mean()) == pytest.approx(0.4, abs=0.06)
    assert not bool(hole[:, :98].any() | hole[:, 102:].any())


def test_what_the_depth_lens_on_the_right_does_not_see_has_no_depth() -> None:
    width = FOCAL_PX * 32.0 * (1 / 1400 - 1 / 2300)
    # the near half on the right hides a strip of the far one on its left; on its right it hides nothing
    mirrored = step_edge().flip(1)
    hidden = unseen(mirrored, FOCAL_PX, 32.0)
    strip = hidden.sum(1)
    assert int(strip.min()) == int(strip.max()) == pytest.approx(width, abs=1.0)
    assert bool(hidden[:, 99].all())
    assert not bool(unseen(step_edge(), FOCAL_PX, 32.0).any())
    assert not bool(unseen(mirrored, FOCAL_PX, 0.0).any())


def test_out_of_range_is_a_hole_and_depth_comes_in_steps() -> None:
    depth = torch.tensor([[400.0, 1400.4, 3900.0]]).repeat_interleave(40, 1).expand(100, -1).contiguous()
    seen = taken(depth, replace(QUIET, step_mm=1.0))
    assert bool((seen[:, :40] == 0).all())
    assert bool((seen[:, 40:80] == 1400).all())
    assert bool((seen[:, 80:] == 0).all())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"noise_mm": -1.0}, "noise_mm is -1"),
        ({"farthest_mm": 300.0}, "range is 500"),
        ({"flying": 0.8, "lost": 0.5}, "shares of the same pixels"),
    ],
)
def test_a_depth_camera_without_sense_is_refused(wrong: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        replace(DepthCamera(), **wrong)
