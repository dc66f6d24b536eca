"""What a reader learns to find: a few points of every vertebra, the patch of the picture that belongs to it, and its level."""

from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from spondyl.spine import Corners

# Levels a reader tells apart. T13 and L6 have no number of their own: a picture seldom says which vertebra is the extra one.
READ_LEVELS: tuple[str, ...] = ("C7", *(f"T{i}" for i in range(1, 13)), *(f"L{i}" for i in range(1, 6)), "S1")
UNKNOWN = -1
SACRAL_DEPTH = 0.5  # of the patch below the plate of S1, over the plate's width


@dataclass(frozen=True, eq=False)
class Marks:
    """The truth of one picture, in its pixels (v, u).

    Args:
        points: what is to be found of each vertebra; NaN where it cannot be seen.
        patches: centre of each vertebra's parallelogram, and its half axes along the endplates and along the spine.
        levels: places in READ_LEVELS, UNKNOWN for T13 and L6.
    """

    points: Float[Tensor, "n k 2"]
    patches: Float[Tensor, "n 3 2"]
    levels: Integer[Tensor, "n"]

    def warped(self, to: "Affine") -> "Marks":
        """The marks in another picture's pixels."""
        patches = torch.cat([to(self.patches[:, :1]), to.turn(self.patches[:, 1:])], dim=1)
        return Marks(to(self.points), patches, self.levels)


T = TypeVar("T", bound="Affine")


@dataclass(frozen=True, eq=False)
class Affine:
    """p -> matrix p + shift, for points (v, u)."""

    matrix: Float[Tensor, "2 2"]
    shift: Float[Tensor, "2"]

    def __call__(self, points: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n 2"]:
        return self.turn(points) + self.shift.to(points)

    def turn(self, steps: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n 2"]:
        """Differences of points, which no shift changes."""
        return steps @ self.matrix.to(steps).mT

    def inverse(self) -> "Affine":
        """The way back."""
        back = torch.linalg.inv(self.matrix.double()).to(self.matrix)
        return Affine(back, -back @ self.shift)

    def after(self, first: "Affine") -> "Affine":
        """This one applied to what `first` gives."""
        return Affine(self.matrix @ first.matrix, self.matrix @ first.shift + self.shift)


def marks_of_corners(corners: Corners) -> Marks:
    """The four corners of each vertebra as marks; of S1 the plate alone, with a patch below it."""
    points = corners.corners_px.clone()
    patches = torch.empty(len(points), 3, 2)
    across = (points[:, 1] - points[:, 0] + points[:, 3] - points[:, 2]) / 4
    down = (points[:, 2] + points[:, 3] - points[:, 0] - points[:, 1]) / 4
    patches[:] = torch.stack([points.mean(1), across, down], dim=1)
    for i, level in enumerate(corners.levels):
        if level == "S1":
            points[i, 2:] = torch.nan
            plate = (points[i, 1] - points[i, 0]) / 2
            below = torch.stack([plate[1], -plate[0]])
            below = below * torch.sign(below[0]) * SACRAL_DEPTH
            patches[i] = torch.stack([points[i, :2].mean(0) + below, plate, below])
    seen = torch.isfinite(patches).flatten(1).all(1)
    levels = torch.tensor([READ_LEVELS.index(level) if level in READ_LEVELS else UNKNOWN for level in corners.levels])
    return Marks(points[seen].float(), patches[seen].float(), levels[seen])
