"""From materials to a measured radiograph: spectrum, scatter, grid, blur and noise, each with its own switch.

`project` in `spondyl.xray.project` is the ideal picture at one energy; `expose` is the picture that a detector delivers.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.geometry import View
from spondyl.images import Radiograph
from spondyl.xray.attenuation import Materials, mass_attenuation_cm2_g
from spondyl.xray.detector import DETECTORS, Detector, body, filter_image, gaussian, quanta_per_pixel, record
from spondyl.xray.project import project_channels
from spondyl.xray.spectrum import Spectrum, spectrum

PIXELS_AT_ONCE = 1 << 16  # energies x pixels stays in the processor's cache


@dataclass(frozen=True)
class ExposureSettings:
    """How a radiograph is taken.

    Args:
        kvp: tube voltage, 60-120 kV.
        filtration: total filtration, see `spectrum`.
        detector: what reads the beam.
        detector_dose_ugy: air kerma behind the patient that the automatic exposure stops at, uGy (2.5: speed class 400).
        max_open_field_ugy: the generator's limit, as air kerma at the detector without a patient; thicker patients get less
            than `detector_dose_ugy` (2000 uGy: 100 mAs at 104 kVp and 180 cm).
        scatter_acceptance: scatter that reaches the detector over scatter without a grid, relative to primary: 1 without
            a grid, 0.2 with a grid of 10:1 to 12:1, 0.03 behind the slots of a slot scanner.
        scatter_sigma_mm: reach of scatter on the detector (25-40 mm).
        polychromatic: the tube's spectrum, or one energy.
        scatter, blur, noise: each effect on or off.
        ideal: one switch for one energy, no scatter, no blur, no noise.
        energy_kev: the energy where the beam is not polychromatic.
    """

    kvp: float = 90.0
    filtration: str = "3Al+0.1Cu"
    detector: Detector = field(default_factory=lambda: DETECTORS["csi"])
    detector_dose_ugy: float = 2.5
    max_open_field_ugy: float = 2000.0
    scatter_acceptance: float = 0.2
    scatter_sigma_mm: float = 30.0
    polychromatic: bool = True
    scatter: bool = True
    blur: bool = True
    noise: bool = True
    ideal: bool = False
    energy_kev: float = 70.0

    def __post_init__(self) -> None:
        if not (self.detector_dose_ugy > 0 and self.max_open_field_ugy > 0):
            raise ValueError("detector_dose_ugy and max_open_field_ugy are not both positive; wanted air kerma in uGy")
        if not (0 <= self.scatter_acceptance <= 1 and self.scatter_sigma_mm > 0):
            raise ValueError(
                f"scatter_acceptance is {self.scatter_acceptance}, scatter_sigma_mm {self.scatter_sigma_mm}; wanted a "
                f"share in [0, 1] and a positive length"
            )


EXPOSURES: dict[str, ExposureSettings] = {
    "pa": ExposureSettings(),
    "lateral": ExposureSettings(kvp=104.0),
    "slot": ExposureSettings(detector=DETECTORS["slot"], detector_dose_ugy=1.0, scatter_acceptance=0.03),
    "ideal": ExposureSettings(ideal=True),
}


def expose(
    materials: Materials,
    world_from_voxel: Float[Tensor, "4 4"],
    view: View,
    *,
    settings: ExposureSettings = EXPOSURES["pa"],
    generator: torch.Generator | None = None,
) -> Radiograph:
    """The measured radiograph of a patient made of materials.

    Optical depth is minus the log of signal over the open field's signal. It is zero or more but for noise and for
    scatter that spills past the skin (a few hundredths), and never above the depth at which half a quantum is detected.

    Args:
        materials: see `attenuation.materials`.
        world_from_voxel: affine of their grid, world LPS mm.
        view: one exposure or a batch.
        generator: source of the noise; may be None where settings.noise is off or settings.ideal is on.

    Raises:
        ValueError: for noise without a generator, and what `project_channels` and `spectrum` raise.
    """
    mm_g_cm3 = project_channels(materials.density_g_cm3, world_from_voxel, view)
    return expose_areal(mm_g_cm3 / 10, materials.names, view, settings=settings, generator=generator)


def expose_areal(
    areal_g_cm2: Float[Tensor, "*b m h w"],
    names: tuple[str, ...],
    view: View,
    *,
    settings: ExposureSettings = EXPOSURES["pa"],
    generator: torch.Generator | None = None,
) -> Radiograph:
    """`expose` from what each ray has passed: grams per cm2 of each material."""
    if settings.ideal or not settings.polychromatic:
        energies = torch.tensor([settings.energy_kev], dtype=torch.float64)
        weights = torch.ones_like(energies)
    else:
        beam = spectrum(settings.kvp, settings.filtration)
        energies, weights = beam.energies_kev, detected_share(beam, settings.detector)
    if settings.ideal:
        return Radiograph(_optical_depth(areal_g_cm2, names, energies), view)
    if settings.noise and generator is None:
        raise ValueError("noise is on but no generator came; give one, or settings with noise=False")

    signal = primary(areal_g_cm2, names, energies, weights)
    in_body = body(-signal.detach().log())
    if settings.scatter:
        signal = signal + scatter(signal, areal_g_cm2.sum(-3), view, settings)
    open_field_ugy = open_field(signal.detach(), in_body, settings)
    read = record(
        signal,
        view,
        settings.detector,
        open_field_ugy=open_field_ugy,
        blurred=settings.blur,
        generator=generator if settings.noise else None,
    )
    floor = 0.5 / quanta_per_pixel(view, settings.detector, open_field_ugy)[..., None, None]
    return Radiograph(-torch.log(torch.maximum(read, floor)), view)


def detected_share(beam: Spectrum, detector: Detector) -> Float[Tensor, "e"]:
    """Share of each energy in the open-field signal of an energy-integrating detector: photons x energy x absorbed."""
    energy = beam.photons * beam.energies_kev * detector.absorbed(beam.energies_kev)
    return energy / energy.sum()


def primary(
    areal_g_cm2: Float[Tensor, "*b m h w"],
    names: tuple[str, ...],
    energies_kev: Float[Tensor, "e"],
    weights: Float[Tensor, "e"],
) -> Float[Tensor, "*b h w"]:
    """Primary signal over open-field signal: sum over energies of weight x exp(- sum over materials of mu/rho x g/cm2)."""
    mu = torch.stack([mass_attenuation_cm2_g(name, energies_kev) for name in names], dim=-1).to(areal_g_cm2)
    weights = weights.to(areal_g_cm2)
    *batch, m, h, w = areal_g_cm2.shape
    per_pixel = areal_g_cm2.movedim(-3, 0).reshape(m, -1)
    parts = [weights @ torch.exp(-(mu @ part)) for part in torch.split(per_pixel, PIXELS_AT_ONCE, dim=1)]
    return torch.cat(parts).reshape(*batch, h, w)


def scatter_to_primary(water_cm: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Scatter over primary without a grid behind a broad slab of water, 2 (t / 18 cm)^1.6.

    Through the published 1.5-2.5 at 16-20 cm and 3-5 at 28 cm (Bushberg et al., The Essential Physics of Medical Imaging);
    the power law between them is an engineering choice.
    """
    return 2 * (water_cm.clamp(min=0) / 18) ** 1.6


def scatter(
    primary_signal: Float[Tensor, "*b h w"],
    areal_g_cm2: Float[Tensor, "*b h w"],
    view: View,
    settings: ExposureSettings,
) -> Float[Tensor, "*b h w"]:
    """Scattered signal: acceptance x blur of (primary x scatter-to-primary of the local thickness), zero past the field."""
    source = primary_signal * scatter_to_primary(areal_g_cm2)
    sigma = settings.scatter_sigma_mm
    spread = filter_image(source, view.pixel_spacing_mm, gaussian(sigma), margin_mm=3 * sigma, beyond="constant")
    return settings.scatter_acceptance * spread.clamp(min=0)


def open_field(signal: Float[Tensor, "*b h w"], in_body: Tensor, settings: ExposureSettings) -> Float[Tensor, "*b"]:
    """Air kerma of the open field that gives the body's median pixel the wanted dose; the dose itself without a body."""
    images, masks = signal.flatten(0, -3) if signal.ndim > 2 else signal[None], in_body.reshape(-1, *signal.shape[-2:])
    medians = [
        image[mask].median() if bool(mask.any()) else image.new_ones(())
        for image, mask in zip(images, masks, strict=True)
    ]
    kerma = settings.detector_dose_ugy / torch.stack(medians).reshape(signal.shape[:-2])
    return kerma.clamp(max=settings.max_open_field_ugy)


def _optical_depth(
    areal_g_cm2: Float[Tensor, "*b m h w"], names: tuple[str, ...], energies_kev: Float[Tensor, "1"]
) -> Float[Tensor, "*b h w"]:
    mu = torch.cat([mass_attenuation_cm2_g(name, energies_kev) for name in names]).to(areal_g_cm2)
    return torch.einsum("m,...mhw->...hw", mu, areal_g_cm2)
