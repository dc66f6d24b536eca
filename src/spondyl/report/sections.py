"""CT sections for the page: coronal and sagittal ones that follow the spine, an axial one through a vertebra's own plane."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from spondyl.drawing import AngleMark, Canvas, Sheet, furniture, letters, overlay, path, scale, seen_from
from spondyl.geometry import View
from spondyl.images import Volume
from spondyl.report.page import Film
from spondyl.report.pictures import eight_bit, png_bytes
from spondyl.spine import SpineCurve

# Bone window: cancellous and cortical bone apart, soft tissue still to be seen [engineering].
WINDOW_HU = (-250.0, 750.0)
AIR_HU = -1000.0
STEP_MM = 1.0
SIZE_MM, BEYOND_MM = (
    (260.0, 320.0),
    35.0,
)  # widths of the coronal and of the sagittal section; above and below the spine
AXIAL_MM, FORWARD_MM = 330.0, 35.0  # the trunk's middle lies in front of the vertebra


def section_view(spine: SpineCurve, angle_deg: float, width_mm: float, step_mm: float = STEP_MM) -> View:
    """A parallel view that frames the spine, BEYOND_MM above and below it; `angle_deg` as in `View.around`."""
    centres = spine.centres_mm.double()
    low, high = centres[:, 2].min() - BEYOND_MM, centres[:, 2].max() + BEYOND_MM
    middle = [float((centres[:, i].min() + centres[:, i].max()) / 2) for i in (0, 1)]
    shape = (math.ceil(float(high - low) / step_mm), math.ceil(width_mm / step_mm))
    return View.around(
        [*middle, float(low + high) / 2], angle_deg=angle_deg, shape_px=shape, pixel_spacing_mm=(step_mm, step_mm), beam="parallel"
    )  # fmt: skip


def along_spine(volume: Volume, spine: SpineCurve, view: View) -> Float[Tensor, "v u"]:
    """HU on the surface that follows the spine in depth: for every pixel the point of its ray as deep as the spine there.

    Args:
        view: a horizontal parallel view; what it sees of the surface lies where it sees the spine.

    Raises:
        ValueError: for a view of another beam.
    """
    if view.beam != "parallel":
        raise ValueError(f"the section's view has a {view.beam} beam; wanted a parallel one")
    start, ray = (t.double().cpu() for t in view.rays())
    along = ray[0, 0] / ray[0, 0].norm()
    centres = spine.centres_mm.double().cpu()
    order = centres[:, 2].argsort()
    depth = _between(start[..., 2].contiguous(), centres[order, 2], centres[order] @ along)
    return hu_at(volume, start + (depth - start @ along)[..., None] * along)


def hu_at(volume: Volume, points_mm: Float[Tensor, "v u 3"]) -> Float[Tensor, "v u"]:
    """HU at world points, trilinear; outside of the scan is air."""
    voxel_from_world = torch.linalg.inv(volume.world_from_voxel.double().cpu())
    voxels = points_mm @ voxel_from_world[:3, :3].T + voxel_from_world[:3, 3]
    # only the part that is looked at becomes float32: a whole 1 mm patient would be a quarter of a gigabyte more
    low = torch.floor(voxels.amin(dim=(0, 1))).long().clamp(min=0).tolist()
    high = (torch.ceil(voxels.amax(dim=(0, 1))).long() + 1).clamp(min=1).tolist()
    part = volume.hu[low[2] : high[2] + 1, low[1] : high[1] + 1, low[0] : high[0] + 1].cpu().to(torch.float32)
    if min(part.shape) < 2:
        return torch.full(points_mm.shape[:2], AIR_HU)
    inner = torch.tensor([n - 1 for n in reversed(part.shape)], dtype=torch.float64)
    grid = ((voxels - torch.tensor(low, dtype=torch.float64)) / inner * 2 - 1).to(torch.float32)
    return functional.grid_sample(part[None, None] - AIR_HU, grid[None, None], align_corners=True)[0, 0, 0] + AIR_HU


def spine_film(
    name: str, volume: Volume, spine: SpineCurve, *, angle_deg: float, marks: Sequence[AngleMark] = ()
) -> Film:
    """The section along the spine, seen as from a source at `angle_deg`, with its endplates and the angles of `marks`."""
    view = section_view(spine, angle_deg, SIZE_MM[0] if angle_deg % 180 < 45 else SIZE_MM[1])
    canvas = Canvas(view, view.pixel_spacing_mm)
    return Film(
        name=name,
        png=png_bytes(windowed(along_spine(volume, spine, view))),
        size_mm=(canvas.sheet.width_mm, canvas.sheet.height_mm),
        drawing=overlay(spine.project(view), canvas, marks),
        furniture=furniture(canvas, "in the section"),
        caption=f"follows the spine in depth; {seen_from(view)}",
    )


def axial_film(name: str, volume: Volume, spine: SpineCurve, level: str) -> Film:
    """The plane of one vertebra, seen from the feet as radiology does, with the vertebra's own front-back axis drawn."""
    row = spine.index(level)
    centre, axes = spine.centres_mm[row].double(), spine.axes[row].double()
    up = axes[:, 2]
    left = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    left = functional.normalize(left - (left @ up) * up, dim=0)
    back = torch.linalg.cross(up, left)
    steps = torch.arange(-AXIAL_MM / 2 + STEP_MM / 2, AXIAL_MM / 2, STEP_MM, dtype=torch.float64)
    points = centre + (steps[:, None, None] - FORWARD_MM) * back + steps[None, :, None] * left
    sheet = Sheet(AXIAL_MM, AXIAL_MM)
    middle = torch.tensor([AXIAL_MM / 2, AXIAL_MM / 2 + FORWARD_MM], dtype=torch.float64)
    own = torch.stack([axes[:, 1] @ left, axes[:, 1] @ back])
    rays = [middle + t * direction for direction in (own, torch.tensor([0.0, 1.0]).to(own)) for t in (-45.0, 75.0)]
    return Film(
        name=name,
        png=png_bytes(windowed(hu_at(volume, points))),
        size_mm=(AXIAL_MM, AXIAL_MM),
        drawing=f'<g class="angles">{path(torch.stack(rays[:2]), "long")}{path(torch.stack(rays[2:]), "square")}</g>',
        furniture=letters(sheet, ("R", "L")) + scale(sheet, 50.0, "in the plane"),
        caption=f"plane of {level}, seen from the feet; its own axis and the sagittal plane",
    )


def windowed(hu: Float[Tensor, "v u"]) -> Tensor:
    """8-bit grey over WINDOW_HU."""
    low, high = WINDOW_HU
    return eight_bit((hu - low) / (high - low))


def _between(at: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Values at `at` of the polyline through (x, y), x rising; held beyond its ends."""
    if len(x) < 2:
        return y[0].expand(at.shape)
    i = torch.searchsorted(x.contiguous(), at).clamp(1, len(x) - 1)
    share = ((at - x[i - 1]) / (x[i] - x[i - 1]).clamp(min=1e-9)).clamp(0, 1)
    return y[i - 1] + share * (y[i] - y[i - 1])
