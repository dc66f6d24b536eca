"""Scores of made radiographs beside the true ones, all on one fixed scale, in the body and in the whole frame."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from spondyl.evaluate.quantities import Reading
from spondyl.images import Radiograph
from spondyl.metrics.image import psnr
from spondyl.metrics.ssim import GAUSSIAN_11, MS_SSIM_WEIGHTS, ms_ssim, ssim
from spondyl.pairs import Image
from spondyl.system import Word
from spondyl.xray.detector import body

# Width of the scale, optical depth: open field is 0, the pelvis of a large adult seen from the side about 8. Never an image's own.
OPTICAL_DEPTH_RANGE = 8.0
FILM_SCORES = ("psnr_body", "psnr", "ssim_body", "ssim", "ms_ssim")


def film_of(image: Word | Image) -> Radiograph:
    """The radiograph of an image. Raises ValueError for another kind: nothing else has a fixed scale here yet."""
    if not isinstance(image, Radiograph):
        raise ValueError(f"scores are made of radiographs, corners and marks, not of a {type(image).__name__}")
    return image


def read_film(made: Radiograph | None, real: Radiograph) -> tuple[Reading, ...]:
    """All scores of a made radiograph. A score that the picture is too small for is left out.

    Raises:
        ValueError: where both have other shapes.
    """
    right = real.optical_depth[None, None].float()
    inside: Bool[Tensor, "1 1 h w"] = body(right)
    small = min(right.shape[2:])
    fits = {
        "psnr_body": bool(inside.any()), "psnr": True, "ssim_body": _holds_window(inside),
        "ssim": small >= GAUSSIAN_11.size_px, "ms_ssim": small >= GAUSSIAN_11.size_px * 2 ** (len(MS_SSIM_WEIGHTS) - 1),
    }  # fmt: skip
    names = [name for name in FILM_SCORES if fits[name]]
    if made is None:
        return tuple(Reading(name, "", None, None) for name in names)
    got = made.optical_depth[None, None].float()
    return tuple(Reading(name, "", None, _score(name, got, right, inside)) for name in names)


def _score(
    name: str, made: Float[Tensor, "1 1 h w"], real: Float[Tensor, "1 1 h w"], inside: Bool[Tensor, "1 1 h w"]
) -> float:
    mask = inside if name.endswith("_body") else None
    if name.startswith("psnr"):
        # 150 dB stands for equal images: an infinity has no mean
        return min(float(psnr(made, real, data_range=OPTICAL_DEPTH_RANGE, mask=mask)), 150.0)
    if name == "ms_ssim":
        return float(ms_ssim(made, real, data_range=OPTICAL_DEPTH_RANGE))
    return float(ssim(made, real, data_range=OPTICAL_DEPTH_RANGE, mask=mask))


def _holds_window(inside: Bool[Tensor, "1 1 h w"]) -> bool:
    size = GAUSSIAN_11.size_px
    if min(inside.shape[2:]) < size:
        return False
    outside = torch.nn.functional.max_pool2d((~inside).float(), size, stride=1)
    return bool((outside == 0).any())
