"""What a reader learns to find: a few points of every vertebra, the patch of the picture that belongs to it, and its level."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from spondyl.spine import Corners, UltrasoundMarks

# Levels a reader tells apart. T13 and L6 have no number of their own: a picture seldom says which vertebra is the extra one.
READ_LEVELS: tuple[str, ...] = ("C7", *(f"T{i}" for i in range(1, 13)), *(f"L{i}" for i in range(1, 6)), "S1")
UNKNOWN = -1
SACRAL_DEPTH = 0.5  # of the patch below the plate of S1, over the plate's width
ARCH_SHARE = 0.42  # half height of an arch's patch, over the distance from one arch to the next


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
    """The four corners of each vertebra as marks; of S1 the plate, with a patch below it that stands for the sacrum."""
    points = corners.corners_px.clone()
    patches = torch.empty(len(points), 3, 2)
    across = (points[:, 1] - points[:, 0] + points[:, 3] - points[:, 2]) / 4
    down = (points[:, 2] + points[:, 3] - points[:, 0] - points[:, 1]) / 4
    patches[:] = torch.stack([points.mean(1), across, down], dim=1)
    for i, level in enumerate(corners.levels):
        if level == "S1":
            plate = (points[i, 1] - points[i, 0]) / 2
            below = torch.stack([plate[1], -plate[0]])
            below = below * torch.sign(below[0]) * SACRAL_DEPTH
            points[i, 2:] = points[i, :2] + 2 * below  # gives the patch a size; no reader is told of them
            patches[i] = torch.stack([points[i, :2].mean(0) + below, plate, below])
    seen = torch.isfinite(patches).flatten(1).all(1)
    levels = torch.tensor([READ_LEVELS.index(level) if level in READ_LEVELS else UNKNOWN for level in corners.levels])
    return Marks(points[seen].float(), patches[seen].float(), levels[seen])


def marks_of_arches(arches: UltrasoundMarks) -> Marks:
    """Marks of an ultrasound image: the corners of a patch about each arch, then transverse tips, laminae, spinous tip.

    The patch is as wide as the transverse processes; with it an arch has a size, which its landmarks alone do not give it.
    """
    middle = arches.laminae_px.mean(1)
    across = (arches.transverse_px[:, 1] - arches.transverse_px[:, 0]) / 2
    steps = middle.diff(dim=0)
    down = ARCH_SHARE * torch.cat([steps[:1], (steps[1:] + steps[:-1]) / 2, steps[-1:]])
    patches = torch.stack([middle, across, down], dim=1)
    box = [middle + a * across + d * down for d in (-1, 1) for a in (-1, 1)]
    points = torch.cat(
        [torch.stack(box, 1), arches.transverse_px, arches.laminae_px, arches.spinous_px[:, None]], dim=1
    )
    levels = torch.tensor([READ_LEVELS.index(level) if level in READ_LEVELS else UNKNOWN for level in arches.levels])
    return Marks(points.float(), patches.float(), levels)
