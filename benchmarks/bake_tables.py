"""Bake the X-ray tables of `spondyl.xray` from spekpy's copy of the NIST data; needs spekpy, the package does not.

    python benchmarks/bake_tables.py src/spondyl/xray/tables

Writes mass_attenuation.csv, materials.csv, tissues.csv and spectra.csv, each with its source in the first line.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import spekpy
from numpy.typing import NDArray
from scipy.optimize import nnls

Array = NDArray[np.float64]

# our name -> spekpy's material file (compositions of ICRU Report 44 and ICRP Publication 23)
COMPOUNDS = {
    "water": "Water, Liquid",
    "adipose": "Adipose Tissue (ICRU)",
    "cortical bone": "Bone, Cortical (ICRU)",
    "compact bone": "Bone, Compact (ICRU)",
    "spongiosa": "Skeletal Spongiosa (ICRU)",
    "red marrow": "Red Marrow Skeletal (ICRU)",
    "yellow marrow": "Yellow Marrow, Skeletal (ICRU)",
    "muscle": "Muscle Skeletal (ICRU)",
    "soft tissue": "Tissue, Soft (ICRP)",
    "cartilage": "Skeletal Cartilage (ICRU)",
    "skin": "Skin (ICRU)",
    "lung": "Lung Inflated (ICRU)",
    "liver": "Liver (ICRU)",
    "blood": "Blood, Whole (ICRU)",
    "air": "Air Dry (Near Sea Level)",
    "caesium iodide": "Cesium Iodide",
    "gadolinium oxysulfide": "Gadolinium Oxysulfide",
}
# our name -> density g/cm3, mass fractions by atomic number
ELEMENTS = {
    "aluminium": (2.70, {13: 1.0}),
    "titanium": (4.51, {22: 1.0}),
    "copper": (8.96, {29: 1.0}),
    "xenon": (0.005485, {54: 1.0}),
    "barium fluorobromide": (5.0, {56: 0.5813, 9: 0.0804, 35: 0.3383}),
}
TISSUES = (
    *("red marrow", "yellow marrow", "muscle", "soft tissue", "cartilage", "skin", "lung", "liver", "blood"),
    *("spongiosa", "compact bone"),
)
BASIS = ("water", "adipose", "cortical bone")
TUBE = {"th": 12, "physics": "casim", "mu_data_source": "nist"}
DATA = spekpy.Spek(kvp=100, dk=1, **TUBE)
SOURCE = f"spekpy {spekpy.__version__} (MIT), NIST mass attenuation data"


def mass_attenuation(name: str, energies_kev: Array) -> Array:
    """mu/rho, cm2/g, log-log interpolated per element on the NIST grid."""
    if name == "air (energy absorption)":
        return np.asarray(DATA.muen_air_data.get_muen_over_rho_air(energies_kev))
    if name in COMPOUNDS:
        return np.asarray(DATA.mu_data.get_mu_over_rho_composition(COMPOUNDS[name], energies_kev)[0])
    _, fractions = ELEMENTS[name]
    parts = [w * DATA.mu_data.get_mu_over_rho(z, energies_kev) for z, w in fractions.items()]
    return np.asarray(sum(parts) / sum(fractions.values()))


def density(name: str) -> float:
    if name in ELEMENTS:
        return ELEMENTS[name][0]
    return float(DATA.mu_data.get_mu_over_rho_composition(COMPOUNDS[name], np.array([60.0]))[1])


def energy_rows() -> list[tuple[float, float]]:
    """(energy written, energy evaluated): each K-edge is written twice, its lower and its upper side."""
    grid = [*range(10, 60), *range(60, 100, 2), *range(100, 151, 5)]
    rows = [(float(e), float(e)) for e in grid]
    for edge in (13.47, 33.17, 34.56, 35.98, 37.44, 50.24):  # Br, I, Xe, Cs, Ba, Gd
        rows += [(edge, edge), (edge, edge + 1e-3)]
    return sorted(rows, key=lambda row: row[1])


def scan_weights() -> tuple[Array, Array]:
    """Energies and weights of a CT number: 120 kVp, 7 mm Al, 20 cm water, energy-weighted (mean 77 keV)."""
    tube = spekpy.Spek(kvp=120, dk=0.5, **TUBE).multi_filter([("Al", 7), ("Water, Liquid", 200)])
    energies, fluence = tube.get_spectrum(edges=False)
    return energies, energies * fluence / np.sum(energies * fluence)


def write(path: Path, source: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    lines = [f"# {source}", ",".join(header), *(",".join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def bake(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = [*COMPOUNDS, *ELEMENTS]
    columns = [*names, "air (energy absorption)"]
    written, evaluated = np.array(energy_rows()).T
    values = np.stack([mass_attenuation(name, evaluated) for name in columns], axis=1)
    rows = [[f"{e:g}", *(f"{x:.5g}" for x in row)] for e, row in zip(written, values, strict=True)]
    source = f"mu/rho in cm2/g (last column: mu_en/rho of air); {SOURCE}; an energy written twice is a K-edge"
    write(folder / "mass_attenuation.csv", source, ["energy_kev", *columns], rows)

    energies, weights = scan_weights()
    scan = {name: float(weights @ mass_attenuation(name, energies)) for name in names}
    rows = [[name, f"{density(name):g}", f"{scan[name]:.7g}"] for name in names]
    source = f"density and mu/rho averaged over a CT scan (120 kVp, 7 mm Al, 20 cm water, energy-weighted); {SOURCE}"
    write(folder / "materials.csv", source, ["name", "density_g_cm3", "scan_cm2_g"], rows)

    fit = np.arange(25.0, 121.0, 5.0)
    basis = np.stack([mass_attenuation(name, fit) for name in BASIS], axis=1)
    rows = []
    for name in TISSUES:
        target = density(name) * mass_attenuation(name, fit)
        mix, _ = nnls(basis / target[:, None], np.ones_like(target))
        worst = np.abs(basis @ mix / target - 1).max()
        rows.append([name, *(f"{x:.5g}" for x in mix), f"{worst:.2g}"])
    source = f"g/cm3 of each basis material with the tissue's attenuation, 25-120 keV, non-negative fit; {SOURCE}"
    write(folder / "tissues.csv", source, ["name", *BASIS, "worst_relative_error"], rows)

    grid = np.arange(11.0, 120.0, 2.0)
    fluence = np.stack([on_grid(kvp, grid) for kvp in range(60, 125, 5)], axis=1)
    rows = [[f"{e:g}", *(f"{x:.5g}" for x in row)] for e, row in zip(grid, fluence, strict=True)]
    source = f"photons/cm2/mAs in 2-keV bins, 1 m from a W anode at 12 deg, in vacuum, unfiltered (casim); {SOURCE}"
    write(folder / "spectra.csv", source, ["energy_kev", *(str(k) for k in range(60, 125, 5))], rows)


def on_grid(kvp: int, grid: Array) -> Array:
    """Photons per bin from a fine spectrum: bins of 2 keV about the grid's energies."""
    fine = spekpy.Spek(kvp=kvp, dk=0.1, **TUBE)
    energies, per_kev = fine.get_spectrum(edges=False)
    index = np.round((energies - grid[0]) / 2).astype(int)
    inside = (energies > grid[0] - 1) & (index < len(grid))
    return np.bincount(index[inside], weights=0.1 * per_kev[inside], minlength=len(grid))


if __name__ == "__main__":
    bake(Path(sys.argv[1]))
