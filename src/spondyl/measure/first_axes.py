"""A first, rough frame for every labelled vertebra: along the spine, and front from back by the thick body."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from spondyl.measure.level_mask import Frame, LevelMask, frame_along

BACK = np.array([0.0, 1.0, 0.0])
UP = np.array([0.0, 0.0, 1.0])
# The world's own posterior direction is trusted unless most bodies lie this far off it, degrees: more than any
# vertebra's axial rotation, less than a file whose axes are wrong.
WRONG_DEG = 75.0
VOTERS = 5


def first_frames(masks: dict[str, LevelMask]) -> tuple[dict[str, Frame], tuple[str, ...]]:
    """A frame at every presacral label's centroid, and sentences where the map does not lie as its affine says.

    The cranial axis follows the line through the neighbours' centroids, towards the level above. The sacrum's
    centroid lies far behind that line, so it is no neighbour.
    """
    levels = [level for level in masks if level != "S1"]
    centroids = [masks[level].points_mm.mean(axis=0) for level in levels]
    axes = []
    for i in range(len(levels)):
        up = centroids[max(i - 1, 0)] - centroids[min(i + 1, len(levels) - 1)]
        length = np.linalg.norm(up)
        axes.append(up / length if length > 0 else UP)
    notes = []
    if axes and np.mean(axes, axis=0) @ UP < 0:
        notes.append("The labels run upside down in the world; the orientation of the file may be wrong.")
    back, lies_well = _posterior([masks[level] for level in levels], centroids, axes)
    if not lies_well:
        notes.append(
            "The arches do not lie behind the bodies in the world; the orientation of the file may be wrong, left and "
            "right with it."
        )
    frames = {level: frame_along(c, up, back) for level, c, up in zip(levels, centroids, axes, strict=True)}
    return frames, tuple(notes)


def _posterior(
    masks: list[LevelMask], centroids: list[Float[ndarray, "3"]], axes: list[Float[ndarray, "3"]]
) -> tuple[Float[ndarray, "3"], bool]:
    """The direction from the thickest parts to the centroids, over a few levels, and whether the world agrees."""
    votes = np.zeros(3)
    for i in np.unique(np.linspace(0, len(masks) - 1, VOTERS).round().astype(int)) if masks else []:
        behind = centroids[i] - masks[i].thickest_mm()
        votes += behind - (behind @ axes[i]) * axes[i]
    length = float(np.linalg.norm(votes))
    if length < 1.0 or votes @ BACK >= length * np.cos(np.radians(WRONG_DEG)):
        return BACK, True
    return votes / length, False
