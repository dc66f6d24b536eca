"""MAE, RMSE, PSNR: closed forms, scikit-image, and a mask that hides what lies outside it."""

import math

import pytest
import torch
from pictures import pair
from skimage import metrics as skimage

from spondyl.metrics.image import mae, psnr, rmse


@pytest.mark.parametrize("shape", [(2, 1, 9, 12), (2, 1, 5, 6, 7)])
def test_a_constant_offset_has_its_closed_form(shape: tuple[int, ...]) -> None:
    real = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    made = real + torch.tensor([0.5, -0.25]).reshape(2, *[1] * (len(shape) - 1))
    assert mae(made, real).tolist() == pytest.approx([0.5, 0.25], abs=1e-6)
    assert rmse(made, real).tolist() == pytest.approx([0.5, 0.25], abs=1e-6)
    wanted = [20 * math.log10(4 / 0.5), 20 * math.log10(4 / 0.25)]
    assert psnr(made, real, data_range=4).tolist() == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("shape", [(1, 1, 40, 33), (1, 1, 12, 14, 16)])
def test_psnr_is_scikit_images(shape: tuple[int, ...]) -> None:
    made, real = pair(*shape)
    theirs = skimage.peak_signal_noise_ratio(real[0, 0].numpy(), made[0, 0].numpy(), data_range=1.3)
    assert psnr(made, real, data_range=1.3).item() == pytest.approx(theirs, abs=1e-12)


def test_equal_images_have_infinite_psnr() -> None:
    real = torch.rand(1, 1, 4, 4)
    assert psnr(real, real, data_range=1).item() == math.inf


def test_twice_the_range_adds_six_decibel() -> None:
    made, real = pair(1, 1, 20, 20)
    more = psnr(made, real, data_range=2) - psnr(made, real, data_range=1)
    assert more.item() == pytest.approx(20 * math.log10(2))


def test_nothing_outside_the_mask_counts_not_even_nan() -> None:
    made, real = pair(2, 1, 20, 20)
    mask = torch.zeros(2, 1, 20, 20, dtype=torch.bool)
    mask[0, :, 5:15, 3:9] = True
    mask[1, :, 2:4, 2:4] = True
    inside = [
        mae(made[:1, :, 5:15, 3:9], real[:1, :, 5:15, 3:9]).item(),
        mae(made[1:, :, 2:4, 2:4], real[1:, :, 2:4, 2:4]).item(),
    ]
    spoilt = torch.where(mask, made, math.nan)
    assert mae(spoilt, real, mask=mask).tolist() == pytest.approx(inside)
    assert psnr(spoilt, real, data_range=1, mask=mask).isfinite().all()


def test_an_empty_margin_lifts_psnr_and_the_mask_takes_that_away() -> None:
    made, real = pair(1, 1, 20, 20)
    wide = [torch.nn.functional.pad(x, [20, 20]) for x in (made, real)]
    mask = torch.nn.functional.pad(torch.ones(1, 1, 20, 20, dtype=torch.bool), [20, 20])
    alone = psnr(made, real, data_range=1).item()
    assert psnr(*wide, data_range=1).item() == pytest.approx(alone + 10 * math.log10(3))
    assert psnr(*wide, data_range=1, mask=mask).item() == pytest.approx(alone)


def test_what_cannot_be_compared_is_refused() -> None:
    a = torch.rand(2, 1, 8, 8)
    with pytest.raises(ValueError, match="data_range is 0"):
        psnr(a, a, data_range=0)
    with pytest.raises(ValueError, match="wanted one shape"):
        mae(a[..., 0], a[..., 0])
    with pytest.raises(ValueError, match="mask of image 1 is empty"):
        mae(a, a, mask=torch.tensor([True, False])[:, None, None, None].expand(2, 1, 8, 8))
    with pytest.raises(ValueError, match="made holds NaN"):
        mae(torch.full_like(a, math.nan), a)


def test_psnr_is_torchmetrics() -> None:
    functional = pytest.importorskip("torchmetrics.functional.image")
    made, real = pair(3, 1, 30, 30)
    theirs = functional.peak_signal_noise_ratio(made, real, data_range=1.3, reduction="none", dim=(1, 2, 3))
    assert psnr(made, real, data_range=1.3).tolist() == pytest.approx(
        theirs.tolist(), abs=1e-5
    )  # its logarithm is float32
