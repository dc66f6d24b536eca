"""From single vertebrae to a spine: which of them belong together, and what their levels are, with how much doubt."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.reading.decode import Vertebrae
from spondyl.reading.marks import READ_LEVELS

REWARD = 3.0  # of a vertebra that is surely there
LEAST = 0.18  # score that is worth nothing
GAP_SD = 0.22  # of the distance between neighbours, over the one expected
TURN_SD_DEG = 15.0  # of the angle between a body's own axis and the way to its neighbour
SACRAL = 0.1  # of both costs, for the step to S1
MISSED = 2.0  # cost of every level that is passed over
LEVEL_WEIGHT = 0.5  # of the level's log probability, over that of a guess, in the choice of a chain
DISC = 1.22  # pitch over height of a vertebral body
TEMPER = 0.35  # neighbours err together: their evidence for a level counts less than the sum
SHIFTS = 4  # how far the whole row of levels may be off, both ways


@dataclass(frozen=True, eq=False)
class Chain:
    """Vertebrae from cranial to caudal, with places in READ_LEVELS and the probability that these are right.

    `total` grows with every vertebra that fits: of two looks at one picture the one with more of it is the better.
    """

    vertebrae: Vertebrae
    levels: tuple[int, ...]
    sure: Float[Tensor, "n"]
    total: float

    @property
    def pitch_px(self) -> float:
        """Median distance from one level to the next; NaN for fewer than two vertebrae."""
        if len(self.levels) < 2:
            return math.nan
        steps = torch.linalg.norm(self.vertebrae.middles.diff(dim=0), dim=1)
        return float((steps / torch.tensor(self.levels).diff()).median())


def chain(found: Vertebrae) -> Chain:
    """The row of vertebrae with the most evidence: levels rise, distances fit their heights, few are passed over.

    Dynamic programming over vertebrae from top to bottom and levels.
    """
    found = found[found.middles[:, 0].argsort()] if len(found) else found
    n, m = len(found), len(READ_LEVELS)
    if n == 0:
        return Chain(found, (), torch.zeros(0), 0.0)
    # against knowing nothing: a vertebra whose level cannot be told is worth what its score says
    gain = REWARD * (found.score - LEAST)[:, None] + LEVEL_WEIGHT * (found.level_log + math.log(m))
    best, came = gain.clone(), torch.full((n, m), -1)
    middles, tall, axes = found.middles, found.heights, found.axes
    # the patch of the sacrum is no body: it is as tall as we made it, and stands askew to L5 by the angle of the lumbosacral disc
    sacral = found.level_log.argmax(1) == m - 1
    for j in range(n):
        for i in range(j):
            step_px = middles[j] - middles[i]
            away = max(float(torch.linalg.norm(step_px)), 1e-3)
            pitch = DISC * float(tall[i] + tall[j]) / 2
            along = (axes[[i, j]] @ step_px / away).clamp(-1, 1)
            bend = float(torch.rad2deg(torch.arccos(along)).square().mean()) / TURN_SD_DEG**2 / 2
            if bool(sacral[j]):
                bend, pitch = SACRAL * bend, DISC * float(tall[i])
            for step in (1, 2, 3):
                fit = ((away / (pitch * step) - 1) / GAP_SD) ** 2 / 2 * (SACRAL if bool(sacral[j]) else 1.0) + bend
                if fit > 8:
                    continue
                new = best[i, : m - step] - fit - MISSED * (step - 1) + gain[j, step:]
                better = new > best[j, step:]
                best[j, step:] = torch.where(better, new, best[j, step:])
                came[j, step:] = torch.where(better, i * m + torch.arange(m - step), came[j, step:])
    at = int(best.argmax())
    total = float(best.flatten()[at])
    rows: list[int] = []
    levels: list[int] = []
    while at >= 0:
        rows.append(at // m)
        levels.append(at % m)
        at = int(came.flatten()[at])
    rows.reverse()
    levels.reverse()
    kept = found[rows]
    return Chain(kept, *_levels(kept, tuple(levels)), total)


def _levels(kept: Vertebrae, levels: tuple[int, ...]) -> tuple[tuple[int, ...], Float[Tensor, "n"]]:
    """The most probable shift of the whole row, and its probability."""
    m = len(READ_LEVELS)
    rows = torch.arange(len(levels))
    first, last = levels[0], levels[-1]
    shifts = [s for s in range(-SHIFTS, SHIFTS + 1) if first + s >= 0 and last + s < m]
    log = torch.stack([TEMPER * kept.level_log[rows, torch.tensor(levels) + s].sum() for s in shifts])
    share = log.softmax(0)
    best = int(share.argmax())
    return tuple(level + shifts[best] for level in levels), share[best].expand(len(levels)).clone()
