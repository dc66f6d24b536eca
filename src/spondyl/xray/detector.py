"""The detector: what it absorbs, how it blurs, how it is noisy; and the grey curve in which its pictures are shown.

Signals here are relative: 1 is the open field (the beam without a patient), whatever the dose.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from scipy.fft import next_fast_len
from torch import Tensor

from spondyl.geometry import View
from spondyl.xray.attenuation import mass_attenuation_cm2_g

PHOTONS_PER_MM2_UGY = 30000.0  # IEC 62220-1-1, beam quality RQA5: 30174 photons per mm2 and uGy air kerma


@dataclass(frozen=True)
class Detector:
    """An energy-integrating detector.

    Args:
        name: what it is, for the record.
        absorber: material that stops the photons, a row of tables/materials.csv.
        absorber_g_cm2: its density times thickness.
        dqe: detective quantum efficiency at zero frequency, (0, 1]; all quantum noise is scaled by it, and because signal and
            noise are blurred alike it stays the same at every frequency (a real one falls).
        mtf50_lp_mm: line pairs per mm at which the modulation transfer is one half.
        mtf_exponent: steepness n of MTF(f) = 1 / (1 + (f / mtf50)^n).
        electronic_noise_ugy_mm: additive noise as air kerma, standard deviation in a pixel of 1 mm x 1 mm.
    """

    name: str
    absorber: str
    absorber_g_cm2: float
    dqe: float
    mtf50_lp_mm: float
    mtf_exponent: float = 1.9
    electronic_noise_ugy_mm: float = 1.1e-3

    def __post_init__(self) -> None:
        if not 0 < self.dqe <= 1:
            raise ValueError(f"dqe is {self.dqe}; wanted a value in (0, 1]")
        if not (self.absorber_g_cm2 > 0 and self.mtf50_lp_mm > 0 and self.mtf_exponent > 0):
            raise ValueError("absorber_g_cm2, mtf50_lp_mm and mtf_exponent are not all positive; see DETECTORS")

    def absorbed(self, energies_kev: Float[Tensor, "e"]) -> Float[Tensor, "e"]:
        """Share of the photons of each energy that interact; the escape of fluorescence is left out."""
        return 1 - torch.exp(-mass_attenuation_cm2_g(self.absorber, energies_kev) * self.absorber_g_cm2)

    def mtf(self, frequency_lp_mm: Float[Tensor, "*f"]) -> Float[Tensor, "*f"]:
        """Modulation transfer at spatial frequencies in line pairs per mm."""
        return 1 / (1 + (frequency_lp_mm / self.mtf50_lp_mm) ** self.mtf_exponent)


# MTF of the two-parameter form, fitted: CsI 0.6 / 0.3 / 0.15 at 1 / 2 / 3 lp/mm (form: .604 .291 .159), powder image plate
# 0.5 / 0.22 at 1 / 2, gas slot 0.45 at 1. Electronic noise: 3 of 16384 grey values at 400 values per uGy, 0.143 mm pixels.
# CsI: 0.6 mm at 80 % packing. The areal densities of the image plate and of the gas are engineering choices: they make the
# absorbed share at 60 keV that published DQE (0.25-0.4) asks for.
DETECTORS: dict[str, Detector] = {
    "csi": Detector("CsI flat panel", "caesium iodide", 4.51 * 0.8 * 0.06, dqe=0.65, mtf50_lp_mm=1.25),
    "cr": Detector("image plate", "barium fluorobromide", 0.1, dqe=0.3, mtf50_lp_mm=1.0, mtf_exponent=1.83),
    "slot": Detector("gas slot", "xenon", 0.06, dqe=0.3, mtf50_lp_mm=0.9),
}


def filter_image(
    image: Float[Tensor, "*b h w"],
    spacing_mm: tuple[float, float],
    transfer: Callable[[Tensor], Tensor],
    *,
    margin_mm: float,
    beyond: Literal["constant", "replicate"] = "replicate",
) -> Float[Tensor, "*b h w"]:
    """An image filtered by a radial transfer function of frequency (cycles per mm).

    Args:
        margin_mm: reach of the filter's kernel; the image is continued this far.
        beyond: "replicate" continues the edge, "constant" continues with zero.
    """
    (h, w), (dv, du) = image.shape[-2:], spacing_mm
    top, left = math.ceil(margin_mm / dv), math.ceil(margin_mm / du)
    tall, wide = next_fast_len(h + 2 * top, real=True), next_fast_len(w + 2 * left, real=True)
    pad = (left, wide - w - left, top, tall - h - top)
    padded = torch.nn.functional.pad(image.reshape(-1, 1, h, w), pad, mode=beyond)
    fv = torch.fft.fftfreq(tall, dv, dtype=image.dtype, device=image.device)
    fu = torch.fft.rfftfreq(wide, du, dtype=image.dtype, device=image.device)
    response = transfer(torch.hypot(fv[:, None], fu[None, :]))
    filtered: Tensor = torch.fft.irfft2(torch.fft.rfft2(padded) * response, s=(tall, wide))
    return filtered[..., top : top + h, left : left + w].reshape(image.shape)


def gaussian(sigma_mm: float) -> Callable[[Tensor], Tensor]:
    """The transfer function of a Gaussian blur, for `filter_image`."""
    return lambda f: torch.exp(-2 * (math.pi * sigma_mm * f) ** 2)


def blur(signal: Float[Tensor, "*b h w"], view: View, detector: Detector) -> Float[Tensor, "*b h w"]:
    """The signal as the detector smears it, with the pixel spacing of the view; its sum is kept away from edges."""
    return filter_image(signal, view.pixel_spacing_mm, detector.mtf, margin_mm=10.0)


def quanta_per_pixel(view: View, detector: Detector, kerma_ugy: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """Detected quanta in a pixel at an air kerma: 30000 photons/mm2/uGy x kerma x pixel area x DQE."""
    dv, du = view.pixel_spacing_mm
    return kerma_ugy * (PHOTONS_PER_MM2_UGY * dv * du * detector.dqe)


def record(
    signal: Float[Tensor, "*b h w"],
    view: View,
    detector: Detector,
    *,
    open_field_ugy: Float[Tensor, "*b"],
    blurred: bool = True,
    generator: torch.Generator | None,
) -> Float[Tensor, "*b h w"]:
    """What the detector reads: quantum noise, then blur (which correlates it), then electronic noise.

    Args:
        signal: expected relative signal, 1 in the open field.
        open_field_ugy: air kerma at the detector in the open field, one value an image.
        generator: source of the noise, on the signal's device; None for no noise at all.

    Returns:
        Relative signal; below zero where electronic noise wins. Differentiable in `signal` as if the noise were constant.
    """
    kerma = open_field_ugy[..., None, None]
    if generator is not None:
        full = quanta_per_pixel(view, detector, kerma)
        expected = (signal.detach() * full).clamp(min=0)
        signal = signal + (torch.poisson(expected, generator=generator) - expected) / full
    if blurred:
        signal = blur(signal, view, detector)
    if generator is not None:
        dv, du = view.pixel_spacing_mm
        std = detector.electronic_noise_ugy_mm / math.sqrt(dv * du) / kerma
        white = torch.randn(signal.shape, generator=generator, dtype=signal.dtype, device=signal.device)
        signal = signal + std * white
    return signal


@dataclass(frozen=True)
class Window:
    """A grey window over optical depth: `centre` shows mid grey, `width` spans about 12 to 88 % of the grey scale."""

    centre: float
    width: float

    def __post_init__(self) -> None:
        if not self.width > 0:
            raise ValueError(f"width of the window is {self.width}; wanted a positive optical depth")


# Fixed windows by exposure, from the optical depths of adult CT projected at these settings (engineering choice).
WINDOWS: dict[str, Window] = {
    "pa": Window(3.9, 3.4),
    "lateral": Window(4.6, 4.4),
    "slot": Window(4.3, 4.2),
    "ideal": Window(4.0, 4.0),
}
BODY_DEPTH = 0.5  # optical depth above which a pixel shows the patient: 2 to 3 cm of soft tissue


def body(optical_depth: Float[Tensor, "*b h w"]) -> Bool[Tensor, "*b h w"]:
    """The pixels that show the patient rather than the open field."""
    return optical_depth > BODY_DEPTH


def body_window(optical_depth: Float[Tensor, "*b h w"], *, low: float = 0.1, high: float = 0.98) -> Window:
    """A window between two quantiles of the body region: neither open field, nor skin line, nor one bright pixel sets it.

    Raises:
        ValueError: where no pixel shows a body.
    """
    inside = optical_depth.detach()[body(optical_depth)]
    if not inside.numel():
        raise ValueError(f"no pixel has an optical depth above {BODY_DEPTH}; wanted a picture of a patient")
    ranked = inside.sort().values
    first, last = (float(ranked[round(q * (len(ranked) - 1))]) for q in (low, high))
    return Window((first + last) / 2, max(last - first, 1e-3))


def display(optical_depth: Float[Tensor, "*b h w"], window: Window) -> Float[Tensor, "*b h w"]:
    """Grey in (0, 1), bone bright: the sigmoid 1 / (1 + exp(-4 (x - centre) / width)) of DICOM PS3.3 C.11.2.1.3.1."""
    return torch.sigmoid(4 * (optical_depth - window.centre) / window.width)


def equalise(
    optical_depth: Float[Tensor, "*b h w"],
    spacing_mm: tuple[float, float],
    *,
    sigma_mm: float = 20.0,
    gain: float = 0.5,
) -> Float[Tensor, "*b h w"]:
    """The same picture with its slow variations (over sigma_mm, on the detector) compressed by `gain`, detail kept.

    Full-spine exposures are shown so: lung and pelvis differ by four optical depths, a vertebra from its surroundings by
    0.2. The slow part is averaged within the body only, so the skin line gets no halo; outside nothing changes.
    """
    if not 0 <= gain < 1:
        raise ValueError(f"gain is {gain}; wanted a value in [0, 1), 0 for no change")
    inside = body(optical_depth)
    weight = inside.to(optical_depth.dtype)
    both = torch.stack([optical_depth * weight, weight])
    slow, share = filter_image(both, spacing_mm, gaussian(sigma_mm), margin_mm=3 * sigma_mm, beyond="constant")
    slow = slow / share.clamp(min=1e-3)
    level = (slow * weight).sum((-2, -1), keepdim=True) / weight.sum((-2, -1), keepdim=True).clamp(min=1)
    return torch.where(inside, optical_depth - gain * (slow - level), optical_depth)
