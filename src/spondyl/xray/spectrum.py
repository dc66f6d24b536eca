"""The spectrum of a diagnostic X-ray tube: how many photons of which energy, behind which filter.

Unfiltered spectra of a tungsten anode at 12 degrees (spekpy 2.5.4, model casim: Omar et al., Med. Phys. 47, 2020, 4763)
are baked for 60 to 120 kVp in steps of 5 kVp and bins of 2 keV; filters act through the tables of `attenuation`.
"""

import re
from dataclasses import dataclass, replace
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.xray.attenuation import mass_attenuation_cm2_g
from spondyl.xray.table import read_table

KVP_RANGE = (60.0, 120.0)
FILTERS = {"Al": "aluminium", "Cu": "copper", "Ti": "titanium", "water": "water"}
JOULE_PER_KEV = 1.602176634e-16  # SI 2019


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Photons by energy at some point of an X-ray beam.

    Args:
        energies_kev: bin centres, keV, rising.
        photons: share of the photons in each bin; sums to one.
        kvp: tube voltage.
        filter_text: what the beam has passed, for the record.
        fluence_per_mas_cm2: photons per cm2 and mAs at 1 m from the focal spot.
    """

    energies_kev: Float[Tensor, "e"]
    photons: Float[Tensor, "e"]
    kvp: float
    filter_text: str
    fluence_per_mas_cm2: float

    def __post_init__(self) -> None:
        if self.energies_kev.shape != self.photons.shape or abs(float(self.photons.sum()) - 1) > 1e-6:
            raise ValueError(
                f"photons ({tuple(self.photons.shape)}, sum {float(self.photons.sum()):.4g}) are not one share an energy "
                f"({tuple(self.energies_kev.shape)}); divide them by their sum"
            )

    @property
    def mean_kev(self) -> float:
        """Mean photon energy, keV."""
        return float(self.energies_kev @ self.photons)

    @property
    def air_kerma_ugy_per_mas(self) -> float:
        """Air kerma per mAs at 1 m, uGy: fluence x energy x mu_en/rho of air."""
        absorbed = self.energies_kev * mass_attenuation_cm2_g("air (energy absorption)", self.energies_kev)
        kev_per_g = self.fluence_per_mas_cm2 * float(self.photons @ absorbed)
        return kev_per_g * JOULE_PER_KEV * 1e3 * 1e6

    def behind(self, material: str, g_cm2: float) -> "Spectrum":
        """The primary beam that is left behind some g/cm2 (density times thickness) of a material."""
        if not g_cm2 >= 0:
            raise ValueError(f"g_cm2 of {material} is {g_cm2}; wanted zero or more")
        left = self.photons * torch.exp(-mass_attenuation_cm2_g(material, self.energies_kev) * g_cm2)
        total = float(left.sum())
        return replace(self, photons=left / total, fluence_per_mas_cm2=self.fluence_per_mas_cm2 * total)


@cache
def spectrum(kvp: float, filtration: str = "3Al+0.1Cu") -> Spectrum:
    """The beam of a tungsten tube 1 m from its focal spot, in air.

    Between two baked voltages the photons of each bin are interpolated linearly, and bins above the voltage are emptied;
    mean energies stay within 0.2 keV of the directly computed ones.

    Args:
        kvp: tube voltage, 60 to 120 kV.
        filtration: total filtration, inherent included: millimetres and symbol of each layer, "3Al+0.1Cu". Symbols are
            Al, Cu, Ti and water; "" is the bare anode.

    Raises:
        ValueError: for a voltage outside the baked range or a filtration that cannot be read.
    """
    low, high = KVP_RANGE
    if not low <= kvp <= high:
        raise ValueError(f"kvp is {kvp:g}; the baked spectra run from {low:g} to {high:g} kV")
    table = read_table("spectra")
    below = min(int(kvp // 5) * 5, int(high) - 5)
    fluence = torch.lerp(table.column(str(below)), table.column(str(below + 5)), (kvp - below) / 5)
    energies = table.column("energy_kev")
    kept = (energies - 1 < kvp) & (fluence > 0)
    energies, fluence = energies[kept], fluence[kept]
    total = float(fluence.sum())
    beam = Spectrum(energies, fluence / total, float(kvp), filtration, total)
    beam = beam.behind("air", 100 * _density("air"))
    for thickness_mm, material in _layers(filtration):
        beam = beam.behind(material, thickness_mm / 10 * _density(material))
    return beam


def half_value_layer_mm(beam: Spectrum) -> float:
    """Millimetres of aluminium that halve the beam's air kerma (narrow beam), by bisection to 1 um."""
    start = beam.air_kerma_ugy_per_mas
    low, high = 0.0, 100.0
    while high - low > 1e-3:
        middle = (low + high) / 2
        left = beam.behind("aluminium", middle / 10 * _density("aluminium")).air_kerma_ugy_per_mas
        low, high = (middle, high) if left > start / 2 else (low, middle)
    return (low + high) / 2


def _density(material: str) -> float:
    table = read_table("materials")
    return float(table.row(material)[table.columns.index("density_g_cm3")])


def _layers(filtration: str) -> list[tuple[float, str]]:
    layers = []
    for part in filter(None, filtration.replace(" ", "").split("+")):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(?:mm)?([A-Za-z]+)", part)
        if match is None or match[2] not in FILTERS:
            raise ValueError(
                f"filtration is {filtration!r}; wanted millimetres and symbol of each layer ({', '.join(FILTERS)}), "
                f"like 3Al+0.1Cu"
            )
        layers.append((float(match[1]), FILTERS[match[2]]))
    return layers
