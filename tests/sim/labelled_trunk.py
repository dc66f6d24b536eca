"""A trunk whose spine is known exactly: bodies, arches, ribs, a table, in soft tissue; as a labelled CT with its SpineCurve."""

import math

import numpy as np
import torch
from numpy.typing import NDArray

from spondyl.images import STRUCTURE_LABELS, Volume
from spondyl.sim.patient.alignment import frame
from spondyl.spine import LEVEL_LABELS, SpineCurve

Array = NDArray[np.float64]

LEVELS = ("T6", "T7", "T8", "T9", "T10", "T11", "T12", "L1", "L2")
HALF = (17.0, 14.0, 10.0)
DISC_MM = 7.0


def trunk_spine() -> SpineCurve:
    """Nine equal vertebrae with a kyphosis of 24 degrees and no coronal curve; the middle one at the origin."""
    n = len(LEVELS)
    tilts = np.linspace(12, -12, n)
    frames = np.stack([frame(0.0, float(s), 0.0) for s in tilts])
    centres = np.zeros((n, 3))
    for k in range(1, n):
        up = (frames[k - 1][:, 2] + frames[k][:, 2]) / 2
        centres[k] = centres[k - 1] - up / np.linalg.norm(up) * (2 * HALF[2] + DISC_MM)
    centres -= centres[n // 2]
    a, b, h = HALF
    local = np.array([[[0, 0, h], [a, 0, 0], [0, b, 0]], [[0, 0, -h], [a, 0, 0], [0, b, 0]]], dtype=float)
    ends = local @ np.swapaxes(frames, 1, 2)[:, None]
    ends[:, :, 0] += centres[:, None]
    sizes = np.tile([2 * a, 2 * b, 2 * h], (n, 1))
    return SpineCurve(
        LEVELS, *(torch.from_numpy(x).float() for x in (centres, np.swapaxes(frames, 1, 2).copy(), sizes, ends))
    )


def trunk(spacing_mm: float, *, spine: SpineCurve | None = None, table: bool = False) -> Volume:
    """The labelled CT: HU 40 soft tissue, -100 fat below the skin, 300 spongy and 900 cortical bone, 200 discs' rest 60."""
    spine = trunk_spine() if spine is None else spine
    low, high = np.array([-120.0, -110.0, -125.0]), np.array([120.0, 110.0, 125.0])
    count = np.round((high - low) / spacing_mm).astype(int) + 1
    grid = np.stack(np.meshgrid(*(low[k] + spacing_mm * np.arange(count[k]) for k in (2, 1, 0)), indexing="ij"), -1)
    points = grid[..., ::-1].astype(np.float32)
    hu = np.full(points.shape[:3], -1000.0, dtype=np.float32)
    labels = np.zeros(points.shape[:3], dtype=np.uint8)
    edge = np.hypot(points[..., 0] / 105, (points[..., 1] + 8) / 80)
    hu[edge < 1] = -100
    hu[edge < 0.92] = 40
    if table:
        hu[(points[..., 1] > 90) & (points[..., 1] < 96)] = 150
    for row, level in enumerate(spine.levels):
        axes, centre = spine.axes[row].numpy(), spine.centres_mm[row].numpy()
        box = _box(points, centre, 75)
        own = (points[box] - centre) @ axes.T
        _rib(hu[box], labels[box], own)
        _vertebra(hu[box], labels[box], own, LEVEL_LABELS[level])
    affine = torch.eye(4, dtype=torch.float64) * spacing_mm
    affine[3, 3] = 1
    affine[:3, 3] = torch.from_numpy(low)
    return Volume(torch.from_numpy(hu), affine, torch.from_numpy(labels))


def _box(points: NDArray[np.float32], centre: Array, reach: float) -> tuple[slice, slice, slice]:
    z, y, x = (points[:, 0, 0, 2], points[0, :, 0, 1], points[0, 0, :, 0])
    wide = (30.0, reach, reach)
    cuts = []
    for values, middle, r in zip((z, y, x), centre[::-1], wide, strict=True):
        first, last = np.searchsorted(values, [middle - r, middle + r])
        cuts.append(slice(int(first), int(last)))
    return cuts[0], cuts[1], cuts[2]


def _vertebra(hu: Array, labels: Array, own: Array, value: int) -> None:
    x, y, z = own[..., 0], own[..., 1], own[..., 2]
    a, b, h = HALF
    rho = np.hypot(x / a, y / b)
    body = (rho <= 1) & (np.abs(z) <= h)
    shell = body & ((rho > 0.92) | (np.abs(z) > h - 1.5))
    back = b + 9
    ring = np.hypot(x / 1.2, y - back)
    arch = (ring > 9) & (ring < 14) & (np.abs(z - 1) < 6) & (y > b - 4)
    arch |= (np.abs(x) < 3) & (y > back + 9) & (y < back + 28) & (np.abs(z + 0.4 * (y - back - 9)) < 4)
    arch |= (np.abs(x) < 30) & (np.abs(y - back - 10) < 4) & (np.abs(z - 1) < 4) & (np.abs(x) > 8)
    for inside, density in ((arch, 600), (body, 300), (shell, 900)):
        hu[inside] = density
        labels[inside] = value


def _rib(hu: Array, labels: Array, own: Array) -> None:
    """An arc from the transverse process outwards and forwards."""
    x, y, z = own[..., 0], own[..., 1], own[..., 2]
    around = np.hypot(
        np.hypot(np.abs(x) - 20, y - 20 + 0.012 * x * x) * 0 + (y - 24 + 0.006 * x * x), z + 0.2 * np.abs(x)
    )
    inside = (around < 4) & (np.abs(x) > 20) & (np.abs(x) < 70)
    hu[inside] = 700
    labels[inside] = STRUCTURE_LABELS["rib"]


def tilts_deg(spine: SpineCurve) -> torch.Tensor:
    """Coronal tilt of every endplate's normal, degrees."""
    n = spine.endplate_normals()
    return torch.atan2(n[..., 0], n[..., 2]) * (180 / math.pi)
