"""Drawn spines of known angles on pictures that say which spine they show, and systems that answer by a rule."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.evaluate import EvaluationCase, Protocol, SpineTruth
from spondyl.geometry import View
from spondyl.images import Radiograph
from spondyl.measure.aasce import aasce_angles
from spondyl.pairs import Image
from spondyl.spine import Corners
from spondyl.system import Settings, System

LEVELS = (*(f"T{i}" for i in range(1, 13)), *(f"L{i}" for i in range(1, 6)))
ROWS, COLUMNS = 480, 200
VIEW = View.around((0.0, 0.0, 0.0), shape_px=(ROWS, COLUMNS), beam="parallel")


def tilts(cobb_deg: float, first: int = 4, last: int = 11) -> list[float]:
    """Tilts of 17 vertebrae: 0 at both ends, half the angle at `first`, minus half of it at `last`, straight in between."""
    knots = {0: 0.0, first: cobb_deg / 2, last: -cobb_deg / 2, 16: 0.0}
    rows = sorted(knots)
    out = []
    for i in range(17):
        a = max(k for k in rows if k <= i)
        b = min(k for k in rows if k >= i)
        out.append(knots[a] if a == b else knots[a] + (knots[b] - knots[a]) * (i - a) / (b - a))
    return out


def spine(tilts_deg: Sequence[float], extra_deg: float = 0.0, at: int = 4) -> Corners:
    """Boxes of 40 x 18 pixels under each other, both endplates tilted alike; the upper one of vertebra `at` by `extra_deg` more."""
    points = []
    for i, tilt in enumerate(tilts_deg):
        box = []
        for end in (0, 1):
            turn = torch.deg2rad(torch.tensor(tilt + (extra_deg if (i, end) == (at, 0) else 0.0), dtype=torch.float64))
            v = 30.0 + 25 * i + 18 * end
            half = 20 * torch.stack([-turn.sin(), turn.cos()])
            middle = torch.tensor([v, 100.0], dtype=torch.float64)
            box += [middle - half, middle + half]
        points.append(torch.stack(box))
    return Corners(LEVELS, torch.stack(points).float(), torch.ones(17), VIEW)


def picture(number: int) -> Radiograph:
    """A picture whose first pixel says its number."""
    depth = torch.zeros(ROWS, COLUMNS)
    depth[0, 0] = float(number)
    return Radiograph(depth, VIEW)


def case(number: int, corners: Corners, patient: str = "", *, aasce: bool = False) -> EvaluationCase:
    angles = aasce_angles(corners, rows_px=ROWS) if aasce else None
    truth = SpineTruth(corners, "coronal", ROWS, mm_per_px=(1.0, 1.0), aasce=angles)
    return EvaluationCase(f"case-{number}", patient or f"p{number}", lambda: picture(number), truth)


class Says(System):
    """Gives the corners that a list has for the picture's number; None is a picture in which it finds nothing."""

    name, source, target, modalities = "says", Radiograph, Corners, ("pa", "pa")

    def __init__(self, answers: Sequence[Corners | None]) -> None:
        super().__init__(Settings())
        self.said = list(answers)
        self.asked = 0

    def loss(self, batch: object, player: str, *, generator: torch.Generator) -> Float[Tensor, ""]:
        return torch.zeros(())

    def sample(
        self, source: Float[Tensor, "b h w"], view: View | None, *, generator: torch.Generator
    ) -> Float[Tensor, "b 17 8"]:
        self.asked += 1
        numbers = [int(s[0, 0]) for s in source]
        nothing = torch.full((17, 8), torch.nan)
        return torch.stack([nothing if (c := self.said[n]) is None else c.corners_px.flatten(1) for n in numbers])

    def wrap(self, answer: Float[Tensor, "17 8"], image: Image, view: View | None) -> Corners:
        there = torch.isfinite(answer).all(dim=1)
        levels = tuple(level for level, t in zip(LEVELS, there.tolist(), strict=True) if t)
        return Corners(levels, answer[there].reshape(-1, 4, 2), torch.ones(len(levels)), VIEW)


def protocol(cases: Sequence[EvaluationCase], seed: int = 0) -> Protocol:
    patients = len({c.patient for c in cases})
    return Protocol(
        "drawn spines", "0" * 64, "all", "", len(cases), patients, seed, "the others", "spondyl evaluate", ()
    )
