"""The CT sensor: a noise-free volume as a scanner reconstructs it, with kernel, slice thickness, spacing, noise and streaks."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.images import Volume
from spondyl.pairs import Subject
from spondyl.sim.patient.threads import one_thread
from spondyl.sim.redraw import between, check_settings, redraw

LOWEST_HU = -1024.0  # scanners store nothing below (12 bits, rescale intercept -1024)
STARVED_MM = (320.0, 420.0)  # water along a row at which streaks begin, and at which they reach `streak_hu` (estimate)
STREAK_LENGTH_MM = 70.0
FWHM_PER_SIGMA = 2 * math.sqrt(2 * math.log(2))


@dataclass(frozen=True)
class CtSensor:
    """A CT scanner and its reconstruction. Slices are the first index of the volume, [z, y, x].

    Args:
        noise_hu: standard deviation in a patient of `reference_mm` water-equivalent diameter.
        reference_mm: that diameter.
        doubling_mm: growth of the water-equivalent diameter that doubles the noise (dose unchanged).
        cutoff_per_mm: f0 of the noise power spectrum f exp(-(f/f0)^2); its peak lies at f0 / sqrt(2).
        kernel_fwhm_mm: in-plane blur added by the reconstruction kernel.
        slice_mm: slice thickness; it blurs the picture and correlates the noise along z.
        streak_hu: standard deviation of streaks along the rows where shoulders or hips starve the detector.
        spacing_mm: (x, y, z) of the result; None keeps the subject's grid.
    """

    noise_hu: float = field(default=20.0, metadata=between(12.0, 45.0))
    reference_mm: float = 240.0
    doubling_mm: float = 80.0
    cutoff_per_mm: float = field(default=0.3, metadata=between(0.25, 0.35))
    kernel_fwhm_mm: float = field(default=0.7, metadata=between(0.4, 1.0))
    slice_mm: float = field(default=1.25, metadata=between(0.6, 2.0))
    streak_hu: float = field(default=12.0, metadata=between(0.0, 25.0))
    spacing_mm: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        check_settings(self, positive=("reference_mm", "doubling_mm", "cutoff_per_mm", "slice_mm"))
        if self.spacing_mm is not None and not all(math.isfinite(s) and 0.2 <= s <= 20 for s in self.spacing_mm):
            raise ValueError(f"spacing_mm is {self.spacing_mm}; wanted three values (x, y, z) from 0.2 to 20 mm")

    def __call__(self, subject: Subject, *, generator: torch.Generator) -> Volume:
        """The scan of a subject: HU with noise, and the labels, on the sensor's grid.

        The mean of any region is the subject's, apart from air, which is cut at -1024 HU. Labels follow the nearest voxel.
        """
        with one_thread():  # slice by slice: threads would wait more than they work
            return self._scan(subject, generator=generator)

    def _scan(self, subject: Subject, *, generator: torch.Generator) -> Volume:
        volume = sharpness(subject.volume, self.kernel_fwhm_mm, self.slice_mm)
        if self.spacing_mm is not None:
            volume = at_spacing(volume, self.spacing_mm)
        dx, dy, dz = volume.spacing_mm
        hu = volume.hu.clone() if volume.hu is subject.volume.hu else volume.hu
        water = row_water_mm(hu, dx)
        level = self.noise_hu * 2 ** ((diameter_mm(water, dy) - self.reference_mm) / self.doubling_mm)
        noise = noise_slices(hu.shape, (dy, dx), self.slice_mm / dz, self.cutoff_per_mm, hu.device, generator=generator)
        for plane, texture, strength, row in zip(hu, noise, level.tolist(), water, strict=True):
            plane.add_(texture, alpha=strength)
            if self.streak_hu > 0:
                plane.add_(streaks(row, plane.shape[1], dx, generator=generator), alpha=self.streak_hu)
            plane.clamp_(min=LOWEST_HU)
        return Volume(hu, volume.world_from_voxel, volume.labels)

    def randomised(self, *, generator: torch.Generator) -> "CtSensor":
        """Another scanner: dose, kernel and slice drawn within the ranges of the fields; the grid stays."""
        return redraw(self, generator=generator)


def row_water_mm(hu: Float[Tensor, "z y x"], spacing_mm: float) -> Float[Tensor, "z y"]:
    """Water that a ray along each row crosses, mm: HU/1000 + 1 summed over the row."""
    return torch.stack([plane.clamp(min=-1000).sum(1) for plane in hu]) * (spacing_mm / 1000) + hu.shape[2] * spacing_mm


def diameter_mm(water_mm: Float[Tensor, "z y"], spacing_mm: float) -> Float[Tensor, "z"]:
    """Water-equivalent diameter of each slice, 2 sqrt(A / pi), A the area of its rows' water (AAPM report 220)."""
    return 2 * (water_mm.sum(1).clamp_min(0) * (spacing_mm / math.pi)).sqrt()  # pure air may sum to less than nothing


def noise_slices(
    shape: torch.Size,
    spacing_mm: tuple[float, float],
    slices_wide: float,
    cutoff_per_mm: float,
    device: torch.device,
    *,
    generator: torch.Generator,
) -> Iterator[Float[Tensor, "y x"]]:
    """Slices of noise of unit variance: white noise with the power spectrum f exp(-(f/f0)^2) in plane, correlated along z.

    Args:
        spacing_mm: (y, x). Frequencies above what the grid can hold are left out; the variance stays one.
        slices_wide: thickness of a slice over the distance of slices.
    """
    depth, height, width = shape
    fy = torch.fft.fftfreq(height, spacing_mm[0], device=device)
    fx = torch.fft.rfftfreq(width, spacing_mm[1], device=device)
    f = torch.hypot(fy[:, None], fx[None, :])
    power = f * torch.exp(-((f / cutoff_per_mm) ** 2))
    twice = torch.full((len(fx),), 2.0, device=device)  # columns that stand for their mirror images too
    twice[0] = 1.0
    if width % 2 == 0:
        twice[-1] = 1.0
    share = power / ((power * twice).sum() / (height * width)).clamp(min=1e-12)
    # white noise drawn as its spectrum; of the columns without a mirror image only the real part survives
    amplitude = (share * (height * width) / twice).sqrt()
    sigma = slices_wide / math.sqrt(12)
    reach = math.ceil(2.5 * sigma) if sigma > 0.2 else 0
    taps = [math.exp(-(k**2) / (2 * max(sigma, 0.2) ** 2)) for k in range(-reach, reach + 1)]
    norm = math.sqrt(sum(t * t for t in taps))
    ring: list[Tensor] = []
    for k in range(depth + 2 * reach):
        white = torch.randn(height, len(fx), 2, generator=generator, device=generator.device).to(device)
        ring.append(torch.fft.irfft2(torch.view_as_complex(white) * amplitude, s=(height, width)))
        if k >= 2 * reach:
            out = ring[0] * (taps[0] / norm)
            for weight, plane in zip(taps[1:], ring[1:], strict=True):
                out.add_(plane, alpha=weight / norm)
            yield out
            ring.pop(0)


def streaks(
    water_mm: Float[Tensor, "y"], width: int, spacing_mm: float, *, generator: torch.Generator
) -> Float[Tensor, "y x"]:
    """Streaks of one slice along its rows, by the water in each: 1 = standard deviation at 420 mm, none below 320 mm."""
    knots = max(2, math.ceil(width * spacing_mm / STREAK_LENGTH_MM) + 1)
    rough = torch.randn(1, len(water_mm), knots, generator=generator, device=generator.device).to(water_mm.device)
    strength = ((water_mm - STARVED_MM[0]) / (STARVED_MM[1] - STARVED_MM[0])).clamp(0, 2)[:, None]
    if not bool((strength > 0).any()):
        return torch.zeros(len(water_mm), width, device=water_mm.device)
    slow = torch.nn.functional.avg_pool1d(rough.mT, 9, stride=1, padding=4, count_include_pad=False).mT
    return torch.nn.functional.interpolate(rough - slow, width, mode="linear", align_corners=True)[0] * strength


def sharpness(volume: Volume, kernel_fwhm_mm: float, slice_mm: float) -> Volume:
    """The volume with a Gaussian of this width in plane, and averaged over the slice thickness beyond its own."""
    dx, dy, dz = volume.spacing_mm
    sigma = kernel_fwhm_mm / FWHM_PER_SIGMA
    thick = math.sqrt(max(0.0, slice_mm**2 - dz**2) / 12)
    hu = volume.hu
    for axis, sigma_px in ((2, sigma / dx), (1, sigma / dy), (0, thick / dz)):
        hu = _blurred(hu, axis, sigma_px)
    return Volume(hu, volume.world_from_voxel, volume.labels)


def _blurred(hu: Float[Tensor, "z y x"], axis: int, sigma_px: float) -> Float[Tensor, "z y x"]:
    """A Gaussian along one axis, edges continued. Below a quarter of a voxel it is left out."""
    if sigma_px < 0.25:
        return hu
    reach, size = min(math.ceil(3 * sigma_px), hu.shape[axis] - 1), hu.shape[axis]
    weights = [math.exp(-(k**2) / (2 * sigma_px**2)) for k in range(reach + 1)]
    total = weights[0] + 2 * sum(weights[1:])
    out = hu * (weights[0] / total)
    for k in range(1, reach + 1):
        share, rest = weights[k] / total, size - k
        out.narrow(axis, k, rest).add_(hu.narrow(axis, 0, rest), alpha=share)
        out.narrow(axis, 0, rest).add_(hu.narrow(axis, k, rest), alpha=share)
        out.narrow(axis, 0, k).add_(hu.narrow(axis, 0, 1), alpha=share)
        out.narrow(axis, rest, k).add_(hu.narrow(axis, size - 1, 1), alpha=share)
    return out


def at_spacing(volume: Volume, spacing_mm: tuple[float, float, float]) -> Volume:
    """The volume on another spacing (x, y, z): the same field from outer face to outer face, linear for HU, nearest for labels."""
    own, device = volume.spacing_mm, volume.hu.device
    hu, labels = volume.hu, volume.labels
    scale = []
    for axis, (old, new) in enumerate(zip(own, spacing_mm, strict=True)):
        size = volume.hu.shape[2 - axis]
        count = max(1, round(size * old / new))
        ratio = size / count
        scale.append(ratio)
        position = ((torch.arange(count, device=device) + 0.5) * ratio - 0.5).clamp(0, size - 1)
        hu = _linear(hu, 2 - axis, position)
        if labels is not None:
            labels = labels.index_select(2 - axis, position.round().long())
    grid = torch.eye(4, dtype=torch.float64)
    for axis, ratio in enumerate(scale):
        grid[axis, axis], grid[axis, 3] = ratio, ratio / 2 - 0.5
    m = volume.world_from_voxel
    return Volume(hu, (m.double().cpu() @ grid).to(m), labels)


def _linear(hu: Float[Tensor, "z y x"], axis: int, position: Float[Tensor, "n"]) -> Float[Tensor, "d h w"]:
    first = position.floor().long().clamp(max=max(hu.shape[axis] - 2, 0))
    part = (position - first).reshape([-1 if k == axis else 1 for k in range(3)])
    near, far = hu.index_select(axis, first), hu.index_select(axis, (first + 1).clamp(max=hu.shape[axis] - 1))
    return near + part * (far - near)
