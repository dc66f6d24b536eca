"""Target 16: depth and landmarks of simulated photographs of the back, and how its hump follows the Cobb angle."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from cohort_rows import Array, Row, correlation, largest, mean, missing, row
from torch import Tensor
from torch.nn import functional

from spondyl.images import BackImage
from spondyl.pairs import Subject
from spondyl.sim.make import sensor_named
from spondyl.sim.patient import Patient, anatomy_of, back_landmarks, surface_rotation_deg

MARKS = ("C7", "PSIS left", "PSIS right")
ROWS = (
    ("RGB-D, RMS depth error against the skin's mesh, mm", 1.0, 2.0),
    ("RGB-D, landmarks to the nearest point of the exact depth picture, pixels, largest", 0.0, 1.0),
)
BESIDE_MM = 90.0  # the bare back on both sides of the spine, away from arms and outline


@dataclass(frozen=True)
class Back:
    """What was measured in one photograph: RMS of depth, mm; and how far the farthest landmark lies from its pixel."""

    depth_mm: float
    landmark_px: float


def measured(patient: Patient, subject: Subject, *, generator: torch.Generator) -> Back:
    """One patient's photograph against the skin's mesh. Raises ValueError where there is no RGB-D sensor."""
    sensor = sensor_named("rgbd")
    image = cast(BackImage, sensor(subject, generator=generator))
    exact = cast(Tensor, sensor.skin_depth_mm(subject))  # type: ignore[attr-defined]
    inside = bare_back(image, exact, subject)
    error = (image.depth_mm - exact)[inside & (image.depth_mm > 0)]
    marks = back_landmarks(patient)
    points = torch.stack([marks.point(name) for name in MARKS])
    return Back(float(error.square().mean().sqrt()), float(offsets_px(image, exact, points).max()))


def lifted(image: BackImage, depth_mm: Tensor) -> Tensor:
    """World position of every pixel at a depth, [v, u, 3]."""
    h, w = depth_mm.shape
    v, u = torch.meshgrid(torch.arange(h, dtype=torch.float32), torch.arange(w, dtype=torch.float32), indexing="ij")
    k = torch.linalg.inv(image.intrinsics)
    rays = torch.stack([u, v, torch.ones_like(u)], -1) @ k.T
    at = torch.nan_to_num(rays * depth_mm[..., None], posinf=0.0)
    return at @ image.world_from_camera[:3, :3].T + image.world_from_camera[:3, 3]


def bare_back(image: BackImage, exact: Tensor, subject: Subject) -> Tensor:
    """Pixels of the back from T1 to the sacrum, near the spine, away from the outline and from clothes."""
    at, spine = lifted(image, exact), subject.spine
    x = float(spine.centres_mm[:, 0].mean())
    top, low = (float(spine.centres_mm[spine.index(level), 2]) for level in ("T1", "L5"))
    seen = torch.isfinite(exact)
    solid = functional.max_pool2d((~seen).float()[None], 9, stride=1, padding=4)[0] == 0
    return solid & (at[..., 2] < top) & (at[..., 2] > low) & ((at[..., 0] - x).abs() < BESIDE_MM)


def offsets_px(image: BackImage, exact: Tensor, points: Tensor) -> Tensor:
    """How far each point's own pixel lies from the pixel whose exact depth puts it nearest to the point."""
    at = lifted(image, exact)
    camera = (points - image.world_from_camera[:3, 3]) @ image.world_from_camera[:3, :3]
    where = camera @ image.intrinsics.T
    where = where[:, :2] / where[:, 2:]
    out = []
    for p, uv in zip(points, where, strict=True):
        far = torch.where(torch.isfinite(exact), (at - p).norm(dim=-1), torch.inf)
        k = int(far.argmin())
        best = torch.tensor([k % exact.shape[1], k // exact.shape[1]], dtype=torch.float32)
        out.append((best - uv).abs().max())
    return torch.stack(out)


def hump_index_deg(patient: Patient) -> float:
    """The largest rotation of the back's surface from T3 to L4, degrees, standing."""
    anatomy = anatomy_of(patient)
    heights = [float(v.centre[2]) for v in anatomy.vertebrae if v.size.level not in ("C7", "T1", "T2", "L5", "L6")]
    return float(surface_rotation_deg(anatomy.torso, torch.tensor(heights)).abs().max())


def back_rows(backs: Sequence[Back], patients: Sequence[Patient], reason: str = "") -> list[Row]:
    """Target 16; `reason` says why there are no photographs, where there are none."""
    if backs:
        data = np.array([[b.depth_mm, b.landmark_px] for b in backs])
        rows = [
            row("16", what, low, high, data[:, k], statistic)
            for k, ((what, low, high), statistic) in enumerate(zip(ROWS, (mean, largest), strict=True))
        ]
    else:
        rows = [missing("16", what, low, high, reason) for what, low, high in ROWS]
    free = [p for p in patients if p.traits.hardware is None]
    pairs: Array = np.array(
        [[hump_index_deg(p), max((c.cobb_deg for c in p.posture.curves), default=0.0)] for p in free]
    )
    return [*rows, row("16", "r(largest rotation of the back's surface, largest Cobb)", 0.78, 0.92, pairs, correlation)]
