"""The scene of the projector benchmark: two sizes, an oblique gantry, and the truth of images and pose gradients."""

import hashlib
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from peers.job import Array, Image, Job, Pose

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "xray"))
from ellipsoids import CHEST, line_integrals, voxelise  # noqa: E402

SOURCE_TO_DETECTOR_MM, SOURCE_TO_CENTRE_MM = 1020.0, 600.0
ANGLE_DEG, TILT_DEG = 30.0, 10.0  # oblique on purpose: no ray runs along an axis of the grid
LEVER_MM = 100.0  # a rotation counts as the shift that it makes at this distance from the centre


@dataclass(frozen=True)
class Size:
    """A volume of so many voxels (x, y, z), and a detector of rows, columns of square pixels."""

    voxels: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    detector_px: tuple[int, int]
    pixel_mm: float


SIZES = {
    "A": Size((256, 256, 256), (1.0, 1.0, 1.0), (256, 256), 1.5),
    "B": Size((512, 512, 256), (0.7, 0.7, 1.0), (512, 512), 0.75),
}


@dataclass(frozen=True)
class Column:
    """One column of the table; `limit_ms` is what the machine of docs/benchmarks.md could do at best, where known."""

    name: str
    title: str
    size: str
    views: int = 1
    gradient: str = ""
    limit_ms: float | None = None


# Limits on 2 cores of an AMD EPYC (Zen 4): at A, reading the 12.6 M touched voxels once at 28.7 GB/s; at B, 16 flop for
# each of 120.9 M bilinear samples at 234 GFLOP/s.
COLUMNS = (
    Column("A", "one view, 256³", "A", limit_ms=1.75),
    Column("B", "one view, 512×512×256", "B", limit_ms=8.3),
    Column("A16", "16 views, 256³", "A", views=16),
    Column("A-volume", "forward + gradient to the volume, 256³", "A", gradient="volume"),
    Column("A-pose", "forward + gradient to the pose, 256³", "A", gradient="pose"),
)


def poses(count: int) -> tuple[Pose, ...]:
    """Views evenly around the patient's long axis from ANGLE_DEG on, the source raised by TILT_DEG."""
    return tuple(pose(ANGLE_DEG + 360 * k / count) for k in range(count))


def pose(angle_deg: float) -> Pose:
    """One view of a gantry around the origin."""
    a, t = np.radians(angle_deg), np.radians(TILT_DEG)
    to_source = np.array([np.cos(t) * np.sin(a), -np.cos(t) * np.cos(a), np.sin(t)])
    u = np.array([np.cos(a), np.sin(a), 0.0])
    v = np.cross(-to_source, u)
    m = np.eye(4)
    m[:3, :3] = np.stack([u, v, -to_source], axis=1)
    m[:3, 3] = to_source * (SOURCE_TO_CENTRE_MM - SOURCE_TO_DETECTOR_MM)
    return Pose(tuple(map(tuple, m.tolist())), SOURCE_TO_DETECTOR_MM)


def volume_file(size: str, folder: Path) -> Path:
    """The phantom in voxels, made once for each size and wording of the phantom."""
    s = SIZES[size]
    key = hashlib.sha256(repr((CHEST, s)).encode()).hexdigest()[:10]
    path = folder / f"chest_{size}_{key}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        affine = np.diag([*s.spacing_mm, 1.0])
        affine[:3, 3] = [-(n - 1) / 2 * d for n, d in zip(s.voxels, s.spacing_mm, strict=True)]
        part = path.with_suffix(".part.npy")
        np.save(part, voxelise(CHEST, (s.voxels[2], s.voxels[1], s.voxels[0]), affine))
        part.replace(path)
    return path


def job(column: Column, folder: Path, answer: Path, threads: int) -> Job:
    """What a peer is asked for in this column."""
    s = SIZES[column.size]
    return Job(
        volume=str(volume_file(column.size, folder)), spacing_mm=s.spacing_mm, detector_px=s.detector_px,
        pixel_mm=s.pixel_mm, poses=poses(column.views), gradient=column.gradient, threads=threads, answer=str(answer),
    )  # fmt: skip


def true_image(asked: Job) -> Array:
    """Exact line integrals from the source to each pixel's centre, [views, rows, columns]."""
    return np.stack([_true_view(asked, p) for p in asked.poses])


def _true_view(asked: Job, p: Pose) -> Array:
    (h, w), camera = asked.detector_px, p.camera
    x = (np.arange(w) - (w - 1) / 2) * asked.pixel_mm
    y = (np.arange(h) - (h - 1) / 2) * asked.pixel_mm
    rays = np.stack(np.broadcast_arrays(x, y[:, None], p.source_to_detector_mm), -1) @ camera[:3, :3].T
    return line_integrals(CHEST, camera[:3, 3], rays)


def true_twist(asked: Job, *, finer: int = 3, step: float = 0.3) -> Array:
    """Derivative of the sum of squares by a shift of the view along x, y, z and a turn about them, [6], per mm.

    Central differences of the exact image; turns are divided by LEVER_MM. The edges of solids have no derivative at a
    point: a detector so many times finer each way and a step of a fifth of a pixel settle the six numbers to 1 %.
    """
    (h, w), pitch_mm = asked.detector_px, asked.pixel_mm / finer
    fine = replace(asked, detector_px=(h * finer, w * finer), pixel_mm=pitch_mm)

    def loss(generator: Array, amount: float) -> float:
        moved = _moved(asked.poses[0], generator, amount)
        return float((true_image(replace(fine, poses=(moved,))) ** 2).sum()) / finer**2

    return np.array([(loss(g, step) - loss(g, -step)) / (2 * step) for g in _generators()])


def twist(placed: Array, gradient: Array) -> Array:
    """The same six numbers from a gradient by the entries of a 4 x 4 placement of the view, whatever its origin."""
    return np.array([(gradient * (g @ placed)).sum() for g in _generators()])


def _generators() -> list[Array]:
    """Rigid motions of the world, 4 x 4: three shifts by 1 mm, three turns by 1 / LEVER_MM about the centre."""
    out = []
    for axis in range(6):
        g = np.zeros((4, 4))
        if axis < 3:
            g[axis, 3] = 1
        else:
            i, j = ((1, 2), (2, 0), (0, 1))[axis - 3]
            g[j, i], g[i, j] = 1 / LEVER_MM, -1 / LEVER_MM
        out.append(g)
    return out


def _moved(p: Pose, generator: Array, amount: float) -> Pose:
    step = generator * amount
    turned = np.eye(4) + step + step @ step / 2 + step @ step @ step / 6  # the matrix exponential to 1e-14 here
    return Pose(tuple(map(tuple, (turned @ p.matrix).tolist())), p.source_to_detector_mm)


def relative_error(image: Image | Array, truth: Array) -> float:
    """Norm of the difference over the norm of the truth."""
    return float(np.linalg.norm(image.astype(np.float64).reshape(truth.shape) - truth) / np.linalg.norm(truth))
