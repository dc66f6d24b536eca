"""Small pictures of a case's images for the page of a cohort: each modality in a fixed grey scale."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from spondyl.images import Layers, Radiograph, Ultrasound, Volume
from spondyl.pairs import Image
from spondyl.report.backs import false_colour
from spondyl.report.films import grey
from spondyl.report.pictures import png_bytes
from spondyl.report.sections import SIZE_MM, along_spine, section_view, windowed
from spondyl.spine import SpineCurve

HEIGHT_PX = 176
CT_STEP_MM = 3.0


def thumbnails(image: Image, spine: SpineCurve) -> list[bytes]:
    """PNG files of one image: one, or colour and depth of a photograph."""
    if isinstance(image, Volume):
        view = section_view(spine, 0.0, SIZE_MM[0], CT_STEP_MM)
        section = windowed(along_spine(image, spine, view)).float() / 255
        return [png_bytes(_sized(section[None], (CT_STEP_MM, CT_STEP_MM)))]
    if isinstance(image, Layers):
        image = Radiograph(image.optical_depth.sum(0), image.view)
    if isinstance(image, Radiograph):
        return [png_bytes(_sized(_film(image)[None], image.view.pixel_spacing_mm))]
    if isinstance(image, Ultrasound):
        return [png_bytes(_sized(image.echo[None], image.pixel_spacing_mm))]
    return [png_bytes(_sized(image.rgb, (1.0, 1.0))), png_bytes(_sized(false_colour(image), (1.0, 1.0)))]


def _film(image: Radiograph) -> Float[Tensor, "v u"]:
    try:
        return grey(image).to(torch.float32) / 255
    except ValueError:  # no body in it
        return torch.zeros(image.view.shape_px)


def _sized(
    picture: Float[Tensor, "c v u"], spacing: tuple[float, float]
) -> UInt8[Tensor, "h w"] | UInt8[Tensor, "3 h w"]:
    """The picture HEIGHT_PX high, with square pixels."""
    _, h, w = picture.shape
    width = max(1, round(HEIGHT_PX * w * spacing[1] / (h * spacing[0])))
    small = functional.interpolate(picture[None].to(torch.float32), size=(HEIGHT_PX, width), mode="area")[0]
    small = (small * 255).round().clamp(0, 255).to(torch.uint8)
    return small[0] if len(small) == 1 else small
