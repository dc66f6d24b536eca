"""The silhouette of an elliptical endplate in a view, in closed form, and the rays through any pixel position.

A corner of a radiograph is an end of the silhouette: the point of the projected rim furthest along the image row. Two
views see different rim points, so rays through their corners do not meet; the ellipse is what they share.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.geometry import View, inverse_rigid, transform_points


def silhouette_px(plates_mm: Float[Tensor, "n 3 3"], view: View) -> Float[Tensor, "n 2 2"]:
    """Both ends (low-u, high-u) of each endplate's silhouette as (v, u) pixel positions; NaN for a plate at the source.

    The rim is c + a cos(phi) + b sin(phi). Its column is a ratio N / D of two such sums, and a column u is extremal where
    N - u D only touches zero: (n0 - u d0)^2 = (n1 - u d1)^2 + (n2 - u d2)^2, a quadratic in u. The same points as
    `SpineCurve.project`, differentiable in the plates.

    Args:
        plates_mm: centre, half-axis to the left, half-axis to the back, world mm, as in `SpineCurve.endplates_mm`.
    """
    x, y, depth = _in_detector(plates_mm, view)
    sdd = view.source_to_detector_mm.to(plates_mm)
    one = torch.zeros_like(depth)
    one[:, 0] = 1.0
    top, below = (x, one) if view.beam == "parallel" else (sdd * x, depth)
    middle = top[:, :1] / below[:, :1]
    # columns relative to the centre's own: small numbers, so nothing cancels
    n, d = (top - middle * below)[:, 1:], below[:, 1:]
    square = below[:, 0] ** 2 - (d * d).sum(-1)
    mixed, constant = (n * d).sum(-1), -(n * n).sum(-1)
    root = (mixed**2 - square * constant).clamp(min=0).sqrt()
    ends = []
    for sign in (-1.0, 1.0):
        u = (sign * root - mixed) / square
        turn = (n - u[:, None] * d) / (u * below[:, 0])[:, None]  # cos and sin of phi where the line touches
        phi = torch.cat([torch.ones_like(turn[:, :1]), turn], dim=1)
        high = (phi * y).sum(-1)
        v = sdd * high / (phi * depth).sum(-1) if view.beam == "cone" else high
        ends.append(_to_pixels(view, v, u + middle[:, 0]))
    seen = (depth[:, :1] > depth[:, 1:].norm(dim=-1, keepdim=True))[..., None]
    return torch.where(seen, torch.stack(ends, dim=1), torch.nan)


def rays_through(view: View, pixels: Float[Tensor, "n 2"]) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
    """Start and unit direction of the ray through each (v, u) pixel position, world mm: `View.rays` between the pixels."""
    (h, w), (dv, du) = view.shape_px, view.pixel_spacing_mm
    y, x = (pixels[:, 0] - (h - 1) / 2) * dv, (pixels[:, 1] - (w - 1) / 2) * du
    zero, depth = torch.zeros_like(x), view.source_to_detector_mm.to(pixels).expand_as(x)
    source_x = x if view.beam == "parallel" else zero
    source_y = zero if view.beam == "cone" else y
    start = torch.stack([source_x, source_y, -depth], dim=-1)
    along = torch.stack([x - source_x, y - source_y, depth], dim=-1)
    world = view.world_from_detector.to(pixels)
    direction = torch.nn.functional.normalize(along @ world[:3, :3].mT, dim=-1)
    return transform_points(world, start), direction


def mm_on_detector_per_mm(view: View, points_mm: Float[Tensor, "n 3"]) -> Float[Tensor, "n 2"]:
    """Magnification at each point along (v, u): a slot magnifies u only, a parallel beam nothing."""
    m = view.to(dtype=points_mm.dtype).magnification(points_mm)
    return torch.stack([m if view.beam == "cone" else torch.ones_like(m), m], dim=-1)


def _in_detector(
    plates_mm: Float[Tensor, "n 3 3"], view: View
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
    """Coefficients (of 1, cos, sin) of the rim's x and y on the detector and of its depth from the source, mm."""
    detector_from_world = inverse_rigid(view.world_from_detector.to(plates_mm))
    x, y, z = (plates_mm @ detector_from_world[:3, :3].mT).unbind(-1)
    shift = detector_from_world[:3, 3]
    first = torch.tensor([1.0, 0.0, 0.0]).to(plates_mm)
    return x + shift[0] * first, y + shift[1] * first, z + (shift[2] + view.source_to_detector_mm.to(plates_mm)) * first


def _to_pixels(view: View, y_mm: Float[Tensor, "n"], x_mm: Float[Tensor, "n"]) -> Float[Tensor, "n 2"]:
    (h, w), (dv, du) = view.shape_px, view.pixel_spacing_mm
    return torch.stack([y_mm / dv + (h - 1) / 2, x_mm / du + (w - 1) / 2], dim=-1)
