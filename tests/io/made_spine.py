"""Makes a column of simple vertebrae (a box body, a thin arch behind it) in a label map, LPS, upright."""

from collections.abc import Sequence

import numpy as np

SPACING_MM = 2.0
# Middle of body T12 is at voxel (x, y, z) = (30, 25, ...); each level below lies 15 voxels (30 mm) lower.
_STEP = 15


def made_spine(values: Sequence[int], body_only: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Labels [z, y, x] (uint8) with one vertebra a value, the first on top, and world_from_voxel in LPS mm."""
    labels = np.zeros((_STEP * len(values) + 10, 60, 60), dtype=np.uint8)
    for k, value in enumerate(values):
        top = labels.shape[0] - 5 - _STEP * k
        labels[top - 12 : top, 15:30, 20:40] = value
        if not body_only:
            labels[top - 11 : top - 3, 30:50, 26:34] = value
    affine = np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
    affine[:3, 3] = (-60.0, -40.0, 100.0)
    return labels, affine


def mirrored(affine: np.ndarray, axis: int) -> np.ndarray:
    """The affine of a file whose header lies about one world axis."""
    return np.diag([-1.0 if a == axis else 1.0 for a in range(3)] + [1.0]) @ affine
