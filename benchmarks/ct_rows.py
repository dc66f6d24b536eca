"""Target 13: Hounsfield units, noise and histogram of simulated CTs, and the projector on a phantom of known line integrals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from cohort_rows import Array, Row, mean, row, spread
from scipy.ndimage import binary_erosion, gaussian_filter1d

from spondyl.geometry import View
from spondyl.images import STRUCTURE_LABELS, Volume
from spondyl.spine import SpineCurve
from spondyl.xray.project import project_channels

ERODED = 2  # voxels taken off every region, so that no border counts
CANCELLOUS = ("T10", "T11", "T12", "L1", "L2", "L3", "L4")
BINS_HU = np.arange(-1024.0, 1500.0, 8.0)
MODES_HU = {"air": (-1024, -950), "lung": (-900, -600), "fat": (-140, -60), "muscle": (20, 90), "bone": (120, 450)}
SMOOTHED_HU = 16.0
SAME_TISSUE = "every virtual patient has the same mean Hounsfield units"
QUIET_HU = 30.0  # louder scans drown the bones' mode in the muscle's
LEAST_DIP = 0.02  # a mode has this much more voxels than the valleys beside it, as a natural logarithm


@dataclass(frozen=True)
class Scan:
    """What was measured in one CT, HU. `modes` says of each of MODES_HU whether the histogram has a summit there."""

    cancellous: float
    muscle: float
    fat: float
    noise: float
    modes: tuple[bool, ...]


def measured(scan: Volume, clean: Volume, spine: SpineCurve) -> Scan:
    """One scan: means under labels, noise against the noise-free volume, modes of the histogram."""
    hu, labels = scan.hu.numpy(), clean.labels
    if labels is None:
        raise ValueError("the CT has no labels; wanted those of a virtual patient")
    regions = labels.numpy()
    inside = {name: binary_erosion(regions == STRUCTURE_LABELS[name], iterations=ERODED) for name in ("muscle", "fat")}
    cores = np.concatenate([hu[core(clean, spine, level)] for level in CANCELLOUS if level in spine.levels])
    muscle = hu[inside["muscle"]]
    return Scan(
        float(cores.mean()),
        float(muscle.mean()),
        float(hu[inside["fat"]].mean()),
        float((hu - clean.hu.numpy())[inside["muscle"]].std()),
        modes(hu),
    )


def core(volume: Volume, spine: SpineCurve, level: str) -> Array:
    """Voxels in the inner part of a vertebral body: within 0.55 of its half sizes along each of its axes."""
    i = spine.index(level)
    half = spine.sizes_mm[i].double() / 2 * 0.55
    reach = float(half.norm())
    voxel_from_world = torch.linalg.inv(volume.world_from_voxel.double())
    middle = voxel_from_world[:3, :3] @ spine.centres_mm[i].double() + voxel_from_world[:3, 3]
    out = torch.zeros(volume.hu.shape, dtype=torch.bool)
    steps = [reach / s for s in volume.spacing_mm]
    box = [slice(max(int(float(m) - s), 0), int(float(m) + s) + 2) for m, s in zip(middle, steps, strict=True)]
    x, y, z = torch.meshgrid(*(torch.arange(b.start, b.stop, dtype=torch.float64) for b in box), indexing="ij")
    at = (
        torch.stack([x, y, z], -1) @ volume.world_from_voxel[:3, :3].double().T
        + volume.world_from_voxel[:3, 3].double()
    )
    own = (at - spine.centres_mm[i].double()) @ spine.axes[i].double().T
    out[box[2], box[1], box[0]] = (own.abs() < half).all(-1).permute(2, 1, 0)
    return out.numpy()


def modes(hu: Array) -> tuple[bool, ...]:
    """Whether the smoothed logarithmic histogram has a summit in each window of MODES_HU."""
    counts = np.histogram(hu, BINS_HU)[0].astype(float)
    log = np.log(gaussian_filter1d(counts, SMOOTHED_HU / (BINS_HU[1] - BINS_HU[0])) + 1)
    middle = (BINS_HU[:-1] + BINS_HU[1:]) / 2
    found = []
    for low, high in MODES_HU.values():
        tops = [
            k for k in np.flatnonzero((middle >= low) & (middle <= high)) if log[k] >= log[max(k - 1, 0) : k + 2].max()
        ]
        found.append(any(min(_valley(log[: k + 1][::-1]), _valley(log[k:])) >= LEAST_DIP for k in tops))
    return tuple(found)


def _valley(falling: Array) -> float:
    """How far the curve falls from its first value before it rises above it; infinite where it never rises again."""
    higher = np.flatnonzero(falling > falling[0])
    return float(falling[0] - falling[: higher[0]].min()) if len(higher) else np.inf


def ct_rows(scans: Sequence[Scan]) -> list[Row]:
    """Target 13 from the scans, and the projector's error."""
    rows = []
    for name, low, high in (("cancellous", 177, 277), ("muscle", 50, 60), ("fat", -115, -85)):
        rows.append(row("13", f"CT, {name}, HU", low, high, np.array([getattr(s, name) for s in scans]), mean))
    noise = np.array([s.noise for s in scans])
    rows.append(row("13", "CT, noise in muscle, SD in HU, mean of patients", 15, 40, noise, mean))
    for name, low, high in (("cancellous", 25, 75), ("muscle", 4, 12), ("fat", 6, 18)):
        values = np.array([getattr(s, name) for s in scans])
        rows.append(row("13", f"CT, {name}, SD between patients, HU", low, high, values, spread, note=SAME_TISSUE))
    quiet = [s for s in scans if s.noise < QUIET_HU]
    for k, name in enumerate(MODES_HU):
        share = np.array([s.modes[k] for s in quiet], float)
        what = f"CT with noise below {QUIET_HU:g} HU, histogram has a mode of {name}, share"
        rows.append(row("13", what, 0.95, 1.0, share, mean))
    return [*rows, projector_row()]


def projector_row() -> Row:
    """Error of projected voxels of a chest of ellipsoids (1 mm) against exact line integrals, eight views."""
    from scene import CHEST, SIZES, line_integrals, poses, relative_error, voxelise

    s = SIZES["A"]
    affine = np.diag([*s.spacing_mm, 1.0])
    affine[:3, 3] = [-(n - 1) / 2 * d for n, d in zip(s.voxels, s.spacing_mm, strict=True)]
    voxels = torch.from_numpy(voxelise(CHEST, (s.voxels[2], s.voxels[1], s.voxels[0]), affine)).to(torch.float32)
    (h, w), pitch = s.detector_px, s.pixel_mm
    errors = []
    for p in poses(8):
        placed = torch.from_numpy(p.matrix).to(torch.float32)
        view = View(placed, torch.tensor(p.source_to_detector_mm), (pitch, pitch), (h, w))
        x, y = (np.arange(w) - (w - 1) / 2) * pitch, (np.arange(h) - (h - 1) / 2) * pitch
        rays = np.stack(np.broadcast_arrays(x, y[:, None], p.source_to_detector_mm), -1) @ p.camera[:3, :3].T
        truth = line_integrals(CHEST, p.camera[:3, 3], rays)
        image = project_channels(voxels[None], torch.from_numpy(affine).to(torch.float32), view)[0]
        errors.append(100 * relative_error(image.numpy(), truth))
    return row("13", "line integrals of a voxelised phantom, error in %, n counts views", 0, 1, np.array(errors), mean)
