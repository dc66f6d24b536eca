"""A film as one PNG with what was found drawn on it: endplates, level names, the lines of each angle and its number."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from spondyl.drawing import Endplate
from spondyl.report.pictures import png_bytes
from spondyl.spine import Corners

PLATE, LINE, INK = (88, 214, 230), (255, 210, 63), (0, 0, 0)
LONGER = 1.1  # chords that an angle's line goes on at both ends


@dataclass(frozen=True)
class Drawn:
    """An angle to draw: its two endplates, and lines of text."""

    upper: Endplate
    lower: Endplate
    text: tuple[str, ...]


def overlay_png(picture: UInt8[Tensor, "h w"], corners: Corners, angles: Sequence[Drawn], *, names: bool) -> bytes:
    """The PNG file in colour.

    Args:
        corners: in the picture's pixels; a line with a corner that is not visible is left out.
        names: whether levels are written.
    """
    from PIL import Image, ImageDraw, ImageFont

    h, w = picture.shape
    image = Image.fromarray(picture.cpu().contiguous().numpy()).convert("RGB")
    draw = ImageDraw.Draw(image)
    size = max(9, round(0.016 * h))
    font = ImageFont.load_default(size)
    thick = max(1, round(h / 700))
    ends = corners.corners_px.double().reshape(-1, 2, 2, 2)
    for i, level in enumerate(corners.levels):
        seen = [plate for plate in ends[i] if bool(torch.isfinite(plate).all())]
        for plate in seen:
            draw.line(_line(plate), fill=PLATE, width=thick)
        if names and seen:
            places = torch.cat(seen)
            at = (float(places[:, 1].min()) - 0.4 * size, float(places[:, 0].mean()))
            draw.text(at, level, fill=PLATE, font=font, anchor="rm", stroke_width=1, stroke_fill=INK)
    for angle in angles:
        plates = [_plate(end, corners, ends) for end in (angle.upper, angle.lower)]
        if plates[0] is None or plates[1] is None:
            continue
        for plate in plates:
            if plate is not None:
                draw.line(_line(_longer(plate)), fill=LINE, width=thick + 1)
        both = torch.cat([p for p in plates if p is not None])
        wide = float(both[:, 1].max() - both[:, 1].min())
        left = float(both[:, 1].mean()) > w / 2
        u = float(both[:, 1].min()) - 0.7 * wide if left else float(both[:, 1].max()) + 0.7 * wide
        at = (min(max(u, 4.0), w - 4.0), float(both[:, 0].mean()))
        if angle.text:
            words = "\n".join(angle.text)
            draw.text(
                at,
                words,
                fill=LINE,
                font=font,
                anchor="rm" if left and u > 6 * size else "lm",
                stroke_width=2,
                stroke_fill=INK,
            )
    return png_bytes(_tensor(image.tobytes(), h, w))


def _tensor(data: bytes, h: int, w: int) -> UInt8[Tensor, "3 h w"]:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).reshape(h, w, 3).permute(2, 0, 1)


def _plate(end: Endplate, corners: Corners, ends: Tensor) -> Tensor | None:
    level, which = end
    if level not in corners.levels:
        return None
    plate: Tensor = ends[corners.levels.index(level), 0 if which == "superior" else 1]
    return plate if bool(torch.isfinite(plate).all()) else None


def _longer(plate: Tensor) -> Tensor:
    step = plate[1] - plate[0]
    return torch.stack([plate[0] - LONGER * step, plate[1] + LONGER * step])


def _line(plate: Tensor) -> list[tuple[float, float]]:
    return [(u, v) for v, u in plate.tolist()]
