"""What is measured on one virtual patient for the cohort's rows: angles, heights, shares, from the exact spine."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from cohort_rows import Array

from spondyl.sim.patient import Curve, Patient, spine_of, surface_rotation_deg
from spondyl.sim.patient.patient import anatomy_of, posed_vertebrae
from spondyl.sim.patient.posture import apex_region
from spondyl.spine import level_index


def sagittal_deg(p: Patient, upper: str, lower: str, *, inferior: bool = True) -> float:
    """Projected sagittal angle between a superior and an inferior (or superior) endplate, kyphosis positive."""
    n = p.spine.endplate_normals().double().numpy()
    a, b = n[p.spine.index(upper), 0], n[p.spine.index(lower), 1 if inferior else 0]
    return math.degrees(math.atan2(-a[1], a[2]) - math.atan2(-b[1], b[2]))


def kyphosis_3d_deg(p: Patient, upper: str = "T5", lower: str = "T12") -> float:
    """Kyphosis summed in each vertebra's own sagittal plane (Newton 2015's idea): coronal and axial parts taken away."""
    normals = p.spine.endplate_normals().double().numpy()
    axes = p.spine.axes.double().numpy()
    first, last = p.spine.index(upper), p.spine.index(lower)
    total = 0.0
    for i in range(first, last + 1):
        ends = [normals[i, 0], normals[i, 1]]
        total += _in_plane(ends[0], axes[i]) - _in_plane(ends[1], axes[i])
        if i < last:
            frame = axes[i] + axes[i + 1]
            total += _in_plane(ends[1], frame) - _in_plane(normals[i + 1, 0], frame)
    return total


def _in_plane(normal: Array, frame: Array) -> float:
    return math.degrees(math.atan2(-float(normal @ frame[1]), float(normal @ frame[2])))


def heights(p: Patient, level: str) -> tuple[float, float]:
    """Anterior and posterior height of a body, mm, from its endplates."""
    i = p.spine.index(level)
    top, bottom = p.spine.endplates_mm[i].double().numpy()
    return float(np.linalg.norm(top[0] - top[2] - bottom[0] + bottom[2])), float(
        np.linalg.norm(top[0] + top[2] - bottom[0] - bottom[2])
    )


def usual(patients: Sequence[Patient]) -> list[Patient]:
    """Patients with twelve thoracic and five lumbar vertebrae."""
    return [p for p in patients if len(p.spine.levels) == 19 and "T12" in p.spine.levels and "L5" in p.spine.levels]


def curves(patients: Sequence[Patient], region: str, least_deg: float = 10.0) -> list[tuple[Patient, Curve]]:
    """Every curve of a region from `least_deg` on."""
    return [
        (p, c)
        for p in patients
        for c in p.posture.curves
        if c.cobb_deg >= least_deg and apex_region(c.upper, c.lower) == region
    ]


def body_share(p: Patient, c: Curve) -> float:
    """Share of a curve's angle that its bodies make up, from the endplates."""
    n = p.spine.endplate_normals().double().numpy()
    tilt = np.degrees(np.arctan2(n[..., 0], n[..., 2]))
    rows = slice(p.spine.index(c.upper), p.spine.index(c.lower) + 1)
    return float(abs((tilt[rows, 0] - tilt[rows, 1]).sum()) / c.cobb_deg)


def apical_wedge_deg(p: Patient, c: Curve) -> float:
    """Largest coronal wedge of a body in the curve."""
    n = p.spine.endplate_normals().double().numpy()
    tilt = np.degrees(np.arctan2(n[..., 0], n[..., 2]))
    rows = slice(p.spine.index(c.upper), p.spine.index(c.lower) + 1)
    return float(np.abs(tilt[rows, 0] - tilt[rows, 1]).max())


def height_loss_mm(p: Patient) -> float:
    """How much taller the spine would be without its curves, mm."""
    straight = spine_of(replace(p.posture, curves=()), p.body)
    return float(straight.endplates_mm[1, 0, 0, 2] - p.spine.endplates_mm[1, 0, 0, 2])


def is_apex(level: str, bow_deg: float, c: Curve) -> bool:
    """Whether a vertebra is the one furthest out in a curve."""
    return level_index(c.upper) < level_index(level) < level_index(c.lower) and abs(bow_deg) > 0.999 * c.cobb_deg


def surface_errors(patients: Sequence[Patient]) -> Array:
    """Per patient, the largest difference between the skin's rotation and the designed one at the apices, degrees."""
    out = []
    for p in patients:
        anatomy = anatomy_of(p)
        worst = 0.0
        for c in p.posture.curves:
            if c.lower in ("T4", "T5", "T6"):
                continue
            inside = [v for v in posed_vertebrae(p) if is_apex(v.size.level, v.bow_deg, c)]
            if inside:
                found = surface_rotation_deg(anatomy.torso, torch.tensor([float(inside[0].centre[2])]))
                worst = max(worst, abs(abs(float(found)) - float(c.surface_deg or 0.0)))
        out.append(worst)
    return np.array(out)
