"""Baked spectra keep the quality, output and voltage of the tube model they came from."""

import pytest
import torch

from spondyl.xray.attenuation import mass_attenuation_cm2_g
from spondyl.xray.spectrum import half_value_layer_mm, spectrum
from spondyl.xray.table import read_table

# kVp, filtration, mean keV, half-value layer mm Al, kerma uGy/mAs and photons/cm2/mAs at 1 m (spekpy 2.5.4, casim, W, 12 deg)
QUALITY = [
    (60, "2.5Al", 36.1, 2.12, 46, 7.1e7),
    (80, "3Al", 44.0, 3.08, 67, 1.33e8),
    (90, "3Al", 47.3, 3.47, 84, 1.77e8),
    (90, "3Al+0.1Cu", 52.0, 5.18, 46, 1.19e8),
    (90, "3Al+0.2Cu", 54.9, 6.29, 32, 8.9e7),
    (104, "3Al+0.1Cu", 56.2, 5.91, 65, 1.74e8),
    (120, "3Al", 55.6, 4.68, 138, 3.3e8),
]


@pytest.mark.parametrize(("kvp", "filtration", "mean", "hvl", "kerma", "fluence"), QUALITY)
def test_beam_quality_and_output_are_the_tube_models(
    kvp: float, filtration: str, mean: float, hvl: float, kerma: float, fluence: float
) -> None:
    beam = spectrum(kvp, filtration)
    assert beam.mean_kev == pytest.approx(mean, rel=0.005)
    assert half_value_layer_mm(beam) == pytest.approx(hvl, rel=0.02)
    assert beam.air_kerma_ugy_per_mas == pytest.approx(kerma, rel=0.025)
    assert beam.fluence_per_mas_cm2 == pytest.approx(fluence, rel=0.02)


@pytest.mark.parametrize("kvp", [63.0, 77.0, 92.5, 104.0, 118.0])
def test_a_voltage_between_the_baked_ones_is_close_to_computing_it(kvp: float) -> None:
    spekpy = pytest.importorskip("spekpy")
    tube = spekpy.Spek(kvp=kvp, th=12, physics="casim", mu_data_source="nist", dk=0.5)
    tube.multi_filter([("Al", 3), ("Cu", 0.1), ("Air", 1000)])
    beam = spectrum(kvp)
    assert beam.mean_kev == pytest.approx(tube.get_emean(), abs=0.2)
    assert half_value_layer_mm(beam) == pytest.approx(tube.get_hvl1(), rel=0.005)
    assert beam.fluence_per_mas_cm2 == pytest.approx(tube.get_flu(), rel=0.005)


def test_no_photon_carries_more_than_the_tube_voltage() -> None:
    for kvp in (60.0, 88.0, 104.0, 119.0):
        assert float(spectrum(kvp).energies_kev.max()) - 1 < kvp


def test_filters_harden_the_beam_and_their_order_does_not_matter() -> None:
    soft, hard = spectrum(90.0, "3Al"), spectrum(90.0, "3Al+0.2Cu")
    assert hard.mean_kev > soft.mean_kev
    assert hard.fluence_per_mas_cm2 < soft.fluence_per_mas_cm2
    torch.testing.assert_close(spectrum(90.0, "0.2Cu + 3Al").photons, hard.photons)


def test_the_half_value_layer_halves_the_kerma() -> None:
    beam = spectrum(80.0, "3Al")
    left = beam.behind("aluminium", half_value_layer_mm(beam) / 10 * 2.7)
    assert left.air_kerma_ugy_per_mas == pytest.approx(beam.air_kerma_ugy_per_mas / 2, rel=1e-3)


def test_behind_a_patient_the_mean_energy_is_59_to_64_kev() -> None:
    assert spectrum(90.0).behind("soft tissue", 15.0).mean_kev == pytest.approx(59, abs=0.6)
    assert spectrum(90.0).behind("soft tissue", 35.0).mean_kev == pytest.approx(64, abs=0.6)


def test_the_scan_average_in_the_materials_table_is_that_of_the_scan_spectrum() -> None:
    beam = spectrum(120.0, "7Al+200water")
    weights = beam.photons * beam.energies_kev
    weights = weights / weights.sum()
    assert float(weights @ beam.energies_kev) == pytest.approx(77, abs=0.3)
    table = read_table("materials")
    for name in ("water", "adipose", "red marrow", "cortical bone", "titanium"):
        averaged = float(weights @ mass_attenuation_cm2_g(name, beam.energies_kev))
        assert averaged == pytest.approx(float(table.row(name)[1]), rel=1e-3), name


@pytest.mark.parametrize("kvp", [50.0, 121.0, float("nan")])
def test_a_voltage_outside_the_baked_range_is_refused(kvp: float) -> None:
    with pytest.raises(ValueError, match="60 to 120"):
        spectrum(kvp)


@pytest.mark.parametrize("text", ["3", "Al3", "3Al,0.1Cu", "3Unobtainium", "-1Al"])
def test_a_filtration_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="like 3Al"):
        spectrum(90.0, text)
