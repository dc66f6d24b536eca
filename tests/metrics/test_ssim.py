"""SSIM and MS-SSIM: scikit-image, torchmetrics and MONAI where they are, closed forms, and what a mask hides."""

import math

import numpy as np
import pytest
import torch
from pictures import pair, smooth
from skimage import metrics as skimage

from spondyl.metrics.ssim import GAUSSIAN_11, MS_SSIM_WEIGHTS, UNIFORM_7, Window, ms_ssim, ssim

SHAPES = [(1, 1, 40, 33), (1, 1, 16, 18, 15)]


def of_skimage(made: torch.Tensor, real: torch.Tensor, window: Window) -> tuple[float, np.ndarray]:
    kind = {"win_size": 7} if window is UNIFORM_7 else {"gaussian_weights": True, "sigma": 1.5}
    a, b = made[0, 0].numpy(), real[0, 0].numpy()
    value, image = skimage.structural_similarity(a, b, data_range=1.3, use_sample_covariance=False, full=True, **kind)
    return float(value), image


@pytest.mark.parametrize("window", [GAUSSIAN_11, UNIFORM_7], ids=lambda w: w.name)
@pytest.mark.parametrize("shape", SHAPES)
def test_ssim_is_scikit_images(shape: tuple[int, ...], window: Window) -> None:
    made, real = pair(*shape)
    value = ssim(made, real, data_range=1.3, window=window).item()
    assert value == pytest.approx(of_skimage(made, real, window)[0], abs=1e-12)
    assert 0.2 < value < 0.99


@pytest.mark.parametrize("window", [GAUSSIAN_11, UNIFORM_7], ids=lambda w: w.name)
@pytest.mark.parametrize("shape", SHAPES)
def test_under_a_mask_it_is_the_mean_of_the_map_over_whole_windows(shape: tuple[int, ...], window: Window) -> None:
    made, real = pair(*shape)
    mask = torch.zeros(shape, dtype=torch.bool)
    inner = (slice(None), slice(None), *[slice(2, n - 1) for n in shape[2:]])
    mask[inner] = True
    _, image = of_skimage(made, real, window)
    half = window.size_px // 2
    centres = tuple(slice(2 + half, n - 1 - half) for n in shape[2:])
    got = ssim(made, real, data_range=1.3, window=window, mask=mask).item()
    assert got == pytest.approx(float(image[centres].mean()), abs=1e-12)


def test_an_all_true_mask_is_no_mask() -> None:
    made, real = pair(2, 1, 30, 26)
    everywhere = torch.ones(2, 1, 30, 26, dtype=torch.bool)
    assert torch.equal(ssim(made, real, data_range=1, mask=everywhere), ssim(made, real, data_range=1))
    weights = (0.5, 0.5)
    masked = ms_ssim(made, real, data_range=1, weights=weights, window=UNIFORM_7, mask=everywhere)
    assert torch.equal(masked, ms_ssim(made, real, data_range=1, weights=weights, window=UNIFORM_7))


@pytest.mark.parametrize("shape", [(1, 1, 64, 60), (1, 1, 34, 36, 35)])
def test_nothing_outside_the_mask_can_change_the_value(shape: tuple[int, ...]) -> None:
    made, real = pair(*shape)
    grid = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, n) for n in shape[2:]], indexing="ij"))
    mask = (grid.square().sum(dim=0) < 0.95)[None, None]
    spoilt = torch.where(mask, made, math.nan)
    wild = torch.where(mask, real, 1e6)
    for measure in (ssim, ms_ssim):
        more = {} if measure is ssim else {"weights": (0.4, 0.6)}
        before = measure(made, real, data_range=1, mask=mask, window=UNIFORM_7, **more)
        assert torch.equal(measure(spoilt, wild, data_range=1, mask=mask, window=UNIFORM_7, **more), before)
        assert not torch.equal(measure(made, real, data_range=1, window=UNIFORM_7, **more), before)


def test_an_empty_margin_lifts_ssim_and_the_mask_takes_that_away() -> None:
    made, real = pair(1, 1, 40, 40)
    wide = [torch.nn.functional.pad(x, [40, 40]) for x in (made, real)]
    mask = torch.nn.functional.pad(torch.ones(1, 1, 40, 40, dtype=torch.bool), [40, 40])
    alone = ssim(made, real, data_range=1).item()
    assert ssim(*wide, data_range=1).item() > alone + 0.05
    assert ssim(*wide, data_range=1, mask=mask).item() == pytest.approx(alone)


def test_equal_images_are_one_and_opposite_ones_negative() -> None:
    a = smooth(1, 1, 32, 32, seed=0)
    assert ssim(a, a, data_range=1).item() == 1
    assert ms_ssim(a, a, data_range=1, weights=(0.5, 0.5)).item() == 1
    texture = 0.1 * torch.randn(1, 1, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert ssim(0.5 + texture, 0.5 - texture, data_range=1).item() < -0.5
    assert ms_ssim(0.5 + texture, 0.5 - texture, data_range=1, weights=(0.5, 0.5)).item() == 0


def test_flat_images_leave_luminance_alone() -> None:
    a, b = torch.full((1, 1, 12, 12), 0.2), torch.full((1, 1, 12, 12), 0.6)
    c1 = 0.01**2
    wanted = (2 * 0.2 * 0.6 + c1) / (0.2**2 + 0.6**2 + c1)
    assert ssim(a, b, data_range=1).item() == pytest.approx(wanted, abs=1e-6)
    got = ms_ssim(a, b, data_range=1, window=UNIFORM_7, weights=(1.0,)).item()
    assert got == pytest.approx(wanted, abs=1e-6)


def test_one_scale_of_weight_one_is_ssim() -> None:
    made, real = pair(1, 1, 30, 30)
    got = ms_ssim(made, real, data_range=1, weights=(1.0,))
    assert got.item() == pytest.approx(ssim(made, real, data_range=1).item(), abs=1e-12)


def test_a_hounsfield_window_far_from_zero_keeps_its_digits() -> None:
    made, real = pair(1, 1, 30, 30)
    wide = ssim((made * 4000).float(), (real * 4000).float(), data_range=4000).item()
    assert wide == pytest.approx(ssim(made, real, data_range=1).item(), abs=1e-6)


def test_ssim_has_a_gradient() -> None:
    made, real = pair(1, 1, 20, 20)
    made.requires_grad_()
    ssim(made, real, data_range=1).sum().backward()
    assert made.grad is not None
    assert made.grad.isfinite().all()
    assert made.grad.abs().sum() > 0


def test_an_image_or_a_mask_too_small_for_the_window_is_refused() -> None:
    a = torch.rand(1, 1, 10, 40)
    with pytest.raises(ValueError, match="smaller than the window gaussian 11"):
        ssim(a, a, data_range=1)
    with pytest.raises(ValueError, match="fewer scales"):
        ms_ssim(torch.rand(1, 1, 160, 160), torch.rand(1, 1, 160, 160), data_range=1)
    a = torch.rand(2, 1, 40, 40)
    mask = torch.ones(2, 1, 40, 40, dtype=torch.bool)
    mask[1, :, :, ::5] = False
    with pytest.raises(ValueError, match="mask of image 1 holds no whole window"):
        ssim(a, a, data_range=1, mask=mask)
    with pytest.raises(ValueError, match="odd size"):
        Window("even", 8, None)


def test_maps_are_torchmetrics() -> None:
    functional = pytest.importorskip("torchmetrics.functional.image")
    made, real = pair(2, 1, 40, 44)
    _, image = functional.structural_similarity_index_measure(
        made, real, data_range=1.3, reduction="none", return_full_image=True
    )
    # torchmetrics mirrors the image at its border; without that frame it is ours.
    assert ssim(made, real, data_range=1.3).tolist() == pytest.approx(
        image[..., 5:-5, 5:-5].mean(dim=(1, 2, 3)).tolist(), abs=1e-12
    )


def test_scales_are_torchmetrics() -> None:
    functional = pytest.importorskip("torchmetrics.functional.image")
    made, real = pair(2, 1, 200, 181)
    weights = (*MS_SSIM_WEIGHTS[:4], 0.0)  # its coarsest scale counts the mirrored frame; leave that one out
    theirs = functional.multiscale_structural_similarity_index_measure(
        made, real, data_range=1.3, betas=weights, reduction="none"
    )
    assert ms_ssim(made, real, data_range=1.3, weights=weights).tolist() == pytest.approx(theirs.tolist(), abs=1e-8)


def test_ms_ssim_is_monais() -> None:
    regression = pytest.importorskip("monai.metrics.regression")
    made, real = pair(2, 1, 200, 181)
    theirs = regression.MultiScaleSSIMMetric(2, data_range=1.3)(made, real)  # in float32
    assert ms_ssim(made, real, data_range=1.3).tolist() == pytest.approx(theirs[:, 0].tolist(), abs=5e-5)
