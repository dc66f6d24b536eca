"""A spine drawn by hand for the readers' tests: marks in a picture, maps that say exactly them, and a picture with dots there."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.reading.marks import READ_LEVELS, Marks, marks_of_corners
from spondyl.reading.net import Maps, cell_centres_px
from spondyl.reading.targets import PEAK, local
from spondyl.spine import Corners


def drawn_corners(
    levels: tuple[str, ...] = READ_LEVELS[:-1], *, top: float = 20.0, pitch: float = 19.0, sway: float = 18.0
) -> Corners:
    """Vertebrae 15 pixels tall and 26 wide along a sine, each turned with it."""
    rows = []
    for k, _ in enumerate(levels):
        phase = 2 * math.pi * k / max(len(levels) - 1, 1)
        v, u, tilt = top + pitch * (k + 0.5), 96 + sway * math.sin(phase), math.radians(14) * math.cos(phase)
        c, s = math.cos(tilt), math.sin(tilt)
        rows.append([[v + b * c - a * s, u + a * c + b * s] for b in (-7.5, 7.5) for a in (-13.0, 13.0)])
    points = torch.tensor(rows)
    for k, level in enumerate(levels):
        if level == "S1":
            points[k, 2:] = torch.nan
    return Corners(levels, points, torch.ones(len(levels)))


def maps_of(marks: Marks, size: tuple[int, int], *, lateral: bool = False) -> Maps:
    """What a network without fault would say of a picture: the targets of its loss, as logits."""
    h, w = size[0] // 2, size[1] // 2
    cells = cell_centres_px(h, w)
    a, b = local(cells, marks.patches)
    within = (a.abs() <= 1) & (b.abs() <= 1)
    whose = torch.where(within, a.square() + b.square(), torch.inf).argmin(0)
    heat = torch.exp(-(a.square() + b.square()) / (2 * PEAK**2)).amax(0).clamp(1e-4, 1 - 1e-4)
    inside = torch.where(within.any(0), 8.0, -8.0)
    level = torch.full((len(READ_LEVELS), h, w), -8.0).scatter_(0, marks.levels[whose][None], 8.0)
    points = marks.points[whose].permute(2, 3, 0, 1)  # k 2 h w
    side = torch.full((h, w), 6.0 if lateral else -6.0)
    offset = points - cells
    return Maps(
        heat.logit()[None], inside[None], side[None], level[None], offset[None], torch.full_like(offset, -3.0)[None]
    )


def dotted_picture(points: Float[Tensor, "n 2"], size: tuple[int, int]) -> Float[Tensor, "h w"]:
    """A dark picture with a bright round dot at every point."""
    v, u = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in size), indexing="ij")
    away = (v[..., None] - points[:, 0]).square() + (u[..., None] - points[:, 1]).square()
    return torch.exp(-away / (2 * 2.0**2)).sum(-1)


__all__ = ["Marks", "dotted_picture", "drawn_corners", "maps_of", "marks_of_corners"]
