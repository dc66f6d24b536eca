"""What a peer is asked to project, and what it answers. Needs numpy only."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Image = NDArray[np.float32]


@dataclass(frozen=True)
class Pose:
    """One cone-beam exposure: where the detector stands and where its source is, world LPS mm.

    `world_from_detector` has columns u (along detector columns), v (along rows), the beam, and the detector's centre.
    """

    world_from_detector: tuple[tuple[float, ...], ...]
    source_to_detector_mm: float

    @property
    def matrix(self) -> Array:
        """The detector's placement, 4 x 4."""
        return np.array(self.world_from_detector)

    @property
    def camera(self) -> Array:
        """The same axes with the origin at the source, 4 x 4: what pinhole cameras call camera-to-world."""
        m = self.matrix
        m[:3, 3] -= m[:3, 2] * self.source_to_detector_mm
        return m


@dataclass(frozen=True)
class Job:
    """One figure to measure: a volume centred on the origin, a detector, views, and which gradient is wanted.

    `volume` names a file [z, y, x], float32, 1/mm; spacing is x, y, z; detector is rows, columns of square pixels.
    `gradient` is "", "volume" or "pose": of the sum of the image's squares.
    """

    volume: str
    spacing_mm: tuple[float, float, float]
    detector_px: tuple[int, int]
    pixel_mm: float
    poses: tuple[Pose, ...]
    gradient: str
    threads: int
    answer: str

    @classmethod
    def read(cls, path: str) -> "Job":
        """The job of a file that `write` made."""
        raw = json.loads(Path(path).read_text())
        poses = tuple(Pose(**p) for p in raw.pop("poses"))
        return cls(**raw, poses=poses)

    def write(self, path: Path) -> None:
        """Keep the job as JSON."""
        path.write_text(json.dumps(asdict(self)))

    def load(self) -> Image:
        """The volume, [z, y, x], 1/mm."""
        return np.asarray(np.load(self.volume))

    def size_xyz(self) -> tuple[int, int, int]:
        """Voxels along x, y, z."""
        z, y, x = np.load(self.volume, mmap_mode="r").shape
        return x, y, z

    def origin_mm(self) -> tuple[float, float, float]:
        """World position of the first voxel's centre."""
        x, y, z = (-(n - 1) / 2 * s for n, s in zip(self.size_xyz(), self.spacing_mm, strict=True))
        return x, y, z

    def world_from_voxel(self) -> Array:
        """The affine of the grid, 4 x 4."""
        affine = np.diag([*self.spacing_mm, 1.0])
        affine[:3, 3] = self.origin_mm()
        return affine


@dataclass(frozen=True)
class Answer:
    """What one call gave: line integrals [views, rows, columns]; a gradient [z, y, x], or [4, 4] with its pose."""

    image: Image
    volume_gradient: Image | None = None
    pose: Array | None = None
    pose_gradient: Array | None = None


@dataclass(frozen=True)
class Reply:
    """One message from a peer's process: ready, ran, done, or missing and failed with the reason in `note`."""

    kind: str
    seconds: tuple[float, ...] = ()
    cpu_s: float = 0.0
    peak_mib: float = 0.0
    version: str = ""
    note: str = ""


def stacked_cameras(poses: Sequence[Pose], signs: tuple[int, int] = (1, 1)) -> Image:
    """Camera-to-world matrices of some poses, [n, 4, 4]; signs turn u and v for peers that count the other way."""
    m = np.stack([p.camera for p in poses])
    m[:, :3, 0] *= signs[0]
    m[:, :3, 1] *= signs[1]
    return m.astype(np.float32)
