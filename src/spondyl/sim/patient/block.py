"""A vertebral body, or a disc, as a solid: superellipse sections with a waist between two hollow endplates."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spondyl.sim.patient.shapes import Coordinates, Vector, cross

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Block:
    """A vertebral body: superellipse sections with a waist, closed by two hollow endplates.

    `axes` has the body's left, posterior and cranial unit vectors as rows; each endplate is (centre, left half-axis,
    posterior half-axis), as in SpineCurve.
    """

    centre: Vector
    axes: Array
    superior: Array
    inferior: Array
    hollow_mm: float
    waist: float = 0.0

    @property
    def box_mm(self) -> tuple[Vector, Vector]:
        """Lowest and highest corner."""
        ends = [
            plate[0] + i * plate[1] + j * plate[2]
            for plate in (self.superior, self.inferior)
            for i in (-1, 1)
            for j in (-1, 1)
        ]
        corners = np.stack(ends)
        return corners.min(0), corners.max(0)

    def distance(self, at: Coordinates) -> Tensor:
        """Signed distance, mm."""
        side, _, top, bottom = self.layers(at)
        return _smooth_max(torch.maximum(top, bottom), side, 1.5)

    def layers(self, at: Coordinates) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Distances to the wall, the upper and the lower endplate, mm, and (second) the squared radius: 1 at the wall."""
        px, py, pz = at.minus(self.centre)
        x, y, z = (px * float(a[0]) + py * float(a[1]) + pz * float(a[2]) for a in self.axes)
        height = float(np.linalg.norm(self.superior[0] - self.inferior[0]))
        t = (z / height + 0.5).clamp_(0, 1)
        narrow = 1 - 4 * self.waist * t * (1 - t)
        half = [[float(np.linalg.norm(plate[k])) for plate in (self.inferior, self.superior)] for k in (1, 2)]
        a = (half[0][0] + t * (half[0][1] - half[0][0])) * narrow
        b = (half[1][0] + t * (half[1][1] - half[1][0])) * narrow
        u, v = x / a, y / b
        side, rho = superellipse_distance(u, v, a, b), u * u + v * v
        hollow = self.hollow_mm * (1 - rho.clamp_max(1.0)) ** 2
        top, bottom = self._lid(at, self.superior, 1.0) + hollow, self._lid(at, self.inferior, -1.0) + hollow * 1.2
        return side, rho, top, bottom

    def _lid(self, at: Coordinates, plate: Array, sign: float) -> Tensor:
        normal = cross(plate[1], plate[2])
        normal = sign * normal / np.linalg.norm(normal)
        px, py, pz = at.minus(plate[0])
        return px * float(normal[0]) + py * float(normal[1]) + pz * float(normal[2])


def superellipse_distance(u: Tensor, v: Tensor, a: Tensor | float, b: Tensor | float) -> Tensor:
    """First-order signed distance to |u|^2.5 + |v|^2.5 = 1, with u = x/a and v = y/b; mm."""
    u, v = u.abs(), v.abs()
    ru, rv = u * u.sqrt(), v * v.sqrt()
    f = (ru * u + rv * v).clamp_min_(1e-6)
    q = f.pow(0.4)
    slope = ((ru / a) ** 2 + (rv / b) ** 2).sqrt_().clamp_min_(1e-6)
    return (q - 1) * f / (q * slope)


def _smooth_max(a: Tensor, b: Tensor, blend_mm: float) -> Tensor:
    h = (blend_mm - (a - b).abs()).clamp_min_(0.0)
    return torch.maximum(a, b) + h * h / (4 * blend_mm)
