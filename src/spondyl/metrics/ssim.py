"""Structural similarity: SSIM with a named window and MS-SSIM, of pictures and volumes, inside a mask.

Which pixels count: a window counts where it lies wholly inside the image and wholly inside the mask. So nothing outside
the mask can change the value, an image without a mask is one whose mask is all true, and the mask loses half a window at
its edge. A mask thinner than the window is refused, not padded.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from spondyl.metrics.image import check_images, check_range

K1, K2 = 0.01, 0.03  # Wang et al. 2004, section III.B


@dataclass(frozen=True)
class Window:
    """The weights under which local means and variances are taken, the same along every axis.

    Args:
        name: to be told beside every value.
        size_px: odd width in pixels or voxels.
        sigma_px: of the Gaussian; None for equal weights.
    """

    name: str
    size_px: int
    sigma_px: float | None

    def __post_init__(self) -> None:
        if self.size_px < 3 or self.size_px % 2 == 0 or (self.sigma_px is not None and not self.sigma_px > 0):
            raise ValueError(
                f"window {self.name} has size {self.size_px} and sigma {self.sigma_px}; wanted an odd size from 3, sigma > 0"
            )

    def weights(self) -> Float[Tensor, "w"]:
        """Weights along one axis, float64, of sum 1."""
        x = torch.arange(self.size_px, dtype=torch.float64) - self.size_px // 2
        w = torch.ones_like(x) if self.sigma_px is None else torch.exp(-0.5 * (x / self.sigma_px).square())
        return w / w.sum()


GAUSSIAN_11 = Window("gaussian 11, sigma 1.5", 11, 1.5)  # Wang et al. 2004, the default of nearly every paper
UNIFORM_7 = Window("uniform 7", 7, None)  # scikit-image's default; other values, so name it
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, section 3.2, finest scale first


def ssim(
    made: Float[Tensor, "n 1 *space"],
    real: Float[Tensor, "n 1 *space"],
    *,
    data_range: float,
    window: Window = GAUSSIAN_11,
    mask: Bool[Tensor, "n 1 *space"] | None = None,
) -> Float[Tensor, "n"]:
    """Mean structural similarity of each image, in [-1, 1], 1 for equal images; float64, differentiable.

    Z. Wang et al., Image quality assessment: from error visibility to structural similarity, IEEE Trans. Image Processing
    13 (2004) 600-612, eq. 13, K1 = 0.01, K2 = 0.03, variances with the window's own weights (no n - 1). In volumes the
    window is a cube.

    Args:
        data_range: width of the scale both images live on; see `image`.
        mask: pixels that count; a window counts where all of it is inside.

    Raises:
        ValueError: for images or masks that hold no whole window, differ in shape or hold NaN; a range not positive.
    """
    check_range(data_range)
    check_images(made, real, mask)
    values = []
    for i, (a, b, m) in enumerate(_images(made, real, mask)):
        inside = _whole_windows(a, m, window, i)
        values.append(_mean_inside(_maps(a, b, window, data_range)[0], inside))
    return torch.stack(values)


def ms_ssim(
    made: Float[Tensor, "n 1 *space"],
    real: Float[Tensor, "n 1 *space"],
    *,
    data_range: float,
    window: Window = GAUSSIAN_11,
    weights: tuple[float, ...] = MS_SSIM_WEIGHTS,
    mask: Bool[Tensor, "n 1 *space"] | None = None,
) -> Float[Tensor, "n"]:
    """Multi-scale SSIM of each image, in [0, 1]; float64.

    Z. Wang, E. P. Simoncelli, A. C. Bovik, Multi-scale structural similarity, Asilomar 2003, eq. 7: contrast and structure
    at every scale, luminance at the coarsest. Scales are made by averaging 2 x 2 (x 2) pixels, an odd last row left out; a
    coarse pixel is masked where all of its fine ones are. A mean contrast-structure below zero counts as zero.

    Args:
        weights: exponent of each scale, finest first. Five scales and 11 pixels want 176 pixels along each side; for
            smaller images give fewer weights, and say so: the value is another.

    Raises:
        ValueError: as `ssim`, and where the coarsest scale holds no whole window.
    """
    check_range(data_range)
    check_images(made, real, mask)
    if not weights or min(weights) < 0:
        raise ValueError(f"weights are {weights}; wanted one exponent of at least zero a scale")
    values = []
    for i, (a, b, m) in enumerate(_images(made, real, mask)):
        parts = []
        for scale in range(len(weights)):
            if scale:
                a, b, m = _halve(a), _halve(b), None if m is None else _all_of(m)
            inside = _whole_windows(a, m, window, i)
            full, structure = _maps(a, b, window, data_range)
            parts.append(_mean_inside(full if scale == len(weights) - 1 else structure, inside))
        exponents = torch.tensor(weights, dtype=torch.float64, device=made.device)
        values.append(torch.stack(parts).clamp(min=0).pow(exponents).prod())
    return torch.stack(values)


def _images(
    made: Float[Tensor, "n 1 *space"], real: Float[Tensor, "n 1 *space"], mask: Bool[Tensor, "n 1 *space"] | None
) -> list[tuple[Float[Tensor, "1 1 *space"], Float[Tensor, "1 1 *space"], Bool[Tensor, "1 1 *space"] | None]]:
    """Image by image, for memory; NaN outside the mask taken away, where no counted window sees it."""
    if mask is None:
        return [(a[None].double(), b[None].double(), None) for a, b in zip(made, real, strict=True)]
    return [
        (torch.where(m, a, 0.0)[None].double(), torch.where(m, b, 0.0)[None].double(), m[None])
        for a, b, m in zip(made, real, mask, strict=True)
    ]


def _maps(
    a: Float[Tensor, "1 1 *space"], b: Float[Tensor, "1 1 *space"], window: Window, data_range: float
) -> tuple[Float[Tensor, "1 1 *inner"], Float[Tensor, "1 1 *inner"]]:
    """The SSIM map and its contrast-structure factor at the centre of every whole window."""
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    weights = window.weights().to(a.device)
    mean_a, mean_b = _blur(a, weights), _blur(b, weights)
    var_a = _blur(a * a, weights) - mean_a.square()
    var_b = _blur(b * b, weights) - mean_b.square()
    cov = _blur(a * b, weights) - mean_a * mean_b
    structure = (2 * cov + c2) / (var_a + var_b + c2)
    return (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1) * structure, structure


def _blur(image: Float[Tensor, "1 1 *space"], weights: Float[Tensor, "w"]) -> Float[Tensor, "1 1 *inner"]:
    conv = functional.conv2d if image.ndim == 4 else functional.conv3d
    for axis in range(2, image.ndim):
        shape = [1] * image.ndim
        shape[axis] = len(weights)
        image = conv(image, weights.reshape(shape))
    return image


def _whole_windows(
    image: Float[Tensor, "1 1 *space"], mask: Bool[Tensor, "1 1 *space"] | None, window: Window, index: int
) -> Bool[Tensor, "1 1 *inner"] | None:
    """Which windows lie wholly in the mask; None for all of them."""
    if min(image.shape[2:]) < window.size_px:
        raise ValueError(
            f"image {index} is {tuple(image.shape[2:])} pixels at its coarsest scale, smaller than the window "
            f"{window.name}; take a smaller window or fewer scales"
        )
    if mask is None:
        return None
    outside = mask.logical_not().double()
    pool = functional.max_pool2d if image.ndim == 4 else functional.max_pool3d
    inside = pool(outside, window.size_px, stride=1) == 0
    if not bool(inside.any()):
        raise ValueError(
            f"the mask of image {index} holds no whole window {window.name}; widen it or take a smaller one"
        )
    return inside


def _mean_inside(values: Float[Tensor, "1 1 *inner"], inside: Bool[Tensor, "1 1 *inner"] | None) -> Float[Tensor, ""]:
    return values.mean() if inside is None else values[inside].mean()


def _halve(image: Float[Tensor, "1 1 *space"]) -> Float[Tensor, "1 1 *half"]:
    return functional.avg_pool2d(image, 2) if image.ndim == 4 else functional.avg_pool3d(image, 2)


def _all_of(mask: Bool[Tensor, "1 1 *space"]) -> Bool[Tensor, "1 1 *half"]:
    outside = mask.logical_not().double()
    return (functional.max_pool2d(outside, 2) if mask.ndim == 4 else functional.max_pool3d(outside, 2)) == 0
