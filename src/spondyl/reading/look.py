"""Two looks at a picture: the first finds the spine, the second sees it in the size that the network knows best."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.reading.canvas import fitting, normalised, placed
from spondyl.reading.chain import Chain, chain
from spondyl.reading.decode import Vertebrae, decode
from spondyl.reading.marks import Affine
from spondyl.reading.net import MULTIPLE, ReaderNet

FIRST_ROWS = (384, 224)  # heights of the canvas at the first look: a whole spine, a part of one
PITCHES_PX = (20.0, 24.0)  # at the second look, each also mirrored
MARGIN = 1.6  # pitches around the spine at the second look
SAME = 0.5  # two looks see the same vertebra where middles are nearer than this many pitches
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
    first = max((_first(net, picture, pixel, rows) for rows in FIRST_ROWS), key=lambda c: c.total)
    if len(first.levels) < 2:
        return Read(first, 1)
    looks = [first_look for p in PITCHES_PX for first_look in _second(net, picture, pixel, first, p, mirror)]
    best = max(looks, key=lambda c: c.total)
    if best.total <= 0:
        return Read(first, 1)
    return Read(_joined(best, looks), len(looks))


def _first(net: ReaderNet, picture: Tensor, pixel: tuple[float, float], rows: int) -> Chain:
    h, w = picture.shape
    unit = max(h * pixel[0] / rows, (h * w * pixel[0] * pixel[1] / LARGEST_PX) ** 0.5)
    way, size = fitting((h, w), (unit / pixel[0], unit / pixel[1]))
    return chain(_seen(net, picture, way, size).moved(way))


def _second(
    net: ReaderNet, picture: Tensor, pixel: tuple[float, float], first: Chain, pitch_px: float, mirror: bool
) -> list[Chain]:
    scale = torch.tensor(pixel)
    points = first.vertebrae.points.flatten(0, 1) * scale
    steps = torch.linalg.norm((first.vertebrae.middles * scale).diff(dim=0), dim=1)
    pitch = float((steps / torch.tensor(first.levels).diff()).median())
    low, high = points.amin(0) - MARGIN * pitch, points.amax(0) + MARGIN * pitch
    unit = pitch / pitch_px
    size = [min(max(MULTIPLE, math.ceil(float(s) / unit / MULTIPLE) * MULTIPLE), 1024) for s in high - low]
    matrix = torch.diag(unit / scale)
    canvas_middle = (torch.tensor(size, dtype=torch.float32) - 1) / 2
    way = Affine(matrix, (low + high) / 2 / scale - matrix @ canvas_middle)
    out = [chain(_seen(net, picture, way, (size[0], size[1])).moved(way))]
    if mirror:
        turn = Affine(torch.diag(torch.tensor([1.0, -1.0])), torch.tensor([0.0, size[1] - 1.0]))
        back = way.after(turn)
        out.append(chain(_seen(net, picture, back, (size[0], size[1])).moved(back, mirrored=True)))
    return out


def _seen(net: ReaderNet, picture: Tensor, way: Affine, size: tuple[int, int]) -> Vertebrae:
    """Vertebrae on one canvas."""
    shown, seen = placed(picture, way, size)
    maps = net(normalised(shown, seen)[None])
    return decode(maps, 0)


def _joined(best: Chain, looks: list[Chain]) -> Chain:
    """The best look, its points averaged with what the others say of the same vertebrae; their scatter joins the spread."""
    v = best.vertebrae
    reach = SAME * best.pitch_px if len(best.levels) > 1 else float(v.heights.mean())
    points, spreads, logs = [], [], []
    for i in range(len(v)):
        same = []
        for look in looks:
            if not len(look.vertebrae):
                continue
            away = torch.linalg.norm(look.vertebrae.middles - v.middles[i], dim=1)
            if float(away.min()) < reach:
                row = int(away.argmin())
                same.append((look.vertebrae.points[row], look.vertebrae.spread_px[row], look.vertebrae.level_log[row]))
        p, s, l = (torch.stack(x) for x in zip(*same, strict=True))
        weight = 1 / s.square().clamp_min(1e-6)
        mean = (p * weight).sum(0) / weight.sum(0)
        points.append(mean)
        spreads.append((s.square().mean(0) + (p - mean).square().mean(0)).sqrt())
        logs.append(l.mean(0))
    joined = Vertebrae(torch.stack(points), torch.stack(spreads), torch.stack(logs), v.score, v.lateral)
    again = chain(joined)
    return again if len(again.levels) == len(best.levels) else replace(best, vertebrae=joined)
