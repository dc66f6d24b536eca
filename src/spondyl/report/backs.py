"""Ultrasound images and photographs of the back as films of the page, with what a reader draws on them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.drawing import Sheet, construction, dots, letters, path, scale
from spondyl.images import BackImage, Ultrasound
from spondyl.report.page import Film
from spondyl.report.pictures import eight_bit, png_bytes
from spondyl.spine import Cobb

SIDES = ("L", "R")  # seen from behind
# The range of depth that a false-colour picture spans, about the back's median, and its contour lines, mm.
DEPTH_RANGE_MM, CONTOUR_MM = 260.0, 10.0
# From far to near; dark ends, so that the outline of the body stands out.
RAMP = torch.tensor(
    [[0.19, 0.07, 0.23], [0.16, 0.44, 0.86], [0.13, 0.78, 0.66], [0.85, 0.87, 0.25], [0.89, 0.29, 0.13]]
)


@dataclass(frozen=True, eq=False)
class DrawnCurve:
    """One ultrasound curve angle and the two lines (pixels, left end first) that it lies between."""

    angle: Cobb
    upper_px: Float[Tensor, "2 2"]
    lower_px: Float[Tensor, "2 2"]


def ultrasound_film(
    name: str,
    image: Ultrasound,
    curves: Sequence[DrawnCurve] = (),
    lines_px: Float[Tensor, "l 2 2"] | None = None,
    spinous_px: Float[Tensor, "n 2"] | None = None,
) -> Film:
    """A coronal ultrasound image with the line of every arch, the spinous profile and the angles of its curves.

    Args:
        lines_px, spinous_px: (v, u), as `sim.ultrasound_marks` gives them; what lies outside of the image is left out.
    """
    h, w = image.echo.shape
    dv, du = image.pixel_spacing_mm
    sheet = Sheet(w * du, h * dv)
    drawn = []
    if lines_px is not None:
        drawn.append(_group("endplates", [path(_mm(line, image), "endplate") for line in lines_px if _in(line, image)]))
    if spinous_px is not None:
        inside = spinous_px[[_in(point[None], image) for point in spinous_px]]
        drawn.append(_group("levels", [path(_mm(inside, image), "square")] if len(inside) > 1 else []))
    made = [
        construction(_mm(c.upper_px, image), _mm(c.lower_px, image), _text(c.angle), sheet)
        for c in curves
        if _in(c.upper_px, image) and _in(c.lower_px, image)
    ]
    drawn.append(_group("angles", made))
    return Film(
        name=name,
        png=png_bytes(eight_bit(image.echo)),
        size_mm=(sheet.width_mm, sheet.height_mm),
        drawing="".join(drawn),
        furniture=letters(sheet, SIDES) + scale(sheet, 50.0, "at the arches"),
        caption="coronal volume projection, seen from behind",
    )


def back_films(
    image: BackImage, points_mm: Float[Tensor, "n 3"], names: Sequence[str], profile_mm: Float[Tensor, "m 3"]
) -> tuple[Film, Film]:
    """Colour and depth of a photograph, each with named points of the back and the line of the spinous processes.

    Args:
        points_mm, profile_mm: world mm; they are drawn where the camera sees their place, even if something hides them.
    """
    h, w = image.depth_mm.shape
    mm = float(_near(image).median()) / float(image.intrinsics[0, 0])  # of one pixel at the back
    sheet = Sheet(w * mm, h * mm)
    lines = path(pixels_of(image, profile_mm) * mm, "square") + dots(sheet, pixels_of(image, points_mm) * mm, names)
    return tuple(  # type: ignore[return-value]
        Film(
            name=name,
            png=png_bytes(picture),
            size_mm=(sheet.width_mm, sheet.height_mm),
            drawing=f'<g class="angles">{lines}</g>',
            furniture=letters(sheet, SIDES) + scale(sheet, 50.0, "at the back"),
            caption=words,
        )
        for name, picture, words in (
            ("colour", eight_bit(image.rgb), "photograph of the back"),
            ("depth", eight_bit(false_colour(image)), f"distance from the camera, a contour every {CONTOUR_MM:.0f} mm"),
        )
    )


def pixels_of(image: BackImage, points_mm: Float[Tensor, "n 3"]) -> Float[Tensor, "n 2"]:
    """Where world points lie in the photograph, (x, y) with the outer corner of the first pixel at the origin."""
    world_from_camera, intrinsics = image.world_from_camera.double().cpu(), image.intrinsics.double().cpu()
    camera = (points_mm.double().cpu() - world_from_camera[:3, 3]) @ world_from_camera[:3, :3]
    uvw = camera @ intrinsics.T
    return uvw[:, :2] / uvw[:, 2:] + 0.5


def false_colour(image: BackImage) -> Float[Tensor, "3 h w"]:
    """Depth as colour, near ones warm, over DEPTH_RANGE_MM about the median, with contours; black where nothing was seen."""
    depth = torch.nan_to_num(image.depth_mm.float().cpu())
    seen = depth > 0
    if not bool(seen.any()):
        return torch.zeros(3, *depth.shape)
    middle = _near(image).median()
    share = ((middle - depth) / DEPTH_RANGE_MM + 0.5).clamp(0, 1) * (len(RAMP) - 1)
    low = share.floor().long().clamp(max=len(RAMP) - 2)
    mixed = RAMP[low] + (share - low)[..., None] * (RAMP[low + 1] - RAMP[low])
    smooth = torch.nn.functional.avg_pool2d(depth[None], 3, 1, 1, count_include_pad=False)[0]
    band = torch.floor(smooth / CONTOUR_MM)
    edge = torch.zeros_like(seen)
    edge[:, 1:] |= band[:, 1:] != band[:, :-1]
    edge[1:] |= band[1:] != band[:-1]
    body = (depth - middle).abs() < DEPTH_RANGE_MM / 2
    mixed = mixed * torch.where(edge & body, 0.55, 1.0)[..., None]
    return (mixed * seen[..., None]).permute(2, 0, 1)


def _near(image: BackImage) -> Float[Tensor, "n"]:
    """Depths of the body: all within twice DEPTH_RANGE_MM of the nearest; a metre where nothing was seen."""
    depth = torch.nan_to_num(image.depth_mm.float().cpu())
    seen = depth[depth > 0]
    return seen[seen < seen.min() + 2 * DEPTH_RANGE_MM] if len(seen) else torch.tensor([1000.0])


def _text(angle: Cobb) -> tuple[str, str]:
    return f"{angle.upper}–{angle.lower}", f"{angle.angle_deg:.1f}°"


def _group(kind: str, parts: Sequence[str]) -> str:
    return f'<g class="{kind}">{"".join(parts)}</g>'


def _mm(points_px: Float[Tensor, "n 2"], image: Ultrasound) -> Float[Tensor, "n 2"]:
    spacing = torch.tensor(image.pixel_spacing_mm, dtype=torch.float64)
    return ((points_px.double().cpu() + 0.5) * spacing).flip(-1)


def _in(points_px: Float[Tensor, "n 2"], image: Ultrasound) -> bool:
    h, w = image.echo.shape
    v, u = points_px.unbind(-1)
    return bool(((v >= 0) & (v <= h - 1) & (u >= 0) & (u <= w - 1)).all())
