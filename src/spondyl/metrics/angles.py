"""Errors of Cobb angles as the field reports them: AASCE's SMAPE, the circular MAE, severity classes."""

import torch
from jaxtyping import Float, Integer
from torch import Tensor

# Degrees. Below 10 no scoliosis; to 25 observed; to 40 braced; from 40 on surgery is discussed: the usual classes.
SEVERITY_BOUNDS_DEG = (10.0, 25.0, 40.0)


def smape_percent(predicted_deg: Float[Tensor, "n a"], reference_deg: Float[Tensor, "n a"]) -> Float[Tensor, "n"]:
    """SMAPE of each image as the AASCE 2019 challenge scores it, percent in [0, 100]; the score is the mean.

    100 sum_j |x_j - y_j| / sum_j |x_j + y_j| over the a = 3 angles of one image (PT, MT, TL/L). There is no factor 2, and
    sums are taken before the ratio: general-purpose functions of this name give other numbers. It grows without measure
    for straight spines, so it is never the only number, and only scores on the challenge's own 128 test images compare
    with the challenge's 21.71.

    Raises:
        ValueError: for shapes that differ, angles that are negative or not finite, an image whose angles are all zero.
    """
    x, y = _angles(predicted_deg, reference_deg)
    if float(min(x.min(), y.min())) < 0:
        raise ValueError("an angle is negative; SMAPE wants magnitudes of Cobb angles in degrees")
    total = (x + y).abs().sum(dim=1)
    if bool((total == 0).any()):
        raise ValueError(
            f"image {int((total == 0).nonzero()[0])} has only angles of 0; SMAPE is 0/0 there, use the MAE"
        )
    return 100 * (x - y).abs().sum(dim=1) / total


def cmae_deg(predicted_deg: Float[Tensor, "n a"], reference_deg: Float[Tensor, "n a"]) -> Float[Tensor, "n"]:
    """Circular mean absolute error of each image, degrees; the score is the mean.

    The circular mean of the image's absolute errors, atan2(mean sin |d|, mean cos |d|), as in MVC-Net (Wu et al., Medical
    Image Analysis 48 (2018) 1-11) and the AASCE papers after it. Below about 20 degrees it is the mean absolute error
    to a few hundredths. Papers differ in whether they average over images or over everything at once; they agree where
    errors are small.

    Raises:
        ValueError: for shapes that differ or angles that are not finite.
    """
    x, y = _angles(predicted_deg, reference_deg)
    away = torch.deg2rad((x - y).abs())
    return torch.rad2deg(torch.atan2(away.sin().mean(dim=1), away.cos().mean(dim=1)))


def severity_class(
    angle_deg: Float[Tensor, "n"], bounds_deg: tuple[float, ...] = SEVERITY_BOUNDS_DEG
) -> Integer[Tensor, "n"]:
    """Class 0, 1, 2, ... of each Cobb angle; an angle on a bound belongs to the class above it.

    Raises:
        ValueError: for bounds that do not ascend, angles that are negative or not finite.
    """
    if list(bounds_deg) != sorted(set(bounds_deg)) or not bounds_deg:
        raise ValueError(f"bounds_deg is {bounds_deg}; wanted ascending angles such as {SEVERITY_BOUNDS_DEG}")
    if not bool(torch.isfinite(angle_deg).all()) or bool((angle_deg < 0).any()):
        raise ValueError("an angle is negative, NaN or infinite; severity wants magnitudes of Cobb angles in degrees")
    bounds = torch.tensor(bounds_deg, dtype=angle_deg.dtype, device=angle_deg.device)
    return torch.bucketize(angle_deg, bounds, right=True)


def _angles(
    predicted_deg: Float[Tensor, "n a"], reference_deg: Float[Tensor, "n a"]
) -> tuple[Float[Tensor, "n a"], Float[Tensor, "n a"]]:
    if predicted_deg.shape != reference_deg.shape or predicted_deg.ndim != 2 or not predicted_deg.numel():
        raise ValueError(
            f"angles are {tuple(predicted_deg.shape)} and {tuple(reference_deg.shape)}; wanted n x a of both"
        )
    if not bool(torch.isfinite(predicted_deg).all() & torch.isfinite(reference_deg).all()):
        raise ValueError("an angle is NaN or infinite; count failed images, then leave them out of both")
    return predicted_deg.double().cpu(), reference_deg.double().cpu()
