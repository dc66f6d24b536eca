"""A look along the spine: the picture resampled so that the line of the bodies is upright, and the way back.

In it every vertebra stands as those of a straight spine do, however bent the spine is. The line is drawn through the bodies that
an earlier look found and goes on straight beyond them, so that a look along it can find the next ones.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from spondyl.reading.canvas import blurred, normalised
from spondyl.reading.chain import Chain
from spondyl.reading.decode import Vertebrae
from spondyl.reading.marks import READ_LEVELS
from spondyl.reading.net import MULTIPLE

SMOOTH_PITCHES = 0.7  # SD of the smoothing of the line
BESIDE_PITCHES = 3.6  # shown on both sides of the line
MOST_BEYOND = 5.0  # pitches that the line goes on beyond the bodies: it is less and less sure
LEAST_BEYOND = 1.2
LEAST_BODIES = 4


@dataclass(frozen=True, eq=False)
class Line:
    """The line through a spine, one point a canvas row.

    Args:
        points: places in the picture, in units in which pixels are square.
        across: unit vectors to growing columns.
        unit: of one canvas pixel.
        scale: (v, u) size of a picture pixel in the same units.
        columns: of the canvas.
    """

    points: Float[Tensor, "r 2"]
    across: Float[Tensor, "r 2"]
    unit: float
    scale: Float[Tensor, "2"]
    columns: int

    def picture(self, at: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n 2"]:
        """Picture pixels (v, u) of canvas positions (row, column)."""
        row = at[..., 0].clamp(0, len(self.points) - 1)
        low = row.floor().long().clamp(max=len(self.points) - 2)
        part = (row - low)[..., None]
        here = self.points[low] * (1 - part) + self.points[low + 1] * part
        side = self.across[low] * (1 - part) + self.across[low + 1] * part
        beyond = (at[..., :1] - row[..., None]) * self.unit  # a corner may lie past the last row
        down = torch.stack([side[..., 1], -side[..., 0]], dim=-1)
        aside = (at[..., 1:] - (self.columns - 1) / 2) * self.unit
        return (here + side * aside + down * beyond) / self.scale

    def vertebrae(self, found: Vertebrae) -> Vertebrae:
        """What was found on the canvas, in the picture's pixels."""
        row = found.middles[:, 0].round().long().clamp(0, len(self.points) - 1)
        side = self.across[row]
        turn = torch.stack([torch.stack([side[:, 1], -side[:, 0]], -1), side], dim=-1)  # canvas (row, column) to (v, u)
        square = (found.spread_px * self.unit).square() @ turn.square().mT
        return Vertebrae(
            self.picture(found.points), square.sqrt() / self.scale, found.level_log, found.score, found.lateral
        )


def line_of(chain: Chain, pixel: tuple[float, float], pitch_px: float) -> Line | None:
    """The line through a chain's bodies, with `pitch_px` canvas pixels from one to the next; None for fewer than four."""
    if len(chain.levels) < LEAST_BODIES:
        return None
    scale = torch.tensor(pixel, dtype=torch.float32)
    middles = chain.vertebrae.middles * scale
    steps = torch.linalg.norm(middles.diff(dim=0), dim=1)
    pitch = float((steps / torch.tensor(chain.levels).diff()).median())
    unit = pitch / pitch_px
    place = torch.cat([steps.new_zeros(1), steps.cumsum(0)]) / pitch
    above = min(max(0.8 * chain.levels[0], LEAST_BEYOND), MOST_BEYOND)
    below = min(max(1.2 * (len(READ_LEVELS) - 1 - chain.levels[-1]), LEAST_BEYOND), MOST_BEYOND)
    rows = math.ceil((above + float(place[-1]) + below) * pitch_px / MULTIPLE) * MULTIPLE
    columns = math.ceil(2 * BESIDE_PITCHES * pitch_px / MULTIPLE) * MULTIPLE
    at = torch.arange(rows, dtype=torch.float32) / pitch_px - above
    inner = at.clamp(0, float(place[-1]))
    points, way = _smoothed(middles, place, inner)
    way = functional.normalize(way, dim=1)
    points = points + way * ((at - inner) * pitch)[:, None]
    return Line(points, torch.stack([-way[:, 1], way[:, 0]], dim=1), unit, scale, columns)


def _smoothed(
    middles: Float[Tensor, "n 2"], place: Float[Tensor, "n"], at: Float[Tensor, "r"]
) -> tuple[Float[Tensor, "r 2"], Float[Tensor, "r 2"]]:
    """Points of the line and its direction: a parabola fitted around every place, nearer bodies first."""
    away = place - at[:, None]
    weight = torch.exp(-0.25 * (away / SMOOTH_PITCHES).square()) + 1e-3  # every body a little: gaps stay solvable
    powers = torch.stack([torch.ones_like(away), away, away.square()], dim=-1) * weight[..., None]
    fit = torch.linalg.lstsq(powers, weight[..., None] * middles).solution
    return fit[:, 0], fit[:, 1]


def shown_along(picture: Float[Tensor, "h w"], line: Line) -> Float[Tensor, "2 r c"]:
    """The canvas along a line, normalised; 0 beside the picture."""
    h, w = picture.shape
    step = [line.unit / float(s) for s in line.scale]
    smooth = blurred(picture[None], [0.5 * math.sqrt(max(s**2 - 1, 0.0)) for s in step])[0]
    r, c = torch.meshgrid(torch.arange(len(line.points)).float(), torch.arange(line.columns).float(), indexing="ij")
    at = line.picture(torch.stack([r, c], dim=-1)).to(picture.device)
    seen = ((at >= -0.5) & (at <= at.new_tensor([h - 0.5, w - 0.5]))).all(-1).to(picture.dtype)
    grid = torch.stack([(2 * at[..., 1] + 1) / w - 1, (2 * at[..., 0] + 1) / h - 1], dim=-1)
    out = functional.grid_sample(smooth[None, None], grid[None], padding_mode="border", align_corners=False)[0, 0]
    return normalised(out, seen)
