"""Solid shapes in the world, as signed distances (mm, negative inside) on broadcast coordinates.

Each shape knows its own box, so that a rasteriser touches no other voxel. Distances are exact near the surface up to a
few per cent (elliptical sections use the usual first-order form k0 (k0 - 1) / k1); they are meant for rendering edges.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Coordinates:
    """World positions, mm, as three tensors that broadcast together: on a box of voxels to (z, y, x)."""

    x: Float[Tensor, "_ _ _"]
    y: Float[Tensor, "_ _ _"]
    z: Float[Tensor, "_ _ _"]

    def minus(self, point: Vector) -> tuple[Tensor, Tensor, Tensor]:
        """Offsets from a point."""
        return self.x - float(point[0]), self.y - float(point[1]), self.z - float(point[2])


@runtime_checkable
class Shape(Protocol):
    """A shape: its box in the world and its signed distance."""

    @property
    def box_mm(self) -> tuple[Vector, Vector]:
        """Lowest and highest corner."""
        ...

    def distance(self, at: Coordinates) -> Tensor:
        """Signed distance, mm, on the box's voxels."""
        ...


def vector(x: float, y: float, z: float) -> Vector:
    """A point or direction in the world."""
    return np.array([x, y, z], dtype=np.float64)


def unit(v: Vector) -> Vector:
    """The direction of v."""
    return np.asarray(v / max(math.sqrt(float(v @ v)), 1e-12))


def cross(a: Vector, b: Vector) -> Vector:
    """a x b for two single vectors: numpy's own spends most of its time on shapes."""
    (ax, ay, az), (bx, by, bz) = a.tolist(), b.tolist()
    return np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])


@dataclass(frozen=True, eq=False)
class Rod:
    """A tapered rod with round ends from a to b; with `wide`, its section is an ellipse `ratio` times as wide along it."""

    a: Vector
    b: Vector
    radius_a: float
    radius_b: float
    wide: Vector | None = None
    ratio: float = 1.0

    @property
    def box_mm(self) -> tuple[Vector, Vector]:
        """Lowest and highest corner."""
        r = max(self.radius_a, self.radius_b)
        reach = np.full(3, r)
        if self.wide is not None:
            reach = r * np.sqrt(1 + (self.ratio**2 - 1) * unit(self.wide) ** 2)
        return np.minimum(self.a, self.b) - reach, np.maximum(self.a, self.b) + reach

    def distance(self, at: Coordinates) -> Tensor:
        """Signed distance, mm."""
        px, py, pz = at.minus(self.a)
        d = self.b - self.a
        dx, dy, dz = (float(c) for c in d)
        along = ((px * dx + py * dy + pz * dz) / max(float(d @ d), 1e-9)).clamp_(0, 1)
        wx, wy, wz = px - along * dx, py - along * dy, pz - along * dz
        radius = self.radius_a + along * (self.radius_b - self.radius_a)
        square = wx * wx + wy * wy + wz * wz
        if self.wide is None:
            return square.sqrt_() - radius
        fx, fy, fz = (float(c) for c in unit(self.wide))
        f2 = (wx * fx + wy * fy + wz * fz).square_()
        k0 = ((square - f2 * (1 - self.ratio**-2)).clamp_min_(1e-6)).sqrt_() / radius
        k1 = ((square - f2 * (1 - self.ratio**-4)).clamp_min_(1e-6)).sqrt_() / radius**2
        return k0 * (k0 - 1) / k1


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """An ellipsoid; the rows of `axes` are its unit axes."""

    centre: Vector
    radii: Vector
    axes: NDArray[np.float64] | None = None

    @property
    def box_mm(self) -> tuple[Vector, Vector]:
        """Lowest and highest corner."""
        axes = np.eye(3) if self.axes is None else self.axes
        reach = np.sqrt(((axes * self.radii[:, None]) ** 2).sum(0))
        return self.centre - reach, self.centre + reach

    def distance(self, at: Coordinates) -> Tensor:
        """Signed distance, mm."""
        px, py, pz = at.minus(self.centre)
        axes = np.eye(3) if self.axes is None else self.axes
        q0: Tensor | float = 0.0
        q1: Tensor | float = 0.0
        for axis, radius in zip(axes, self.radii, strict=True):
            along = (px * float(axis[0]) + py * float(axis[1]) + pz * float(axis[2])) / float(radius)
            q0 = q0 + along * along
            q1 = q1 + (along / float(radius)) ** 2
        assert isinstance(q0, Tensor)
        assert isinstance(q1, Tensor)
        k0 = q0.sqrt()
        return k0 * (k0 - 1) / q1.clamp_min(1e-9).sqrt()


@dataclass(frozen=True, eq=False)
class Plate:
    """A flat triangular plate with rounded rim; thickness and rim radius are 2 x `radius`."""

    a: Vector
    b: Vector
    c: Vector
    radius: float

    @property
    def box_mm(self) -> tuple[Vector, Vector]:
        """Lowest and highest corner."""
        corners = np.stack([self.a, self.b, self.c])
        return corners.min(0) - self.radius, corners.max(0) + self.radius

    def distance(self, at: Coordinates) -> Tensor:
        """Signed distance, mm: to the plane where the foot lies inside the triangle, else to the nearest edge."""
        normal = cross(self.b - self.a, self.c - self.a)
        n = unit(normal)
        edge: Tensor | None = None
        inside: Tensor | None = None
        for p, q in ((self.a, self.b), (self.b, self.c), (self.c, self.a)):
            wx, wy, wz = at.minus(p)
            d = q - p
            side = cross(n, d)
            within = wx * float(side[0]) + wy * float(side[1]) + wz * float(side[2]) >= 0
            along = ((wx * float(d[0]) + wy * float(d[1]) + wz * float(d[2])) / float(d @ d)).clamp_(0, 1)
            wx, wy, wz = wx - along * float(d[0]), wy - along * float(d[1]), wz - along * float(d[2])
            square = wx * wx + wy * wy + wz * wz
            edge = square if edge is None else torch.minimum(edge, square)
            inside = within if inside is None else inside & within
        assert edge is not None
        assert inside is not None
        wx, wy, wz = at.minus(self.a)
        flat = (wx * float(n[0]) + wy * float(n[1]) + wz * float(n[2])).abs()
        return torch.where(inside, flat, edge.sqrt_()) - self.radius


@dataclass(frozen=True, eq=False)
class Sheet:
    """Plates that together make one curved sheet: their plain union, without a ridge where they meet."""

    plates: tuple[Plate, ...]
    reach_mm: float = 8.0

    @property
    def box_mm(self) -> tuple[Vector, Vector]:
        """Lowest and highest corner."""
        boxes = [p.box_mm for p in self.plates]
        return np.min([b[0] for b in boxes], axis=0), np.max([b[1] for b in boxes], axis=0)

    def distance(self, at: Coordinates) -> Tensor:
        """Signed distance, mm; beyond `reach_mm` from every plate a large number."""
        axes = (at.x.flatten(), at.y.flatten(), at.z.flatten())
        out = torch.full([len(a) for a in reversed(axes)], 1e3, device=at.x.device)
        for plate in self.plates:
            low, high = (corner + s * self.reach_mm for corner, s in zip(plate.box_mm, (-1, 1), strict=True))
            x, y, z = (
                slice(*torch.searchsorted(a, torch.tensor([low[i], high[i]]).to(a)).tolist())
                for i, a in enumerate(axes)
            )
            near = plate.distance(Coordinates(at.x[:, :, x], at.y[:, y], at.z[z]))
            out[z, y, x] = torch.minimum(out[z, y, x], near)
        return out


def chain(
    points: Sequence[Vector], radii: Sequence[float], wide: Sequence[Vector] | None = None, ratio: float = 1.0
) -> list[Rod]:
    """Rods along a polyline, one radius a point."""
    return [
        Rod(points[i], points[i + 1], radii[i], radii[i + 1], None if wide is None else wide[i], ratio)
        for i in range(len(points) - 1)
    ]


@dataclass(frozen=True, eq=False)
class Below:
    """All that lies on the far side of a plane: a signed distance along `normal`, which points out of it."""

    point: Vector
    normal: Vector

    @property
    def box_mm(self) -> tuple[Vector, Vector]:
        """Everywhere."""
        return np.full(3, -1e6), np.full(3, 1e6)

    def distance(self, at: Coordinates) -> Tensor:
        """Signed distance, mm."""
        px, py, pz = at.minus(self.point)
        nx, ny, nz = (float(c) for c in unit(self.normal))
        return px * nx + py * ny + pz * nz


Window = tuple[slice, slice, slice]


@runtime_checkable
class Bound(Protocol):
    """A signed distance already known on a canvas, asked for by window."""

    def on(self, window: Window) -> Tensor:
        """Signed distance, mm, on the voxels of a window."""
        ...


@dataclass(frozen=True, eq=False)
class Solid:
    """Shapes of one tissue melted together: what the rasteriser paints.

    Args:
        label: value of STRUCTURE_LABELS.
        shapes: their union, blended over `blend_mm`.
        carve: shapes cut out of it.
        core_hu, shell_hu, shell_mm: value inside, value and thickness of the rind.
        texture: relative strength of the texture of the core.
        grain: how many times coarser than trabeculae that texture is.
        within: what bounds the solid from outside, kept `gap_mm` away from it (negative: it may stick out).
    """

    label: int
    shapes: tuple[Shape, ...]
    core_hu: float
    shell_hu: float
    shell_mm: float = 0.0
    blend_mm: float = 1.5
    carve: tuple[Shape, ...] = ()
    texture: float = 0.0
    grain: float = 1.0
    within: Bound | None = None
    gap_mm: float = 0.0


def smooth_min(a: Tensor, b: Tensor, blend_mm: float) -> Tensor:
    """The smaller of two distances, rounded over `blend_mm` where they cross (quadratic polynomial)."""
    if blend_mm <= 0:
        return torch.minimum(a, b)
    h = (blend_mm - (a - b).abs()).clamp_min_(0.0)
    return torch.minimum(a, b) - h * h / (4 * blend_mm)
