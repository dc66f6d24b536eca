"""Vertebrae of exactly known pose, rasterised into labels: elliptic bodies with wedge, an arch, and their SpineCurve."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from spondyl.images import Volume
from spondyl.spine import LEVEL_LABELS, SpineCurve

Array = NDArray[np.float64]

THORACOLUMBAR = (*(f"T{i}" for i in range(1, 13)), *(f"L{i}" for i in range(1, 6)))


def rotation(coronal_deg: float, sagittal_deg: float, axial_deg: float) -> Array:
    """Ry(coronal) Rx(sagittal) Rz(axial): columns are the vertebra's left, posterior and cranial axis.

    Coronal: right side up is positive. Sagittal: leaning forward is positive. Axial: body towards the left is positive.
    """
    c, s, a = np.radians([coronal_deg, sagittal_deg, axial_deg])
    ry = np.array([[np.cos(c), 0, np.sin(c)], [0, 1, 0], [-np.sin(c), 0, np.cos(c)]])
    rx = np.array([[1, 0, 0], [0, np.cos(s), -np.sin(s)], [0, np.sin(s), np.cos(s)]])
    rz = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    return np.asarray(ry @ rx @ rz)


@dataclass(frozen=True)
class Bone:
    """One vertebra: pose, half sizes of its body (left, posterior, cranial) and the slopes of its two endplates."""

    level: str
    centre: Array
    axes: Array  # columns: left, posterior, cranial
    half: tuple[float, float, float]
    slopes: Array  # (superior, inferior) x (along left, along posterior)
    arch: bool = True
    dish_mm: float = 0.0  # depth of the endplates' concavity in their middle

    def endplates(self) -> Array:
        """Superior and inferior ellipse (centre, left and posterior half-axis vector), world mm."""
        a, b, h = self.half
        rows = []
        for sign, (sx, sy) in zip((1, -1), self.slopes, strict=True):
            local = np.array([[0, 0, sign * h], [a, 0, sx * a], [0, b, sy * b]])
            world = local @ self.axes.T
            world[0] += self.centre
            rows.append(world)
        return np.stack(rows)

    def in_body(self, x: Array, y: Array, z: Array) -> NDArray[np.bool_]:
        """Which points of the vertebra's own frame lie in its body."""
        a, b, h = self.half
        (ux, uy), (lx, ly) = self.slopes
        radius = (x / a) ** 2 + (y / b) ** 2
        dish = self.dish_mm * (1 - radius)
        return np.asarray((radius <= 1) & (z <= h - dish + ux * x + uy * y) & (z >= -h + dish + lx * x + ly * y))

    def capsules(self) -> list[tuple[Array, Array, float]]:
        """The arch as (start, end, radius): pedicles, laminae, transverse and articular processes, spinous process."""
        _, b, h = self.half
        if self.level == "S1":  # alae, and the rest of the sacrum bending backwards
            sides = [(np.array([s * 22.0, 2, -h]), np.array([s * 46.0, 8, -h - 4]), 9.0) for s in (1.0, -1.0)]
            return [*sides, (np.array([0.0, 4, -h - 4]), np.array([0.0, 34, -h - 44]), 12.0)]
        if not self.arch:
            return []
        back, side = b + 15.0, 10.5  # the canal is about 14 mm wide and 12 mm deep
        parts: list[tuple[tuple[float, ...], tuple[float, ...], float]] = [
            ((0, back + 2, -h * 0.5), (0, back + 18, -h * 1.6), 3.5)
        ]
        for s in (1.0, -1.0):
            parts += [
                ((s * side, b * 0.6, h * 0.4), (s * side, b + 9, h * 0.4), 3.5),
                ((s * side, b + 9, 1), (0, back + 2.5, -h * 0.6), 3.5),
                ((s * side, b + 8, 2), (s * 30, b + 14, 4), 4.0),
                ((s * (side + 2), b + 9, 2), (s * (side + 2), b + 10, h + 6), 4.5),
                ((s * side, b + 11, 0), (s * side, b + 12, -h - 6), 4.5),
            ]
        return [(np.array(p, float), np.array(q, float), r) for p, q, r in parts]


def in_capsule(x: Array, y: Array, z: Array, start: Array, end: Array, radius: float) -> NDArray[np.bool_]:
    """Points within a radius of a segment."""
    d = end - start
    p = (x - start[0], y - start[1], z - start[2])
    t = np.clip((p[0] * d[0] + p[1] * d[1] + p[2] * d[2]) / (d @ d), 0, 1)
    return np.asarray(sum((q - t * e) ** 2 for q, e in zip(p, d, strict=True)) <= radius**2)


def bent_spine(
    coronal_deg: dict[str, float],
    *,
    kyphosis_deg: float = 35.0,
    lordosis_deg: float = 50.0,
    axial_deg: dict[str, float] | None = None,
    levels: Sequence[str] = THORACOLUMBAR,
    sacral_slope_deg: float | None = None,
) -> list[Bone]:
    """A spine whose endplates have exactly the tilts asked for.

    Args:
        coronal_deg: tilt at knots "T5 superior", "T12 inferior", ...; monotone in between, right side up positive.
        axial_deg: rotation at levels; straight in between.
        sacral_slope_deg: forward lean of an S1 below the last level; none is made without it.
    """
    n = len(levels)
    names = [f"{v} {e}" for v in levels for e in ("superior", "inferior")]
    spot = np.arange(2 * n, dtype=float)
    coronal = knots(names, coronal_deg)(spot)
    top, bottom = names[0], names[-1]
    middle = "T12 inferior" if "T12 inferior" in names else names[n]
    back = {top: kyphosis_deg * 0.55, middle: -kyphosis_deg * 0.45, bottom: lordosis_deg * 0.45}
    sagittal = knots(names, back)(spot)
    turn = axial_deg or {levels[0]: 0.0}
    axial = np.interp(range(n), [levels.index(v) for v in turn], list(turn.values()))
    bones: list[Bone] = []
    at = np.zeros(3)
    for i in reversed(range(n)):
        share = THORACOLUMBAR.index(levels[i]) / 16
        half = (12.0 + 11 * share, 9.5 + 8 * share, 7.5 + 6 * share)
        tilts = np.stack([coronal, sagittal], 1)[2 * i : 2 * i + 2]
        axes = rotation(*tilts.mean(0), axial[i])
        normals = np.stack([rotation(*t, 0)[:, 2] for t in tilts]) @ axes
        slopes = -normals[:, :2] / normals[:, 2:]
        centre = at + half[2] * axes[:, 2]
        bones.append(Bone(levels[i], centre, axes, half, slopes))
        disc = rotation(*np.stack([coronal, sagittal], 1)[max(2 * i - 1, 0) : 2 * i + 1].mean(0), 0)[:, 2]
        at = centre + half[2] * axes[:, 2] + disc * (4 + 5 * share)
    if sacral_slope_deg is not None:
        axes = rotation(float(coronal[-1]), sacral_slope_deg, 0)
        disc = rotation(float(coronal[-1]), (sagittal[-1] + sacral_slope_deg) / 2, 0)[:, 2]
        half = (25.0, 16.0, 14.0)
        bones.insert(0, Bone("S1", -9 * disc - half[2] * axes[:, 2], axes, half, np.zeros((2, 2))))
    return bones[::-1]


def knots(names: Sequence[str], values: dict[str, float]) -> PchipInterpolator:
    """Monotone between the knots, level outside them."""
    at = {names.index(k): v for k, v in values.items()}
    first, last = min(at), max(at)
    at = {-2: at[first], -1: at[first], **at, len(names): at[last], len(names) + 1: at[last]}
    x = sorted(at)
    return PchipInterpolator(x, [at[i] for i in x])


def true_spine(bones: Sequence[Bone]) -> SpineCurve:
    """The exact SpineCurve of the bones; of S1 it has the superior endplate and its centre only."""
    ends = np.stack([b.endplates() for b in bones])
    centres = np.stack([b.centre for b in bones])
    sizes = np.stack([2 * np.array(b.half) for b in bones])
    for i, bone in enumerate(bones):
        if bone.level == "S1":
            centres[i], sizes[i, 2], ends[i, 1] = ends[i, 0, 0], np.nan, np.nan
    axes = np.stack([b.axes.T for b in bones])
    return SpineCurve(tuple(b.level for b in bones), *(torch.tensor(a) for a in (centres, axes, sizes, ends)))


def grid_over(
    bones: Sequence[Bone],
    spacing_mm: Sequence[float] = (1, 1, 1),
    *,
    directions: Array | None = None,
    margin_mm: float = 60,
) -> tuple[Array, tuple[int, int, int]]:
    """An affine (LPS) and its size (x, y, z) that covers the bones, along the columns of `directions`."""
    axes = (np.eye(3) if directions is None else directions) * np.asarray(spacing_mm, float)
    centres = np.stack([b.centre for b in bones])
    inverse = np.linalg.inv(axes)
    ball = margin_mm * np.linalg.norm(inverse, axis=1)
    index = centres @ inverse.T
    low, high = index.min(0) - ball, index.max(0) + ball
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes, axes @ low + 0.137  # no voxel centre on a plane of the phantom
    size = np.ceil(high - low).astype(int) + 1
    return affine, (int(size[0]), int(size[1]), int(size[2]))


def rasterise(bones: Sequence[Bone], affine: Array, size: tuple[int, int, int]) -> Volume:
    """Labels where a voxel's centre lies in a bone; the HU are 0."""
    labels = np.zeros(size[::-1], np.uint8)
    for bone in bones:
        value = LEVEL_LABELS[bone.level]
        reach = float(np.linalg.norm(bone.half)) + 8
        paint(labels, affine, bone, np.zeros(3), reach, value, bone.in_body)
        for start, end, radius in bone.capsules():
            reach = float(np.linalg.norm(end - start)) / 2 + radius
            paint(
                labels,
                affine,
                bone,
                (start + end) / 2,
                reach,
                value,
                partial(in_capsule, start=start, end=end, radius=radius),
            )
    return Volume(
        torch.zeros(labels.shape, dtype=torch.float32), torch.tensor(affine, dtype=torch.float64), torch.tensor(labels)
    )


def paint(
    labels: NDArray[np.uint8],
    affine: Array,
    bone: Bone,
    middle: Array,
    reach_mm: float,
    value: int,
    inside: Callable[[Array, Array, Array], NDArray[np.bool_]],
) -> None:
    """Write a part into the empty voxels within reach of its middle (vertebra's own frame)."""
    inverse = np.linalg.inv(affine)
    centre = inverse[:3, :3] @ (bone.centre + bone.axes @ middle) + inverse[:3, 3]
    ball = reach_mm * np.linalg.norm(inverse[:3, :3], axis=1)
    low = np.clip(np.floor(centre - ball), 0, None).astype(int)
    high = np.minimum(np.ceil(centre + ball) + 1, labels.shape[::-1]).astype(int)
    if (high <= low).any():
        return
    to_own = bone.axes.T @ affine[:3, :3]
    start = bone.axes.T @ (affine[:3, 3] - bone.centre)
    k, j, i = (np.arange(low[d], high[d], dtype=float) for d in (2, 1, 0))
    own = [
        start[a] + (to_own[a, 2] * k)[:, None, None] + (to_own[a, 1] * j)[:, None] + to_own[a, 0] * i for a in range(3)
    ]
    part = labels[low[2] : high[2], low[1] : high[1], low[0] : high[0]]
    part[inside(own[0], own[1], own[2]) & (part == 0)] = value


def phantom(bones: Sequence[Bone], spacing_mm: Sequence[float] = (1, 1, 1), directions: Array | None = None) -> Volume:
    """The bones in a grid that holds all of them."""
    return rasterise(bones, *grid_over(bones, spacing_mm, directions=directions))
