"""From maps to vertebrae: every middle that stands out, with its points as the cells around it vote."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from spondyl.reading.marks import Affine
from spondyl.reading.net import UNIT_PX, Maps, cell_centres_px

PEAK = 0.2  # least height of a middle
MOST = 40  # candidates
AGREE = 0.35  # a cell votes for a middle that it puts within this share of the vertebra's height
WINDOW = 12  # cells to each side that are asked


@dataclass(frozen=True, eq=False)
class Vertebrae:
    """Vertebrae of one picture in no certain order, pixels (v, u).

    Args:
        points: of each, as `Marks.points`.
        spread_px: SD of every coordinate.
        level_log: log probability of every level of READ_LEVELS.
        score: how sure it is that a vertebra is there, [0, 1].
        lateral: probability that it is seen from the side.
    """

    points: Float[Tensor, "n k 2"]
    spread_px: Float[Tensor, "n k 2"]
    level_log: Float[Tensor, "n l"]
    score: Float[Tensor, "n"]
    lateral: Float[Tensor, "n"]

    def __len__(self) -> int:
        return len(self.score)

    def __getitem__(self, rows: Tensor | list[int]) -> "Vertebrae":
        index = torch.as_tensor(rows, dtype=torch.long)
        return Vertebrae(
            self.points[index], self.spread_px[index], self.level_log[index], self.score[index], self.lateral[index]
        )

    @property
    def middles(self) -> Float[Tensor, "n 2"]:
        """Mean of the points."""
        return self.points.mean(1)

    @property
    def heights(self) -> Float[Tensor, "n"]:
        """Length from the middle of the first two points to that of the next two."""
        upper, lower = self.points[:, :2].mean(1), self.points[:, 2:4].mean(1)
        return (upper - lower).square().sum(1).sqrt()

    @property
    def axes(self) -> Float[Tensor, "n 2"]:
        """Unit vector of each from the middle of the first two points to that of the next two: down the body."""
        down = self.points[:, 2:4].mean(1) - self.points[:, :2].mean(1)
        return down / down.square().sum(1, keepdim=True).sqrt().clamp_min(1e-6)

    def moved(self, to: Affine, *, mirrored: bool = False) -> "Vertebrae":
        """The same in another picture's pixels; mirrored: its pairs of points change places."""
        points, spread = to(self.points), (self.spread_px.square() @ to.matrix.to(self.spread_px).square().mT).sqrt()
        if mirrored:
            pairs = points.shape[1] // 2 * 2
            order = [i ^ 1 for i in range(pairs)] + list(range(pairs, points.shape[1]))
            points, spread = points[:, order], spread[:, order]
        return Vertebrae(points, spread, self.level_log, self.score, self.lateral)


def decode(maps: Maps, i: int) -> Vertebrae:
    """The vertebrae of picture `i` of the batch, in its canvas pixels, on the CPU; near doubles are left out."""
    centre = maps.centre[i].sigmoid()
    top = functional.max_pool2d(centre[None], 5, stride=1, padding=2)[0]
    peaks = ((centre == top) & (centre > PEAK)).nonzero()
    order = centre[peaks[:, 0], peaks[:, 1]].argsort(descending=True)[:MOST]
    h, w = centre.shape
    cells = cell_centres_px(h, w, centre.device)
    points = (cells[None, :, :, :] + maps.offset_px[i]).permute(2, 3, 0, 1)  # h w k 2
    spread = maps.log_spread[i].exp().permute(2, 3, 0, 1) * (UNIT_PX * 2**0.5)  # SD of a Laplace number
    inside, level = maps.inside[i].sigmoid(), maps.level[i].log_softmax(0)
    lateral = maps.lateral[i].sigmoid()
    found: list[tuple[Tensor, ...]] = []
    for v, u in peaks[order].tolist():
        box = slice(max(v - WINDOW, 0), v + WINDOW + 1), slice(max(u - WINDOW, 0), u + WINDOW + 1)
        own = points[v, u]
        tall = float(torch.linalg.norm(own[:2].mean(0) - own[2:4].mean(0)))
        votes = points[box].flatten(0, 1)
        away = torch.linalg.norm(votes.mean(1) - own.mean(0), dim=1)
        weight = inside[box].flatten() * centre[box].flatten() * (away < AGREE * max(tall, 4.0))
        if float(weight.sum()) < 0.2:
            continue
        weight = weight / weight.sum()
        shape = weight[:, None, None]
        place = (votes * shape).sum(0)
        scatter = ((votes - place).square() * shape).sum(0)
        sd = ((spread[box].flatten(0, 1) * shape).sum(0).square() + scatter).sqrt()
        sure = (inside[box].flatten() * weight).sum() * centre[v, u].clamp(max=1)
        found.append(
            (
                place,
                sd,
                (level[:, *box].flatten(1) * weight).sum(1),
                sure,
                (lateral[box].flatten() * weight).sum(),
            )
        )
    if not found:
        k = points.shape[2]
        empty = torch.zeros(0)
        return Vertebrae(torch.zeros(0, k, 2), torch.zeros(0, k, 2), torch.zeros(0, level.shape[0]), empty, empty)
    out = Vertebrae(*(torch.stack(parts).float().cpu() for parts in zip(*found, strict=True)))
    return out[_apart(out)]


def _apart(found: Vertebrae) -> list[int]:
    """Rows that stay when the less sure one of two vertebrae in one place goes."""
    kept: list[int] = []
    for row in found.score.argsort(descending=True).tolist():
        near = [
            k
            for k in kept
            if float(torch.linalg.norm(found.middles[row] - found.middles[k]))
            < 0.6 * float(torch.maximum(found.heights[row], found.heights[k]))
        ]
        if not near:
            kept.append(row)
    return kept
