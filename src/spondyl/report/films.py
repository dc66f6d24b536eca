"""Radiographs as pictures for the page: the grey of a full-spine film, and the lines drawn on it."""

from collections.abc import Sequence

import torch
from jaxtyping import UInt8
from torch import Tensor

from spondyl.drawing import AngleMark, Canvas, furniture, overlay, seen_from
from spondyl.images import Radiograph
from spondyl.report.page import Film
from spondyl.report.pictures import png_bytes
from spondyl.spine import Corners
from spondyl.xray.detector import body_window, display, equalise

# The page's pictures are for looking: more rows than a screen has only make the file heavy.
MOST_ROWS_PX = 1400
# How the page shows a film [engineering: chosen by eye on abdominal and thoracolumbar CT, so that vertebrae stand out in
# a lateral of the pelvis as well as beside the lung]. The files keep the plain optical depth.
SLOW_MM, FLATTENING = 18.0, 0.75
DARKEST, BRIGHTEST = 0.12, 0.992


def film(
    name: str, radiograph: Radiograph, canvas: Canvas, corners: Corners | None, marks: Sequence[AngleMark]
) -> Film:
    """One radiograph for the page, with the spine's endplates, its levels and the angles where there are corners.

    Raises:
        ValueError: where no pixel of the radiograph shows a body.
    """
    words = seen_from(radiograph.view)
    return Film(
        name=name,
        png=png_bytes(grey(radiograph)),
        size_mm=(canvas.sheet.width_mm, canvas.sheet.height_mm),
        drawing="" if corners is None else overlay(corners, canvas, marks),
        furniture=furniture(canvas, "at the patient's centre" if corners is None else "at the spine"),
        caption=words,
        coronal_from_behind=words == "seen from behind",
    )


def grey(radiograph: Radiograph) -> UInt8[Tensor, "h w"]:
    """The radiograph as a reader sees it: slow variations compressed, sigmoid window over the body, bone bright, 0-255.

    At most MOST_ROWS_PX rows; the columns shrink with them.
    """
    shown = equalise(radiograph.optical_depth, radiograph.view.pixel_spacing_mm, sigma_mm=SLOW_MM, gain=FLATTENING)
    bright = display(shown, body_window(shown, low=DARKEST, high=BRIGHTEST))
    h, w = bright.shape
    if h > MOST_ROWS_PX:
        size = (MOST_ROWS_PX, max(1, round(w * MOST_ROWS_PX / h)))
        bright = torch.nn.functional.adaptive_avg_pool2d(bright[None, None], size)[0, 0]
    return (bright * 255).round().to(torch.uint8)
