"""The volume projection image: the slab around the laminae, log-compressed, projected, put on a screen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional

from spondyl.sim.echo import Recording
from spondyl.sim.redraw import between, check_settings

BINS = 128


@dataclass(frozen=True)
class Slab:
    """The slab that is projected and how it is shown.

    Args:
        above_mm: upper face of the slab, above the laminae's smoothed depth.
        below_mm: lower face, below it.
        maximum_share: weight of the slab's maximum; the rest is its mean.
        dynamic_range_db: from black to white.
        white_db: what is shown white, over the speckle of muscle.
        contrast_share: how much of the local equalisation is taken.
        contrast_clip: limit of the local histogram's slope.
        tile_mm: size of the regions that are equalised.
    """

    above_mm: float = field(default=3.0, metadata=between(2.0, 4.0))
    below_mm: float = field(default=12.0, metadata=between(10.0, 14.0))
    maximum_share: float = field(default=0.5, metadata=between(0.3, 0.6))
    dynamic_range_db: float = field(default=60.0, metadata=between(52.0, 66.0))
    white_db: float = field(default=35.0, metadata=between(30.0, 39.0))
    contrast_share: float = field(default=0.4, metadata=between(0.1, 0.8))
    contrast_clip: float = field(default=2.0, metadata=between(1.5, 3.0))
    tile_mm: float = field(default=45.0, metadata=between(30.0, 60.0))

    def __post_init__(self) -> None:
        check_settings(self, positive=("dynamic_range_db", "contrast_clip", "tile_mm"))
        if self.above_mm + self.below_mm < 2:
            raise ValueError(f"the slab is {self.above_mm + self.below_mm:g} mm thick; wanted 2 mm or more")

    def grey(self, envelope: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """Amplitude (1 = muscle) to grey in [0, 1]: logarithm, fixed white, fixed black."""
        level = 20 * envelope.clamp(min=1e-6).log10()
        return (1 + (level - self.white_db) / self.dynamic_range_db).clamp_(0, 1)


def project(
    recording: Recording,
    slab: Slab,
    offsets_mm: Sequence[float],
    shift_mm: Float[Tensor, "v"],
    gain_db: Float[Tensor, "v"],
) -> list[Float[Tensor, "v u"]]:
    """Grey of the slab at each depth offset: a share of its maximum and of its mean; frames that breathing shifted look deeper.

    Args:
        shift_mm: by how much each frame's slab lies deeper than planned.
        gain_db: what is added to each frame.
    """
    step, shift = recording.depth_step_mm, shift_mm[:, None]
    reach = float(shift_mm.abs().max())
    lowest = math.floor((min(offsets_mm) - slab.above_mm - reach) / step)
    highest = math.ceil((max(offsets_mm) + slab.below_mm + reach) / step)
    shape = recording.sweep.face_mm.shape
    total, most = (torch.zeros(len(offsets_mm), *shape, device=shift.device) for _ in range(2))
    count = torch.zeros(len(offsets_mm), shape[0], 1, device=shift.device)
    for index in range(lowest, highest + 1):
        depth = index * step - shift
        inside = [(depth >= o - slab.above_mm) & (depth <= o + slab.below_mm) for o in offsets_mm]
        if not any(bool(part.any()) for part in inside):
            continue
        grey = slab.grey(recording.envelope(index) * 10 ** (gain_db[:, None] / 20))
        for k, part in enumerate(inside):
            seen = grey * part
            total[k] += seen
            most[k] = torch.maximum(most[k], seen)
            count[k] += part
    mean = total / count.clamp(min=1)
    return list(slab.maximum_share * most + (1 - slab.maximum_share) * mean)


def equalise(
    grey: Float[Tensor, "h w"], seen: Float[Tensor, "h w"], tiles: tuple[int, int], *, clip: float
) -> Float[Tensor, "h w"]:
    """Contrast-limited adaptive histogram equalisation (Zuiderveld 1994) of the pixels that were scanned.

    Args:
        grey: in [0, 1]. seen: 1 where a pixel was scanned; others count in no histogram.
        tiles: number of regions (rows, columns).
        clip: highest count of a histogram's bin over the mean count; what is cut off is spread evenly.

    Returns:
        Grey in [0, 1]; black stays black.
    """
    (h, w), (rows, columns) = grey.shape, tiles
    bins = (grey * BINS).long().clamp(0, BINS - 1)
    at_v = torch.arange(h, device=grey.device) * rows // h
    at_u = torch.arange(w, device=grey.device) * columns // w
    tile = at_v[:, None] * columns + at_u
    counts = torch.zeros(rows * columns * BINS, device=grey.device)
    counts.index_add_(0, (tile * BINS + bins).flatten(), seen.flatten())
    counts = counts.reshape(-1, BINS)
    limit = clip * counts.sum(1, keepdim=True) / BINS
    excess = (counts - limit).clamp(min=0).sum(1, keepdim=True)
    curve = (counts.minimum(limit) + excess / BINS).cumsum(1)
    straight = torch.linspace(0, 1, BINS, device=grey.device)
    curve = torch.where(
        curve[:, -1:] > 0, (curve - curve[:, :1]) / (curve[:, -1:] - curve[:, :1]).clamp(min=1e-6), straight
    )
    return _between_tiles(curve, bins, tiles)


def _between_tiles(curve: Float[Tensor, "t b"], bins: Integer[Tensor, "h w"], tiles: tuple[int, int]) -> Tensor:
    (h, w), (rows, columns), device = bins.shape, tiles, bins.device
    v = ((torch.arange(h, device=device) + 0.5) * rows / h - 0.5).clamp(0, rows - 1)
    u = ((torch.arange(w, device=device) + 0.5) * columns / w - 0.5).clamp(0, columns - 1)
    v0, u0 = v.floor().long(), u.floor().long()
    flat = curve.flatten()

    def at(row: Tensor, column: Tensor) -> Tensor:
        tile = row.clamp(max=rows - 1)[:, None] * columns + column.clamp(max=columns - 1)
        return flat[tile * curve.shape[1] + bins]

    part_v, part_u = (v - v0)[:, None], u - u0
    top = at(v0, u0) * (1 - part_u) + at(v0, u0 + 1) * part_u
    low = at(v0 + 1, u0) * (1 - part_u) + at(v0 + 1, u0 + 1) * part_u
    return top * (1 - part_v) + low * part_v


def show(grey: Float[Tensor, "h w"], seen: Float[Tensor, "h w"], slab: Slab, spacing_mm: tuple[float, float]) -> Tensor:
    """The projected grey as the machine displays it, in [0, 1]; black where nothing was scanned."""
    (h, w), (dv, du) = grey.shape, spacing_mm
    tiles = (max(1, round(h * dv / slab.tile_mm)), max(1, round(w * du / slab.tile_mm)))
    equal = equalise(grey, seen, tiles, clip=slab.contrast_clip)
    return ((1 - slab.contrast_share) * grey + slab.contrast_share * equal).clamp(0, 1) * seen


def place(
    picture: Float[Tensor, "c v u"],
    first_px: tuple[float, float],
    step_px: tuple[float, float],
    shape_px: tuple[int, int],
    wander_px: Float[Tensor, "v"],
) -> Float[Tensor, "c h w"]:
    """Frames and lines laid into the image; zero outside.

    Args:
        first_px: pixel (v, u) of the first frame's first line. step_px: pixels from one frame, one line, to the next.
        wander_px: sideways error of each frame.
    """
    _, frames, lines = picture.shape
    device = picture.device
    v = (torch.arange(shape_px[0], device=device) - first_px[0]) / step_px[0]
    near = wander_px[v.round().long().clamp(0, frames - 1)]
    u = (torch.arange(shape_px[1], device=device) - first_px[1] - near[:, None]) / step_px[1]
    grid = torch.stack([u * 2 / (lines - 1) - 1, (v * 2 / (frames - 1) - 1)[:, None].expand_as(u)], dim=-1)
    return functional.grid_sample(picture[None], grid[None], align_corners=True)[0]
