"""Held-out cases as small pictures: source, answer, truth. Answer and truth share one grey scale, which the truth sets."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from PIL import Image as Pillow
from torch import Tensor
from torch.nn import functional

from spondyl.images import BackImage, Layers, Radiograph, Ultrasound, Volume
from spondyl.pairs import Image, Pair
from spondyl.sim.seeds import generator_of
from spondyl.spine import Corners, UltrasoundMarks
from spondyl.system import BatchT, System, Word

HEIGHT_PX = 224
# The grey scale of a film or CT runs between these percentiles of the truth: metal and the open field are few pixels.
PERCENTILES = (0.02, 0.995)
MOST_COUNTED = 2**20  # pixels; torch.quantile takes no more than 2^24


@dataclass(frozen=True)
class Row:
    """One case: its caption and its pictures (name, address that holds a PNG)."""

    caption: str
    pictures: tuple[tuple[str, str], ...]


def rows(system: System[BatchT], pairs: Sequence[Pair], *, seed: int) -> list[Row]:
    """The pictures of some cases. The same noise every time, so that only the weights differ."""
    return [_row(system, pair, number, seed) for number, pair in enumerate(pairs)]


def _row(system: System[BatchT], pair: Pair, number: int, seed: int) -> Row:
    view = pair.target.view if isinstance(pair.target, Radiograph) else None
    (answer,) = system.translate(pair.source, view, generator=generator_of(seed, "pictures", number))
    caption = f"case {number + 1}"
    if isinstance(answer, Corners | UltrasoundMarks):
        return Row(
            caption, (("source", _address(grey(pair.source))), ("answer", _address(dotted(pair.source, answer))))
        )
    if isinstance(pair.target, UltrasoundMarks):
        raise ValueError(f"{system.name} answers marks with a {type(answer).__name__}; wanted marks")
    scale = scale_of(pair.target)
    pictures = (("source", grey(pair.source)), ("answer", grey(answer, scale)), ("truth", grey(pair.target, scale)))
    return Row(caption, tuple((name, _address(picture)) for name, picture in pictures))


def scale_of(image: Image) -> tuple[float, float]:
    """(black, white) of an image in its own unit."""
    if isinstance(image, Ultrasound | BackImage):
        return (0.0, 1.0)
    values = (image.hu if isinstance(image, Volume) else image.optical_depth).detach().float().flatten().cpu()
    values = values[:: max(1, len(values) // MOST_COUNTED)]
    low, high = torch.quantile(values, torch.tensor(PERCENTILES)).tolist()
    return (low, max(high, low + 1e-3))


def grey(image: Word, scale: tuple[float, float] | None = None) -> Float[Tensor, "c v u"]:
    """One picture in [0, 1] with 1 or 3 channels: of a CT the middle coronal and sagittal sections, of a batch the first."""
    if isinstance(image, Corners | UltrasoundMarks):
        raise ValueError("corners are drawn on the image that they belong to: use dotted")
    low, high = scale_of(image) if scale is None else scale
    if isinstance(image, BackImage):
        return image.rgb.reshape(-1, *image.rgb.shape[-3:])[0].clamp(0, 1)
    if isinstance(image, Volume):
        hu = image.hu.flip(0)  # z grows upwards
        flat = torch.cat([hu[:, hu.shape[1] // 2], hu[:, :, hu.shape[2] // 2]], dim=1)
    elif isinstance(image, Radiograph):
        flat = image.optical_depth.reshape(-1, *image.optical_depth.shape[-2:])[0]
    elif isinstance(image, Layers):
        flat = image.optical_depth.sum(0)
    else:
        flat = image.echo.reshape(-1, *image.echo.shape[-2:])[0]
    return ((flat.float() - low) / (high - low)).clamp(0, 1)[None]


def dotted(image: Image, found: Corners | UltrasoundMarks) -> Float[Tensor, "3 v u"]:
    """The image with a bright dot at every corner or landmark."""
    picture = grey(image).cpu().expand(3, -1, -1).clone() * 0.8
    radius = max(1, round(picture.shape[1] / 200))
    parts = (
        (found.corners_px,) if isinstance(found, Corners) else (found.transverse_px, found.laminae_px, found.spinous_px)
    )
    points = torch.cat([part.reshape(-1, 2) for part in parts])
    for v, u in points[torch.isfinite(points).all(dim=1)].round().long().tolist():
        if 0 <= v < picture.shape[1] and 0 <= u < picture.shape[2]:
            dot = picture[:, max(0, v - radius) : v + radius + 1, max(0, u - radius) : u + radius + 1]
            dot[:] = torch.tensor([1.0, 0.82, 0.25])[:, None, None]
    return picture


def _address(picture: Float[Tensor, "c v u"]) -> str:
    """The picture as a PNG of HEIGHT_PX rows inside an address."""
    width = max(1, round(HEIGHT_PX * picture.shape[2] / picture.shape[1]))
    small = functional.interpolate(picture[None].cpu(), size=(HEIGHT_PX, width), mode="area")[0]
    pixels = (small * 255).round().to(torch.uint8).permute(1, 2, 0).squeeze(-1).numpy()
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
