"""Pixel by pixel: MAE, RMSE and PSNR of image pairs, on a stated range, inside a mask.

Every function takes pictures "n 1 h w" or volumes "n 1 z y x" and gives one number an image, so that patients can be
resampled. `data_range` is the width of the fixed scale that both images live on (a HU window's width, 1 for echo in
[0, 1]). It is never read off the images: a range that follows the image makes dark images look good.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def mae(
    made: Float[Tensor, "n 1 *space"],
    real: Float[Tensor, "n 1 *space"],
    *,
    mask: Bool[Tensor, "n 1 *space"] | None = None,
) -> Float[Tensor, "n"]:
    """Mean absolute difference of each image over its masked pixels, in the image's unit, float64.

    Raises:
        ValueError: for images that differ in shape, hold NaN inside the mask, or a mask with no pixel in an image.
    """
    check_images(made, real, mask)
    return _mean((made.double() - real.double()).abs(), mask)


def rmse(
    made: Float[Tensor, "n 1 *space"],
    real: Float[Tensor, "n 1 *space"],
    *,
    mask: Bool[Tensor, "n 1 *space"] | None = None,
) -> Float[Tensor, "n"]:
    """Root of the mean squared difference of each image over its masked pixels, in the image's unit, float64.

    Raises:
        ValueError: as `mae`.
    """
    check_images(made, real, mask)
    return _mean((made.double() - real.double()).square(), mask).sqrt()


def psnr(
    made: Float[Tensor, "n 1 *space"],
    real: Float[Tensor, "n 1 *space"],
    *,
    data_range: float,
    mask: Bool[Tensor, "n 1 *space"] | None = None,
) -> Float[Tensor, "n"]:
    """Peak signal-to-noise ratio of each image, 20 log10(data_range / RMSE), dB; infinite for equal images.

    Args:
        data_range: width of the scale, in the image's unit. Twice the range adds 6.02 dB: two papers' PSNR compare only
            on one range, one mask and one resolution.
        mask: pixels that count; empty margins outside it would lift the value.

    Raises:
        ValueError: as `mae`, and for a range that is not positive.
    """
    check_range(data_range)
    return 20 * (math.log10(data_range) - torch.log10(rmse(made, real, mask=mask)))


def check_range(data_range: float) -> None:
    """Raises ValueError for a data range that is not positive and finite."""
    if not 0 < data_range < math.inf:
        raise ValueError(f"data_range is {data_range}; wanted the positive width of the scale both images live on")


def check_images(
    made: Float[Tensor, "n 1 *space"],
    real: Float[Tensor, "n 1 *space"],
    mask: Bool[Tensor, "n 1 *space"] | None,
) -> None:
    """Raises ValueError unless both are pictures or volumes of one shape, finite where the mask is."""
    if made.shape != real.shape or made.ndim not in (4, 5) or made.shape[1] != 1 or not made.numel():
        raise ValueError(
            f"images are {tuple(made.shape)} and {tuple(real.shape)}; wanted one shape, n 1 h w or n 1 z y x"
        )
    if mask is not None and mask.shape != made.shape:
        raise ValueError(f"mask is {tuple(mask.shape)}, images {tuple(made.shape)}; wanted the same shape")
    for name, image in (("made", made), ("real", real)):
        finite = torch.isfinite(image) if mask is None else torch.isfinite(image) | ~mask
        if not bool(finite.all()):
            raise ValueError(f"{name} holds NaN or infinity where it counts; mask those pixels out")


def _mean(difference: Float[Tensor, "n 1 *space"], mask: Bool[Tensor, "n 1 *space"] | None) -> Float[Tensor, "n"]:
    if mask is None:
        return difference.flatten(1).mean(dim=1)
    counted = mask.flatten(1).sum(dim=1)
    if not bool((counted > 0).all()):
        raise ValueError(f"mask of image {int((counted == 0).nonzero()[0])} is empty; wanted at least one pixel")
    return torch.where(mask, difference, 0.0).flatten(1).sum(dim=1) / counted
