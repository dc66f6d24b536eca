"""Speckle: scatterers fixed in space, smeared by the beam; and the fibres and sheets that give muscle its grain."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

FWHM_PER_SIGMA = 2 * math.sqrt(2 * math.log(2))


def scatterers(shape: tuple[int, int], seed: int, index: int, device: torch.device) -> Float[Tensor, "2 v u"]:
    """Real and imaginary part of one depth's scatterers: white, complex Gaussian, mean intensity 1.

    A function of (seed, index) alone: the same depth holds the same scatterers whichever slab asks for it.
    """
    own = torch.Generator(device=device).manual_seed((seed + 1_000_003 * (index + 1000)) % 2**63)
    return torch.randn(2, *shape, generator=own, device=device) * math.sqrt(0.5)


def gaussian_taps(sigma: Float[Tensor, "*b"], reach: int) -> Float[Tensor, "*b t"]:
    """Weights of a Gaussian at whole steps from -reach to reach, sum 1; sigma in steps."""
    x = torch.arange(-reach, reach + 1, device=sigma.device, dtype=sigma.dtype)
    taps = torch.exp(-(x**2) / (2 * sigma.clamp(min=1e-3)[..., None] ** 2))
    return taps / taps.sum(-1, keepdim=True)


@dataclass(frozen=True, eq=False)
class Spread:
    """The point spread of the beam over frames (v, elevational) and lines (u, lateral), one lateral width a frame.

    Args:
        elevational, lateral: weights of the neighbours, sum 1.
    """

    elevational: Float[Tensor, "t"]
    lateral: Float[Tensor, "v w"]

    @classmethod
    def of(
        cls, elevational_fwhm_mm: float, lateral_fwhm_mm: Float[Tensor, "v"], frame_step_mm: float, line_step_mm: float
    ) -> "Spread":
        """Gaussian point spread with these widths on a lattice with these steps."""
        across = lateral_fwhm_mm / (FWHM_PER_SIGMA * line_step_mm)
        along = torch.tensor(elevational_fwhm_mm / (FWHM_PER_SIGMA * frame_step_mm), device=across.device)
        return cls(gaussian_taps(along, _reach(float(along))), gaussian_taps(across, _reach(float(across.max()))))

    def smear(self, maps: Float[Tensor, "c v u"]) -> Float[Tensor, "c v u"]:
        """The maps convolved with the spread, the sum of a map kept."""
        t, w = len(self.elevational), self.lateral.shape[1]
        kernel = self.elevational[None, None, :, None]
        out = functional.conv2d(maps[:, None], kernel, padding=(t // 2, 0))[:, 0]
        padded = functional.pad(out, (w // 2, w // 2))
        columns = maps.shape[2]
        smeared = padded[..., :columns] * self.lateral[:, :1]
        for k in range(1, w):
            smeared.addcmul_(padded[..., k : k + columns], self.lateral[:, k : k + 1])
        return smeared

    @property
    def incoherent_gain(self) -> Float[Tensor, "v"]:
        """Root of the sum of squared weights: how much `smear` weakens white noise, frame by frame."""
        return (self.elevational.square().sum() * self.lateral.square().sum(1)).sqrt()


def _reach(sigma: float) -> int:
    return max(1, math.ceil(2.5 * sigma))


@dataclass(frozen=True, eq=False)
class Grain:
    """Structure of muscle in the echo level, dB: bundles of fibres, and bright sheets between them, drawn out along the spine.

    Args:
        bundles, sheets: smooth fields of unit variance on a coarse grid [depth, along, across].
        grid: where each frame and line lies in the coarse grid, for grid_sample.
        step_mm: distance of the coarse grid's depths.
    """

    bundles: Float[Tensor, "d a c"]
    sheets: Float[Tensor, "d a c"]
    grid: Float[Tensor, "v u 2"]
    step_mm: float

    @classmethod
    def draw(
        cls,
        along_mm: Float[Tensor, "v"],
        aside_mm: Float[Tensor, "v u"],
        depth_mm: float,
        *,
        generator: torch.Generator,
    ) -> "Grain":
        """Grain for frames `along_mm` and lines `aside_mm` from the spine; fibres run caudally and away from the spine."""
        slant = torch.sign(aside_mm) * 0.18 * along_mm[:, None]
        bend = torch.randn(1, 1, 14, 6, generator=generator, device=generator.device).to(aside_mm.device) * 3.0
        bend = functional.interpolate(bend, size=tuple(aside_mm.shape), mode="bicubic", align_corners=True)[0, 0]
        across = aside_mm + slant + bend
        steps = (4.0, 8.0, 1.6)
        low, high = float(across.min()), float(across.max())
        length = float((along_mm[0] - along_mm[-1]).abs())
        shape = [math.ceil(e / s) + 4 for e, s in zip((depth_mm, length, high - low), steps, strict=True)]
        device = aside_mm.device
        fields = torch.randn(2, *shape, generator=generator, device=generator.device).to(device)
        a = ((along_mm - along_mm.min()) / steps[1] + 1.5) / (shape[1] - 1) * 2 - 1
        c = ((across - low) / steps[2] + 1.5) / (shape[2] - 1) * 2 - 1
        return cls(fields[0], fields[1], torch.stack([c, a[:, None].expand_as(c)], dim=-1), steps[0])

    def level_db(self, depth_mm: float, texture_db: float) -> Float[Tensor, "v u"]:
        """The grain at one depth below the slab's first, mean about 0."""
        position = min(max(depth_mm / self.step_mm + 1, 0.0), self.bundles.shape[0] - 1.001)
        i = int(position)
        part = position - i
        planes = torch.stack([f[i] * (1 - part) + f[i + 1] * part for f in (self.bundles, self.sheets)])
        planes = planes / math.sqrt(part**2 + (1 - part) ** 2)
        bundle, sheet = functional.grid_sample(
            planes[None], self.grid[None], mode="bicubic", padding_mode="reflection", align_corners=True
        )[0]
        level: Tensor = bundle + 1.8 * torch.exp(-(sheet.square()) / 0.03) - 0.22
        return texture_db * level
