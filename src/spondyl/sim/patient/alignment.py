"""The spine of a body in a posture: tilts of every endplate chosen so that each angle is exact by design.

The tilt of an endplate in the coronal plane is t = atan2(n_x, n_z), in the sagittal plane s = atan2(-n_y, n_z), with n its
cranial normal in the world (LPS). Positive t leans to the patient's left, positive s leans forward. Between the end
vertebrae of a curve t runs monotonically (cubic Hermite with flat ends), so its Cobb angle is the difference of the ends.
Axial rotation is applied first, in the vertebra's own frame: R = Ry Rx Rz, so it never changes a normal.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from spondyl.sim.patient.anatomy import Body, LevelSize, number
from spondyl.sim.patient.posture import Curve, Posture, body_share_of, rotation_of, turn_sign
from spondyl.spine import SpineCurve

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Stack:
    """Endplates from cranial to caudal (C7 superior, C7 inferior, ..., S1 superior) and the gaps between them, mm."""

    sizes: tuple[LevelSize, ...]
    gaps_mm: Array

    def superior(self, level: str) -> int:
        levels = [s.level for s in self.sizes]
        if level not in levels:
            raise ValueError(f"{level} is not in this spine ({levels[0]} to {levels[-1]}); choose another end vertebra")
        return 2 * levels.index(level)

    def inferior(self, level: str) -> int:
        if level == "S1":
            raise ValueError("S1 has no inferior endplate; a curve ends at the last lumbar vertebra")
        return self.superior(level) + 1

    def last(self, region: str) -> str:
        return [s.level for s in self.sizes if s.level.startswith(region)][-1]


def spine_of(posture: Posture, body: Body) -> SpineCurve:
    """The exact spine of a body in a posture, float32, world LPS mm; the middle of the S1 endplate is the origin.

    Raises:
        ValueError: for an end vertebra that the body does not have.
    """
    stack = _stack(body)
    sagittal = _sagittal_tilts(posture, stack)
    coronal = _coronal_tilts(posture, stack, sagittal)
    points = _integrate(coronal, sagittal, stack.gaps_mm)
    rotation = _axial_rotations(posture, stack, points)
    return _assemble(stack, coronal, sagittal, rotation, points)


def frame(coronal_deg: float, sagittal_deg: float, axial_deg: float) -> Array:
    """R = Ry Rx Rz, columns: the vertebra's left, posterior and cranial axis in the world.

    Rx takes the angle whose projection on the sagittal plane is `sagittal_deg`: both projected tilts are then exact.
    """
    t, a = math.radians(coronal_deg), math.radians(axial_deg)
    s = math.atan(math.tan(math.radians(sagittal_deg)) * math.cos(t))
    ry = np.array([[math.cos(t), 0, math.sin(t)], [0, 1, 0], [-math.sin(t), 0, math.cos(t)]])
    rx = np.array([[1, 0, 0], [0, math.cos(s), -math.sin(s)], [0, math.sin(s), math.cos(s)]])
    rz = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
    r: Array = np.asarray(ry @ rx @ rz, dtype=np.float64)
    return r


def _stack(body: Body) -> _Stack:
    gaps: list[float] = []
    for size in body.sizes[:-1]:
        gaps += [size.height, size.disc]
    return _Stack(body.sizes, np.array(gaps))


def _shares(gaps_mm: Array, first: int, body_share: float) -> Array:
    """Shares of a tilt change over the gaps: flat-ended cubic in arc length, bodies together `body_share` of it."""
    edges = np.concatenate([[0.0], np.cumsum(gaps_mm)]) / gaps_mm.sum()
    share: Array = np.diff(edges**2 * (3 - 2 * edges))
    bodies = (np.arange(len(gaps_mm)) + first) % 2 == 0
    if bodies.any() and not bodies.all():
        share[bodies] *= body_share / share[bodies].sum()
        share[~bodies] *= (1 - body_share) / share[~bodies].sum()
    return share


def _coronal_tilts(posture: Posture, stack: _Stack, sagittal: Array) -> Array:
    """Coronal tilt of every endplate; the first tilt is solved so that C7 stands over S1 (or at balance_mm)."""
    if not posture.curves:
        return _tilts_from(posture, stack, posture.pelvic_obliquity_deg * 0.3)
    first = posture.curves[0]
    sign = 1.0 if first.side == "right" else -1.0

    def top(first_deg: float) -> float:
        return float(_integrate(_tilts_from(posture, stack, first_deg), sagittal, stack.gaps_mm)[0, 0])

    low, high = sorted((-sign * 0.4 * first.cobb_deg, sign * 0.9 * first.cobb_deg))
    return _tilts_from(posture, stack, _bisect(top, posture.balance_mm, low, high))


def _bisect(rising: Callable[[float], float], target: float, low: float, high: float) -> float:
    """Where a rising function meets its target, or the nearer bound."""
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < target else (low, middle)
    return (low + high) / 2


def _tilts_from(posture: Posture, stack: _Stack, first_deg: float) -> Array:
    tilt = np.full(len(stack.gaps_mm) + 1, first_deg)
    value, at = first_deg, 0
    if posture.curves and (first_deg > 0) == (posture.curves[0].side == "right"):
        tilt[0] = 0.4 * first_deg
    for k, curve in enumerate(posture.curves):
        start, end = stack.superior(curve.upper), stack.inferior(curve.lower)
        if k and posture.curves[k - 1].lower == curve.upper:
            start += 1
        if k + 1 < len(posture.curves) and posture.curves[k + 1].upper == curve.lower:
            end -= 1
        target = first_deg if k == 0 else value
        _fill(tilt, stack, at, start, target, number("deformity", "body_share_thoracic"))
        value = target - (curve.cobb_deg if curve.side == "right" else -curve.cobb_deg)
        _fill(tilt, stack, start, end, value, body_share_of(curve))
        at = end
    _fill(tilt, stack, at, len(tilt) - 1, posture.pelvic_obliquity_deg, number("deformity", "body_share_lumbar"))
    return tilt


def _fill(tilt: Array, stack: _Stack, start: int, end: int, value: float, body_share: float) -> None:
    """Run the tilt from endplate `start` to `value` at endplate `end`; in place."""
    if end <= start:
        if end == start:
            tilt[end] = value
        return
    share = _shares(stack.gaps_mm[start:end], start, body_share)
    tilt[start + 1 : end + 1] = tilt[start] + (value - tilt[start]) * np.cumsum(share)
    tilt[end] = value


def _sagittal_tilts(posture: Posture, stack: _Stack) -> Array:
    """Sagittal tilt of every endplate; the thoracolumbar junction's angle is solved for the wanted SVA."""
    straight = np.zeros(len(stack.gaps_mm) + 1)
    back = stack.sizes[-1].epdu / 2 * math.cos(math.radians(posture.sacral_slope_deg))

    def sva(junction_deg: float) -> float:
        tilt = _sagittal_from(posture, stack, junction_deg)
        return float(back - _integrate(straight, tilt, stack.gaps_mm)[0:2, 1].mean())

    return _sagittal_from(posture, stack, _bisect(sva, posture.sva_mm, -4.0, 6.0))


def _sagittal_from(posture: Posture, stack: _Stack, junction_deg: float) -> Array:
    """SS at S1, then lordosis up to L1, then kyphosis, then the neck; shapes from the segment table."""
    tilt = np.zeros(len(stack.gaps_mm) + 1)
    tilt[-1] = posture.sacral_slope_deg
    l1, t12, t4 = stack.superior("L1"), stack.inferior(stack.last("T")), stack.superior("T4")
    norm = posture.kyphosis_deg / 38.0
    _bend(tilt, stack, l1, len(tilt) - 1, -posture.lordosis_deg, posture.lordosis_deg / 58.0)
    tilt[t12] = tilt[l1] + junction_deg
    _bend(tilt, stack, t4, t12, posture.kyphosis_deg, norm)
    _bend(tilt, stack, stack.superior("T1"), t4, 8.0 * min(max(norm, 0.3), 1.4), norm)
    for gap in range(stack.superior("T1") - 1, -1, -1):
        tilt[gap] = tilt[gap + 1] - 2.0
    return tilt


def _bend(tilt: Array, stack: _Stack, start: int, end: int, kyphosis_deg: float, norm: float) -> None:
    """Fill tilts from endplate `end` up to `start`: bodies near their own wedge, discs the rest; in place."""
    wedge = np.zeros(end - start)
    weight = np.zeros(end - start)
    for k, gap in enumerate(range(start, end)):
        size = stack.sizes[gap // 2]
        if gap % 2 == 0:
            wedge[k] = size.sagittal_wedge_deg * (0.5 + 0.5 * min(max(norm, 0.0), 1.5))
        else:
            weight[k] = abs(size.segment)
    wedge += (kyphosis_deg - wedge.sum()) * weight / weight.sum()
    tilt[start:end] = tilt[end] + np.cumsum(wedge[::-1])[::-1]


def _integrate(coronal: Array, sagittal: Array, gaps_mm: Array) -> Array:
    """Endplate centres from S1 upwards: each gap runs along the mean of its two endplates' tilts, its length kept."""
    t = np.radians((coronal[1:] + coronal[:-1]) / 2)
    s = np.radians((sagittal[1:] + sagittal[:-1]) / 2)
    step = np.stack([np.tan(t), -np.tan(s), np.ones_like(t)], axis=1)
    step *= (gaps_mm / np.linalg.norm(step, axis=1))[:, None]
    points = np.zeros((len(coronal), 3))
    points[:-1] = np.cumsum(step[::-1], axis=0)[::-1]
    return points


def curve_shares(posture: Posture, spine: SpineCurve) -> Array:
    """How far each vertebra (columns) lies out of the chord of each curve (rows): 1 at the apex, 0 at and beyond its ends."""
    centres = spine.centres_mm.double().numpy()
    tops, bottoms = (spine.endplates_mm[:, k, 0].double().numpy() for k in (0, 1))
    rows = [_shares_of(c, spine.index(c.upper), spine.index(c.lower), centres, tops, bottoms) for c in posture.curves]
    return np.stack(rows) if rows else np.zeros((0, len(spine.levels)))


def _shares_of(curve: Curve, upper: int, lower: int, centres: Array, tops: Array, bottoms: Array) -> Array:
    share = np.zeros(len(centres))
    rows = np.arange(upper, lower + 1)
    a, b = tops[upper], bottoms[lower]
    along = (centres[rows, 2] - b[2]) / (a[2] - b[2])
    deviation = np.abs(centres[rows, 0] - (b[0] + along * (a[0] - b[0])))
    deviation[[0, -1]] = 0.0
    if curve.cobb_deg > 0 and deviation.max() > 0:
        share[rows] = deviation / deviation.max()
    return share


def _axial_rotations(posture: Posture, stack: _Stack, points: Array) -> Array:
    """Axial rotation of each vertebra: it follows the deviation from the curve's chord (Stokes 1989), zero at its ends."""
    rotation = np.zeros(len(stack.sizes))
    tops, bottoms = points[0::2], points[1::2]
    centres = (tops[:-1] + bottoms) / 2
    for c in posture.curves:
        share = _shares_of(c, stack.superior(c.upper) // 2, stack.superior(c.lower) // 2, centres, tops, bottoms)
        rotation[:-1] += turn_sign(c) * rotation_of(c) * share
    return rotation


def _assemble(stack: _Stack, coronal: Array, sagittal: Array, rotation: Array, points: Array) -> SpineCurve:
    n = len(stack.sizes)
    centres, axes = np.zeros((n, 3)), np.zeros((n, 3, 3))
    sizes, endplates = np.zeros((n, 3)), np.full((n, 2, 3, 3), math.nan)
    for i, size in enumerate(stack.sizes):
        ends = (2 * i,) if size.level == "S1" else (2 * i, 2 * i + 1)
        for k, e in enumerate(ends):
            r = frame(coronal[e], sagittal[e], rotation[i])
            width, depth = (size.epwu, size.epdu) if k == 0 else (size.epwl, size.epdl)
            endplates[i, k] = np.stack([points[e], r[:, 0] * width / 2, r[:, 1] * depth / 2])
        middle = frame(coronal[list(ends)].mean(), sagittal[list(ends)].mean(), rotation[i])
        axes[i] = middle.T
        centres[i] = points[list(ends)].mean(axis=0)
        if size.level == "S1":
            centres[i] -= middle[:, 2] * size.height / 2
        sizes[i] = ((size.epwu + size.epwl) / 2, (size.epdu + size.epdl) / 2, size.height)
    return SpineCurve(tuple(s.level for s in stack.sizes), *(_float32(a) for a in (centres, axes, sizes, endplates)))


def _float32(array: Array) -> torch.Tensor:
    return torch.from_numpy(array).to(torch.float32)
