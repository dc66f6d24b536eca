"""Solids onto a grid: Hounsfield units with partial volume, and labels. Each shape is evaluated in its own box only."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from spondyl.images import Volume
from spondyl.sim.patient.shapes import Coordinates, Shape, Solid, Vector, smooth_min
from spondyl.sim.patient.texture import Texture

PSF_MM = 0.21  # logistic scale of a Gaussian point spread of 0.9 mm FWHM


@dataclass(frozen=True, eq=False)
class Canvas:
    """A grid under construction: HU and labels, axes along the world's, isotropic.

    Args:
        hu, labels: what is painted on, [z, y, x].
        origin_mm: world position of voxel (0, 0, 0).
        spacing_mm: voxel edge.
    """

    hu: Float[Tensor, "z y x"]
    labels: UInt8[Tensor, "z y x"]
    origin_mm: Vector
    spacing_mm: float

    @classmethod
    def empty(cls, low_mm: Vector, high_mm: Vector, spacing_mm: float, device: torch.device | str) -> "Canvas":
        """Air between two corners."""
        n = [max(1, round(float(e) / spacing_mm)) for e in high_mm - low_mm]
        shape = (n[2], n[1], n[0])
        hu = torch.full(shape, -1000.0, device=device)
        return cls(hu, torch.zeros(shape, dtype=torch.uint8, device=device), low_mm + spacing_mm / 2, spacing_mm)

    @property
    def softness_mm(self) -> float:
        """Logistic scale of an edge: a voxel's own width (h / 2 pi has its variance) with the scanner's spread."""
        return math.hypot(self.spacing_mm / (2 * math.pi), PSF_MM)

    def window(self, low_mm: Vector, high_mm: Vector) -> tuple[slice, slice, slice]:
        """Slices (z, y, x) of the voxels between two corners; empty ones where the box lies outside."""
        size = np.array(list(reversed(self.hu.shape)))
        first = np.clip(np.ceil((low_mm - self.origin_mm) / self.spacing_mm), 0, size).astype(int)
        last = np.clip(np.floor((high_mm - self.origin_mm) / self.spacing_mm) + 1, first, size).astype(int)
        return (slice(first[2], last[2]), slice(first[1], last[1]), slice(first[0], last[0]))

    def coordinates(self, window: tuple[slice, slice, slice]) -> Coordinates:
        """World positions of a window's voxels."""
        z, y, x = (
            float(self.origin_mm[2 - k]) + self.spacing_mm * torch.arange(w.start, w.stop, device=self.hu.device)
            for k, w in enumerate(window)
        )
        return Coordinates(x[None, None, :], y[None, :, None], z[:, None, None])

    def blend(self, window: tuple[slice, slice, slice], distance: Tensor, value: Tensor | float) -> None:
        """Cover a window with `value` where the signed distance is negative, in proportion at the edge."""
        share = torch.sigmoid(distance * (-1 / self.softness_mm))
        hu = self.hu[window]
        hu += share * (value - hu)

    def distance(self, shapes: Iterable[Shape], window: tuple[slice, slice, slice], blend_mm: float) -> Tensor:
        """Signed distance to a union of shapes over a window; beyond each shape's own margin a large number."""
        margin = 6 * self.softness_mm + blend_mm
        out = torch.full([w.stop - w.start for w in window], 1e3, device=self.hu.device)
        for shape in shapes:
            low, high = shape.box_mm
            own = self.window(low - margin, high + margin)
            own = tuple(  # type: ignore[assignment]
                slice(min(max(o.start, w.start), w.stop), max(min(o.stop, w.stop), min(max(o.start, w.start), w.stop)))
                for o, w in zip(own, window, strict=True)
            )
            if any(o.stop <= o.start for o in own):
                continue
            local = tuple(slice(o.start - w.start, o.stop - w.start) for o, w in zip(own, window, strict=True))
            out[local] = smooth_min(out[local], shape.distance(self.coordinates(own)), blend_mm)
        return out

    def paint(self, solid: Solid, texture: Texture | None = None) -> None:
        """Add one solid: rind, then core, then its label where it fills more than half of the voxel."""
        boxes = [shape.box_mm for shape in solid.shapes]
        margin = 6 * self.softness_mm
        low, high = np.min([b[0] for b in boxes], axis=0), np.max([b[1] for b in boxes], axis=0)
        window = self.window(low - margin, high + margin)
        if any(w.stop <= w.start for w in window):
            return
        distance = self.distance(solid.shapes, window, solid.blend_mm)
        if solid.carve:
            distance = torch.maximum(distance, -self.distance(solid.carve, window, 0.0))
        self.blend(window, distance, solid.shell_hu)
        if solid.shell_mm > 0:
            core: Tensor | float = solid.core_hu
            if texture is not None and solid.texture:
                core = solid.core_hu + solid.texture * texture.at(self.coordinates(window))
            self.blend(window, distance + solid.shell_mm, core)
        self.labels[window].masked_fill_(distance < 0, solid.label)

    def volume(self) -> Volume:
        """The finished CT."""
        m = torch.eye(4)
        m[:3, :3] *= self.spacing_mm
        m[:3, 3] = torch.from_numpy(self.origin_mm).to(torch.float32)
        return Volume(self.hu, m.to(self.hu.device), self.labels)
