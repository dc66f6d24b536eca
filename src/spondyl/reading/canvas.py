"""A picture on a reader's canvas: resampled so that vertebrae have the size it knows, and freed of exposure and display."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from spondyl.reading.marks import Affine
from spondyl.reading.net import MULTIPLE

SIGMAS_PX = (5.0, 20.0)  # neighbourhoods of the two contrast-normalised channels; a vertebra is about 22 pixels tall
FLOOR = 0.05  # of the whole picture's SD: contrast below it is not amplified
LARGEST = 4.0  # in SDs


def placed(
    picture: Float[Tensor, "h w"],
    from_canvas: Affine,
    size: tuple[int, int],
    shift: Float[Tensor, "2 a b"] | None = None,
) -> tuple[Float[Tensor, "a b"], Float[Tensor, "a b"]]:
    """The picture on a canvas, and where the canvas shows it (1) or lies beside it (0).

    Args:
        from_canvas: canvas pixel (v, u) -> picture pixel.
        size: rows and columns of the canvas.
        shift: added to the place in the picture, its pixels.
    """
    h, w = picture.shape
    device = picture.device
    v, u = torch.meshgrid(*(torch.arange(n, dtype=torch.float32, device=device) for n in size), indexing="ij")
    at = from_canvas(torch.stack([v, u], dim=-1))
    if shift is not None:
        at = at + shift.permute(1, 2, 0)
    step = torch.linalg.norm(from_canvas.matrix.to(device), dim=0)  # picture pixels a canvas pixel, along v and u
    smooth = blurred(picture[None], [0.5 * math.sqrt(max(float(s) ** 2 - 1, 0.0)) for s in step])[0]
    seen = ((at >= -0.5) & (at <= at.new_tensor([h - 0.5, w - 0.5]))).all(-1)
    grid = torch.stack([(2 * at[..., 1] + 1) / w - 1, (2 * at[..., 0] + 1) / h - 1], dim=-1)
    out = functional.grid_sample(smooth[None, None], grid[None], padding_mode="border", align_corners=False)[0, 0]
    return out, seen.to(out.dtype)


def normalised(picture: Float[Tensor, "h w"], seen: Float[Tensor, "h w"]) -> Float[Tensor, "2 h w"]:
    """Difference from the local mean in local SDs, over two neighbourhoods; 0 where nothing is seen.

    It does not change when the picture is multiplied or shifted, and little under any smooth rising curve of display.
    """
    weight = seen.sum().clamp_min(1)
    middle = (picture * seen).sum() / weight
    plain = (picture - middle) * seen
    floor = FLOOR * (plain.square().sum() / weight).sqrt() + 1e-9
    out = []
    for sigma in SIGMAS_PX:
        fields = torch.stack([seen, plain, plain.square()])
        share, mean, square = _wide(fields, sigma)
        share = share.clamp_min(1e-3)
        mean, square = mean / share, square / share
        sd = (square - mean.square()).clamp_min(0).sqrt()
        out.append(((plain - mean) / (sd + floor)).clamp(-LARGEST, LARGEST) * seen)
    return torch.stack(out)


def _wide(fields: Float[Tensor, "c h w"], sigma: float) -> Float[Tensor, "c h w"]:
    """A Gaussian blur; a wide one is made on a coarser grid."""
    if sigma < 10:
        return blurred(fields, [sigma, sigma])
    small = functional.avg_pool2d(fields[None], 4, ceil_mode=True, count_include_pad=False)[0]
    small = blurred(small, [sigma / 4, sigma / 4])
    return functional.interpolate(small[None], size=fields.shape[-2:], mode="bilinear")[0]


def blurred(fields: Float[Tensor, "c h w"], sigmas_px: list[float]) -> Float[Tensor, "c h w"]:
    """Gaussian blur along rows and columns, zeros outside for fields, edges continued for one picture."""
    out = fields[:, None]
    for dim, sigma in enumerate(sigmas_px):
        if sigma < 0.2:
            continue
        reach = max(1, math.ceil(2.5 * sigma))
        k = torch.arange(-reach, reach + 1, dtype=torch.float32, device=fields.device)
        kernel = torch.exp(-0.5 * (k / sigma) ** 2)
        kernel = kernel / kernel.sum()
        pad = (0, 0, reach, reach) if dim == 0 else (reach, reach, 0, 0)
        shape = (1, 1, -1, 1) if dim == 0 else (1, 1, 1, -1)
        mode = "replicate" if len(fields) == 1 else "constant"
        out = functional.conv2d(functional.pad(out, pad, mode=mode), kernel.reshape(shape))
    return out[:, 0]


def fitting(shape: tuple[int, int], pixel: tuple[float, float]) -> tuple[Affine, tuple[int, int]]:
    """The way from canvas to picture, and the size of the canvas that shows all of it, `pixel` (v, u) of its pixels to one."""
    size = [max(MULTIPLE, math.ceil(n / p / MULTIPLE) * MULTIPLE) for n, p in zip(shape, pixel, strict=True)]
    scale = torch.tensor(pixel, dtype=torch.float32)
    middle = (torch.tensor(shape, dtype=torch.float32) - 1) / 2
    canvas = (torch.tensor(size, dtype=torch.float32) - 1) / 2
    return Affine(torch.diag(scale), middle - scale * canvas), (size[0], size[1])
