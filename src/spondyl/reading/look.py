"""Looks at a picture: the first finds the spine, the second sees it in the size that the network knows best, others along it."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.reading.along import line_of, shown_along
from spondyl.reading.canvas import fitting, normalised, placed
from spondyl.reading.chain import Chain, chain
from spondyl.reading.decode import Vertebrae, decode
from spondyl.reading.marks import READ_LEVELS, Affine
from spondyl.reading.net import MULTIPLE, ReaderNet

FIRST_ROWS = (384, 224)  # heights of the canvas at the first look: a whole spine, a part of one
PITCHES_PX = (19.0,)  # at the second look, also mirrored
ALONG_PX = (18.0, 21.0)  # at the looks along the spine, each also mirrored; every one goes on from the best before
MARGIN = 1.6  # pitches around the spine at the second look
UPPER, LOWER = 0.8, 1.2  # and so many more for every level that may be missing above and below
ASIDE = 0.3  # of that, to both sides: a curve may go on
SAME = 0.6  # two looks see the same vertebra where middles are nearer than this share of its height
LARGEST_PX = 1 << 20  # of a canvas


@dataclass(frozen=True, eq=False)
class Read:
    """What a reader found in one picture: a chain in the picture's pixels, and the look it comes from."""

    chain: Chain
    looks: int


def read_picture(net: ReaderNet, picture: Float[Tensor, "h w"], pixel: tuple[float, float], *, mirror: bool) -> Read:
    """The spine in a picture, its pixels.

    Args:
        picture: any grey scale, bone brighter.
        pixel: (v, u) size of a pixel in one unit; only the ratio counts.
        mirror: whether a mirrored picture is one as well.
    """
    best = max((chain(_first(net, picture, pixel, rows)) for rows in FIRST_ROWS), key=lambda c: c.total)
    if len(best.levels) < 2:
        return Read(best, 1)
    looks = [look for p in PITCHES_PX for look in _second(net, picture, pixel, best, p, mirror)]
    best = max([best, *map(chain, looks)], key=lambda c: c.total)
    for pitch_px in ALONG_PX:
        along = _along(net, picture, pixel, best, pitch_px, mirror)
        looks += along
        best = max([best, *map(chain, along)], key=lambda c: c.total)
    return Read(chain(pooled(looks)), len(looks))


def _along(
    net: ReaderNet, picture: Tensor, pixel: tuple[float, float], best: Chain, pitch_px: float, mirror: bool
) -> list[Vertebrae]:
    """A look along the line of the best chain so far, and its mirror image."""
    line = line_of(best, pixel, pitch_px)
    if line is None:
        return []
    shown = shown_along(picture, line)
    pictures = torch.stack([shown, shown.flip(-1)]) if mirror else shown[None]
    maps = net(pictures)
    turn = Affine(torch.diag(torch.tensor([1.0, -1.0])), torch.tensor([0.0, line.columns - 1.0]))
    found = [decode(maps, 0), *([decode(maps, 1).moved(turn, mirrored=True)] if mirror else [])]
    return [line.vertebrae(v) for v in found]


def _first(net: ReaderNet, picture: Tensor, pixel: tuple[float, float], rows: int) -> Vertebrae:
    h, w = picture.shape
    unit = max(h * pixel[0] / rows, (h * w * pixel[0] * pixel[1] / LARGEST_PX) ** 0.5)
    way, size = fitting((h, w), (unit / pixel[0], unit / pixel[1]))
    return _seen(net, picture, way, size).moved(way)


def _second(
    net: ReaderNet, picture: Tensor, pixel: tuple[float, float], first: Chain, pitch_px: float, mirror: bool
) -> list[Vertebrae]:
    scale = torch.tensor(pixel)
    points = first.vertebrae.points.flatten(0, 1) * scale
    steps = torch.linalg.norm((first.vertebrae.middles * scale).diff(dim=0), dim=1)
    pitch = float((steps / torch.tensor(first.levels).diff()).median())
    # the first look may have missed either end: the second sees where the rest of the spine would be
    above, below = first.levels[0] * UPPER, (len(READ_LEVELS) - 1 - first.levels[-1]) * LOWER
    beside = MARGIN + ASIDE * max(above, below)
    before = torch.tensor([MARGIN + above, beside]) * pitch
    after = torch.tensor([MARGIN + below, beside]) * pitch
    frame = torch.tensor(picture.shape, dtype=torch.float32) * scale
    low = torch.maximum(points.amin(0) - before, -0.5 * pitch * torch.ones(2))
    high = torch.minimum(points.amax(0) + after, frame + 0.5 * pitch)
    unit = pitch / pitch_px
    size = [min(max(MULTIPLE, math.ceil(float(s) / unit / MULTIPLE) * MULTIPLE), 1024) for s in high - low]
    matrix = torch.diag(unit / scale)
    canvas_middle = (torch.tensor(size, dtype=torch.float32) - 1) / 2
    way = Affine(matrix, (low + high) / 2 / scale - matrix @ canvas_middle)
    out = [_seen(net, picture, way, (size[0], size[1])).moved(way)]
    if mirror:
        turn = Affine(torch.diag(torch.tensor([1.0, -1.0])), torch.tensor([0.0, size[1] - 1.0]))
        back = way.after(turn)
        out.append(_seen(net, picture, back, (size[0], size[1])).moved(back, mirrored=True))
    return out


def _seen(net: ReaderNet, picture: Tensor, way: Affine, size: tuple[int, int]) -> Vertebrae:
    """Vertebrae on one canvas."""
    shown, seen = placed(picture, way, size)
    maps = net(normalised(shown, seen)[None])
    return decode(maps, 0)


def pooled(looks: list[Vertebrae]) -> Vertebrae:
    """What several looks at one picture saw, each vertebra once: points averaged by their spread, scores over all looks.

    A look that did not see a vertebra counts against it; how far looks differ joins the spread.
    """
    every = [(look, row) for look in range(len(looks)) for row in range(len(looks[look]))]
    every.sort(key=lambda at: -float(looks[at[0]].score[at[1]]))
    middles = [look.middles for look in looks]
    free = set(every)
    groups: list[list[tuple[int, int]]] = []
    for seed in every:
        if seed not in free:
            continue
        here, reach = middles[seed[0]][seed[1]], SAME * float(looks[seed[0]].heights[seed[1]])
        group: dict[int, tuple[float, int]] = {}
        for look, row in free:
            away = float(torch.linalg.norm(middles[look][row] - here))
            if away < reach and away < group.get(look, (reach, 0))[0]:
                group[look] = (away, row)
        members = [(look, row) for look, (_, row) in group.items()]
        free -= set(members)
        groups.append(members)
    if not groups:
        return looks[0]
    return Vertebrae(*(torch.stack(parts) for parts in zip(*(_mean(looks, g) for g in groups), strict=True)))


def _mean(looks: list[Vertebrae], group: list[tuple[int, int]]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Points, spread, level, score and lateral of one vertebra that some looks saw."""
    rows = [looks[look][[row]] for look, row in group]
    p, s, level, score, side = (
        torch.cat([getattr(r, name) for r in rows]) for name in ("points", "spread_px", "level_log", "score", "lateral")
    )
    weight = 1 / s.square().clamp_min(1e-6)
    mean = (p * weight).sum(0) / weight.sum(0)
    spread = (s.square().mean(0) + (p - mean).square().mean(0)).sqrt()
    return mean, spread, level.mean(0), score.sum() / len(looks), side.mean()
