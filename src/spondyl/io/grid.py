"""Numbers on a grid as a file holds them, before anyone has said whether they are Hounsfield units or labels."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from spondyl.io.source import Source

# 4 GiB of float32: a 0.5 mm whole-trunk CT (512 x 512 x 2000) is half of it. Above, a header is broken or hostile.
MAX_VOXELS = 2**30

# NIfTI and nibabel are RAS, this house is LPS: the first two world axes change sign.
LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Grid:
    """One file's numbers and where they lie.

    Args:
        values: stored [z, y, x], any real type, scaled as the file says (RescaleSlope, scl_slope applied).
        world_from_voxel: voxel (x, y, z, 1) to world LPS mm, float64.
        source: where it came from, with the reader's notes.
    """

    values: Shaped[np.ndarray, "z y x"]
    world_from_voxel: Float[np.ndarray, "4 4"]
    source: Source


def check_size(name: str, shape: tuple[int, ...]) -> None:
    """Raises ValueError where a grid is no volume (a side below two voxels) or larger than MAX_VOXELS."""
    if len(shape) != 3 or min(shape) < 2:
        size = " x ".join(str(n) for n in shape)
        raise ValueError(f"{name} is {size} voxels; wanted a volume, at least two along each of three axes")
    if int(np.prod(shape, dtype=np.float64)) > MAX_VOXELS:
        size = " x ".join(str(n) for n in shape)
        raise ValueError(f"{name} claims {size} voxels; at most {MAX_VOXELS} are read: crop or resample it")


def corners_mm(shape: tuple[int, int, int], world_from_voxel: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "8 3"]:
    """World positions of the eight corner voxels' centres of a grid of shape (z, y, x)."""
    nz, ny, nx = shape
    ijk = np.array([[i, j, k] for k in (0, nz - 1) for j in (0, ny - 1) for i in (0, nx - 1)], dtype=np.float64)
    corners: Float[np.ndarray, "8 3"] = ijk @ world_from_voxel[:3, :3].T + world_from_voxel[:3, 3]
    return corners
