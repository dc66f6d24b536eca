"""Pictures side by side with a line of text under each: what the figures of patients and sensors are put together with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

GAP_PX, TEXT_PX = 8, 34


@dataclass(frozen=True, eq=False)
class Panel:
    """A picture in [0, 1], [h, w] or [3, h, w], the spacing of its pixels (v, u), and the lines under it."""

    picture: torch.Tensor
    spacing: tuple[float, float]
    text: str


def contact_sheet(rows: Sequence[Sequence[Panel]], path: Path, height_px: int) -> None:
    """Every panel `height_px` high with square pixels, rows one under the other, as a JPEG."""
    drawn = [_row(row, height_px) for row in rows]
    width = max(row.width for row in drawn)
    sheet = Image.new("RGB", (width, sum(row.height for row in drawn)), "white")
    top = 0
    for row in drawn:
        sheet.paste(row, (0, top))
        top += row.height
    sheet.save(path, quality=90, optimize=True, progressive=True)
    print(f"{path.name}: {width} x {top} px, {path.stat().st_size / 1000:.0f} kB")


def _row(panels: Sequence[Panel], height_px: int) -> Image.Image:
    pictures = [_image(panel, height_px) for panel in panels]
    width = sum(p.width for p in pictures) + GAP_PX * (len(pictures) - 1)
    row = Image.new("RGB", (width, height_px + TEXT_PX + GAP_PX), "white")
    font, left = ImageFont.load_default(12), 0
    for panel, picture in zip(panels, pictures, strict=True):
        row.paste(picture, (left, 0))
        ImageDraw.Draw(row).multiline_text((left + 1, height_px + 3), panel.text, fill="black", font=font, spacing=2)
        left += picture.width + GAP_PX
    return row


def _image(panel: Panel, height_px: int) -> Image.Image:
    picture = panel.picture if panel.picture.ndim == 3 else panel.picture.expand(3, -1, -1)
    array = (picture.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    h, w = array.shape[:2]
    width = max(1, round(height_px * w * panel.spacing[1] / (h * panel.spacing[0])))
    return Image.fromarray(np.ascontiguousarray(array)).resize((width, height_px), Image.Resampling.LANCZOS)
