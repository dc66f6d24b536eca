"""Solids onto a grid: Hounsfield units with partial volume, and labels. Each shape is evaluated in its own box only."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from spondyl.images import Volume
from spondyl.sim.patient.shapes import Coordinates, Shape, Solid, Vector, Window, smooth_min
from spondyl.sim.patient.texture import Texture

PSF_MM = 0.21  # logistic scale of a Gaussian point spread of 0.9 mm FWHM


def upsampled(coarse: Float[Tensor, "*b z y x"], step: int) -> Float[Tensor, "*b Z Y X"]:
    """Linear interpolation to `step` times as many voxels, the first and last kept: torch's own is four times slower on a CPU.

    The small axes go first, so that most of the work runs along whole rows.
    """
    out = coarse
    for dim in (-1, -2, -3):
        n, last = out.shape[dim], out.narrow(dim, -1, 1)
        part = torch.arange(step, device=out.device, dtype=out.dtype) / step
        part = part.reshape(-1, *[1] * (-dim - 1))
        after = torch.cat([out.narrow(dim, 1, n - 1), last], dim) if n > 1 else last
        at = out.ndim + dim
        out = torch.lerp(out.unsqueeze(at + 1), after.unsqueeze(at + 1), part).flatten(at, at + 1)
        out = out.narrow(dim, 0, (n - 1) * step + 1)
    return out


@dataclass(frozen=True, eq=False)
class Field:
    """A gentle signed distance (mm) known on every `step`-th voxel of a canvas, from its first voxel on."""

    coarse: Float[Tensor, "z y x"]
    step: int

    def on(self, window: Window) -> Float[Tensor, "z y x"]:
        """The distance on every voxel of a window, interpolated."""
        first = [w.start // self.step for w in window]
        last = [-(-(w.stop - 1) // self.step) + 1 for w in window]
        block = self.coarse[first[0] : last[0], first[1] : last[1], first[2] : last[2]]
        fine = upsampled(block, self.step)
        z, y, x = (slice(w.start - f * self.step, w.stop - f * self.step) for w, f in zip(window, first, strict=True))
        return fine[z, y, x]


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

    def window(self, low_mm: Vector, high_mm: Vector) -> Window:
        """Slices (z, y, x) of the voxels between two corners; empty ones where the box lies outside."""
        out = []
        for k, size in zip((2, 1, 0), self.hu.shape, strict=True):
            origin = float(self.origin_mm[k])
            first = min(max(math.ceil((float(low_mm[k]) - origin) / self.spacing_mm), 0), size)
            last = min(max(math.floor((float(high_mm[k]) - origin) / self.spacing_mm) + 1, first), size)
            out.append(slice(first, last))
        return (out[0], out[1], out[2])

    def tint(self, hu_by_label: Float[Tensor, "k"]) -> None:
        """Add to every voxel what its label says."""
        for hu, labels in zip(self.hu, self.labels, strict=True):
            hu += hu_by_label.index_select(0, labels.flatten().int()).view_as(hu)

    @cached_property
    def axes_mm(self) -> tuple[Tensor, Tensor, Tensor]:
        """World positions of the planes of voxels: along z, y and x."""
        z, y, x = (
            float(self.origin_mm[2 - k]) + self.spacing_mm * torch.arange(n, device=self.hu.device)
            for k, n in enumerate(self.hu.shape)
        )
        return z[:, None, None], y[None, :, None], x[None, None, :]

    def coordinates(self, window: Window) -> Coordinates:
        """World positions of a window's voxels."""
        z, y, x = self.axes_mm
        return Coordinates(x[:, :, window[2]], y[:, window[1]], z[window[0]])

    def blend(self, window: Window, distance: Tensor, value: Tensor | float) -> None:
        """Cover a window with `value` where the signed distance is negative, in proportion at the edge."""
        share = (distance * (-1 / self.softness_mm)).sigmoid_()
        end = value if isinstance(value, Tensor) else torch.tensor(float(value), device=self.hu.device)
        self.hu[window].lerp_(end, share)

    def distance(self, shapes: Iterable[Shape], window: Window, blend_mm: float) -> Tensor:
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
        if solid.within is not None:
            distance = torch.maximum(distance, solid.within.on(window) + solid.gap_mm)
        self.blend(window, distance, solid.shell_hu)
        if solid.shell_mm > 0:
            core: Tensor | float = solid.core_hu
            if texture is not None and solid.texture:
                core = solid.core_hu + solid.texture * texture.at(self.coordinates(window), solid.grain)
            self.blend(window, distance + solid.shell_mm, core)
        self.labels[window].masked_fill_(distance < 0, solid.label)

    def volume(self) -> Volume:
        """The finished CT."""
        m = torch.eye(4)
        m[:3, :3] *= self.spacing_mm
        m[:3, 3] = torch.from_numpy(self.origin_mm).to(torch.float32)
        return Volume(self.hu, m.to(self.hu.device), self.labels)
