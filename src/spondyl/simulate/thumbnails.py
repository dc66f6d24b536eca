"""Small pictures of a case's images for the page of a cohort: each modality in a fixed grey scale."""

import io

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from spondyl.images import BackImage, Radiograph, Ultrasound, Volume
from spondyl.pairs import Image
from spondyl.report.films import grey
from spondyl.spine import SpineCurve

HEIGHT_PX = 176
CT_WINDOW_HU = (-250.0, 750.0)
CT_WIDTH_MM, CT_BEYOND_MM, CT_STEP_MM = 260.0, 40.0, 3.0
DEPTH_RANGE_MM = 250.0  # shown about the median of the back


def thumbnails(image: Image, spine: SpineCurve) -> list[bytes]:
    """PNG files of one image: one, or colour and depth of a photograph."""
    if isinstance(image, Volume):
        return [_png(_sized(coronal(image, spine)[None], (CT_STEP_MM, CT_STEP_MM)))]
    if isinstance(image, Radiograph):
        return [_png(_sized(_film(image)[None], image.view.pixel_spacing_mm))]
    if isinstance(image, Ultrasound):
        return [_png(_sized(image.echo[None], image.pixel_spacing_mm))]
    return [_png(_sized(image.rgb, (1.0, 1.0))), _png(_sized(_depth(image)[None], (1.0, 1.0)))]


def coronal(volume: Volume, spine: SpineCurve) -> Float[Tensor, "v u"]:
    """A coronal section that follows the spine from front to back, seen from behind; 0 to 1 over CT_WINDOW_HU."""
    centres = spine.centres_mm.double()
    high, low = float(centres[:, 2].max()) + CT_BEYOND_MM, float(centres[:, 2].min()) - CT_BEYOND_MM
    z = torch.arange(high, low, -CT_STEP_MM, dtype=torch.float64)
    x = float(centres[:, 0].mean()) + torch.arange(CT_WIDTH_MM / 2, -CT_WIDTH_MM / 2, -CT_STEP_MM, dtype=torch.float64)
    y = _between(z, centres.flip(0)[:, 2], centres.flip(0)[:, 1])
    points = torch.stack([a.expand(len(z), len(x)) for a in (x[None], y[:, None], z[:, None])], dim=-1)
    voxel_from_world = torch.linalg.inv(volume.world_from_voxel.double())
    voxels = points @ voxel_from_world[:3, :3].T + voxel_from_world[:3, 3]
    sizes = torch.tensor(list(reversed(volume.hu.shape)), dtype=torch.float64)
    grid = (voxels / (sizes - 1).clamp(min=1) * 2 - 1).to(torch.float32)
    shifted = volume.hu[None, None].to(torch.float32) + 1000  # outside of the scan is air
    hu = functional.grid_sample(shifted, grid[None, None], align_corners=True)[0, 0, 0] - 1000
    first, last = CT_WINDOW_HU
    return ((hu - first) / (last - first)).clamp(0, 1)


def _film(image: Radiograph) -> Float[Tensor, "v u"]:
    try:
        return grey(image).to(torch.float32) / 255
    except ValueError:  # no body in it
        return torch.zeros(image.view.shape_px)


def _depth(image: BackImage) -> Float[Tensor, "v u"]:
    seen = image.depth_mm > 0
    if not bool(seen.any()):
        return torch.zeros_like(image.depth_mm)
    middle = image.depth_mm[seen].median()
    return ((middle - image.depth_mm) / DEPTH_RANGE_MM + 0.5).clamp(0, 1) * seen


def _between(at: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Values at `at` of the polyline through (x, y), x rising; held beyond its ends."""
    if len(x) < 2:
        return y[0].expand(len(at))
    i = torch.searchsorted(x.contiguous(), at.contiguous()).clamp(1, len(x) - 1)
    share = ((at - x[i - 1]) / (x[i] - x[i - 1])).clamp(0, 1)
    return y[i - 1] + share * (y[i] - y[i - 1])


def _sized(picture: Float[Tensor, "c v u"], spacing: tuple[float, float]) -> UInt8[Tensor, "c h w"]:
    """The picture HEIGHT_PX high, with square pixels."""
    _, h, w = picture.shape
    width = max(1, round(HEIGHT_PX * w * spacing[1] / (h * spacing[0])))
    small = functional.interpolate(picture[None].to(torch.float32), size=(HEIGHT_PX, width), mode="area")[0]
    return (small * 255).round().clamp(0, 255).to(torch.uint8)


def _png(picture: UInt8[Tensor, "c h w"]) -> bytes:
    from PIL import Image as Picture

    file = io.BytesIO()
    plain = picture[0] if picture.shape[0] == 1 else picture.permute(1, 2, 0)
    Picture.fromarray(plain.contiguous().numpy()).save(file, "png", compress_level=9)
    return file.getvalue()
