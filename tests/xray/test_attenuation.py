"""HU become materials and back without loss; attenuation at any energy is what NIST's tables say."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spondyl.images import STRUCTURE_LABELS, Volume
from spondyl.xray import attenuation
from spondyl.xray.attenuation import (
    ADIPOSE,
    BONE,
    LABEL_TISSUE,
    WATER,
    linear_attenuation_per_mm,
    mass_attenuation_cm2_g,
    materials,
    scan_hu,
    tissue_hu,
)
from spondyl.xray.table import read_table

# mu/rho in cm2/g at 20, 40, 60, 80, 100 and 150 keV: NIST (Hubbell and Seltzer) for compositions of ICRU 44.
NIST_KEV = (20.0, 40.0, 60.0, 80.0, 100.0, 150.0)
NIST_CM2_G = {
    "water": (0.8098, 0.2683, 0.2058, 0.1837, 0.1707, 0.1505),
    "cortical bone": (4.001, 0.6655, 0.3148, 0.2229, 0.1855, 0.1481),
    "compact bone": (2.832, 0.5206, 0.2752, 0.2087, 0.1802, 0.1491),
    "spongiosa": (1.764, 0.3877, 0.2381, 0.1948, 0.1745, 0.1492),
    "red marrow": (0.7045, 0.2552, 0.2011, 0.1809, 0.1687, 0.1492),
    "yellow marrow": (0.5479, 0.2373, 0.1968, 0.1799, 0.1688, 0.1501),
    "adipose": (0.5678, 0.2395, 0.1974, 0.1800, 0.1689, 0.1500),
    "muscle": (0.8206, 0.2685, 0.2047, 0.1823, 0.1693, 0.1492),
    "cartilage": (0.9483, 0.2831, 0.2083, 0.1833, 0.1693, 0.1486),
    "skin": (0.7682, 0.2617, 0.2025, 0.1812, 0.1685, 0.1488),
    "lung": (0.8318, 0.2699, 0.2053, 0.1826, 0.1695, 0.1493),
    "air": (0.7780, 0.2485, 0.1874, 0.1663, 0.1541, 0.1356),
    "aluminium": (3.442, 0.5684, 0.2778, 0.2018, 0.1704, 0.1378),
    "copper": (33.80, 4.862, 1.593, 0.7630, 0.4585, 0.2217),
    "caesium iodide": (26.86, 22.97, 7.921, 3.677, 2.035, 0.7291),
    "gadolinium oxysulfide": (36.87, 5.854, 9.812, 4.666, 2.613, 0.9381),
}
CANCELLOUS_HU = 227.0  # adolescent vertebral body (Nagata 2024)


def cube(hu: Tensor | list[float], label: int | None = None) -> Volume:
    values = torch.as_tensor(hu, dtype=torch.float64).reshape(1, 1, -1)
    return Volume(values, torch.eye(4), None if label is None else torch.full(values.shape, label))


def attenuation_of(hu: float, energy_kev: float, label: int | None = None) -> float:
    return float(linear_attenuation_per_mm(cube([hu], label), energy_kev))


@pytest.mark.parametrize("name", NIST_CM2_G)
def test_mass_attenuation_is_nists(name: str) -> None:
    got = mass_attenuation_cm2_g(name, torch.tensor(NIST_KEV, dtype=torch.float64))
    torch.testing.assert_close(got, torch.tensor(NIST_CM2_G[name], dtype=torch.float64), rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("name", "edge_kev", "step"),
    [("caesium iodide", 33.17, 3.0), ("caesium iodide", 35.98, 1.3), ("gadolinium oxysulfide", 50.24, 3.7)],
)
def test_a_k_edge_is_a_jump_and_not_a_slope(name: str, edge_kev: float, step: float) -> None:
    below, close, above = mass_attenuation_cm2_g(name, torch.tensor([edge_kev - 0.5, edge_kev - 1e-3, edge_kev + 1e-3]))
    assert close < below < above
    assert float(above / close) > step
    at = mass_attenuation_cm2_g(name, torch.tensor([edge_kev], dtype=torch.float64))
    assert float(at) == pytest.approx(float(above), rel=1e-3), "at the edge the upper side counts"


def test_between_two_rows_the_table_follows_a_power_law() -> None:
    low, middle, high = mass_attenuation_cm2_g(
        "copper", torch.tensor([40.0, (40 * 41) ** 0.5, 41.0], dtype=torch.float64)
    )
    torch.testing.assert_close(middle, (low * high).sqrt())


@pytest.mark.parametrize("energy", [5.0, 151.0, float("nan")])
def test_an_energy_outside_the_table_is_refused(energy: float) -> None:
    with pytest.raises(ValueError, match="10 to 150"):
        mass_attenuation_cm2_g("water", torch.tensor([energy]))


def test_an_unknown_material_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="cortical bone"):
        mass_attenuation_cm2_g("kryptonite", torch.tensor([60.0]))


@pytest.mark.parametrize("energy", [30.0, 52.0, 70.0, 120.0])
def test_water_is_exact_at_zero_hu_and_air_and_padding_stop_nothing(energy: float) -> None:
    water = mass_attenuation_cm2_g("water", torch.tensor([energy], dtype=torch.float64)) / 10
    assert attenuation_of(0.0, energy) == pytest.approx(float(water), rel=1e-12)
    assert attenuation_of(-1000.0, energy) == 0
    assert attenuation_of(-3024.0, energy) == 0


@pytest.mark.parametrize("label", [None, *sorted(LABEL_TISSUE), 77])
def test_more_hu_is_never_less_attenuation_at_any_energy(label: int | None) -> None:
    volume = cube(torch.linspace(-1100, 4000, 2000), label)
    for energy in (15.0, 25.0, 40.0, 60.0, 90.0, 120.0, 150.0):
        assert float(linear_attenuation_per_mm(volume, energy).diff(dim=-1).min()) >= 0


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-1000, 2000), min_size=1, max_size=20),
    st.one_of(st.none(), st.sampled_from([*LABEL_TISSUE, 0, 77, -1, 200])),
)
def test_scanning_the_materials_again_gives_the_same_hu(hu: list[float], label: int | None) -> None:
    volume = cube(hu, label)
    found = materials(volume)
    assert float(found.density_g_cm3.min()) >= 0
    torch.testing.assert_close(scan_hu(found), volume.hu, atol=1e-6, rtol=0)


def test_mixed_labels_give_each_voxel_what_it_gets_alone() -> None:
    labels = torch.tensor([0, 20, 40, 44, 45, 47, 50, 31]).reshape(1, 2, 4)
    hu = torch.tensor([227.0, 227, -750, 50, -90, 106, 2500, 1200]).reshape(1, 2, 4)
    together = linear_attenuation_per_mm(Volume(hu, torch.eye(4), labels), 50.0).flatten().tolist()
    alone = [attenuation_of(h, 50.0, l) for h, l in zip(hu.flatten().tolist(), labels.flatten().tolist(), strict=True)]
    assert together == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("label", [None, 20])
def test_adolescent_cancellous_bone_is_an_eighth_mineral_and_not_soft_tissue(label: int | None) -> None:
    found = materials(cube([CANCELLOUS_HU], label))
    share = (CANCELLOUS_HU - tissue_hu("red marrow")) / (tissue_hu(BONE) - tissue_hu("red marrow"))
    assert share == pytest.approx((227 - 10) / (1659 - 10), abs=2e-3)
    mineral = float(found.density_g_cm3[found.names.index(BONE)])
    assert mineral == pytest.approx(1.92 * share, abs=0.021), "marrow carries 0.02 g/cm3 of its own"
    assert float(found.density_g_cm3.sum()) == pytest.approx(1.146, rel=0.02), "mass of mineral and marrow"
    as_water = float(mass_attenuation_cm2_g(WATER, torch.tensor([50.0]))) / 10 * (1 + CANCELLOUS_HU / 1000)
    assert attenuation_of(CANCELLOUS_HU, 50.0, label) > 1.06 * as_water


@pytest.mark.parametrize(
    ("structure", "material", "tolerance"),
    [
        ("muscle", "muscle", 1e-3),
        ("fat", "adipose", 1e-3),
        ("lung", "lung", 1e-3),
        ("skin", "skin", 1e-3),
        ("cartilage", "cartilage", 1e-3),
        ("liver", "liver", 1e-3),
        ("T8", "red marrow", 1e-3),
        ("T8", "cortical bone", 1e-3),
    ],
)
def test_a_labelled_tissue_attenuates_at_every_energy_as_its_own_table_says(
    structure: str, material: str, tolerance: float
) -> None:
    label = STRUCTURE_LABELS[structure]
    density = float(read_table("materials").row(material)[0])
    for energy in (30.0, 45.0, 60.0, 80.0, 110.0):
        wanted = density * float(mass_attenuation_cm2_g(material, torch.tensor([energy], dtype=torch.float64))) / 10
        assert attenuation_of(tissue_hu(material), energy, label) == pytest.approx(wanted, rel=tolerance)


@pytest.mark.parametrize(("material", "tolerance"), [("spongiosa", 0.01), ("compact bone", 0.06)])
def test_bone_as_marrow_and_cortical_mineral_is_near_the_icru_bones(material: str, tolerance: float) -> None:
    density = float(read_table("materials").row(material)[0])
    for energy in (50.0, 60.0, 80.0, 110.0):
        wanted = density * float(mass_attenuation_cm2_g(material, torch.tensor([energy]))) / 10
        assert attenuation_of(tissue_hu(material), energy, 20) == pytest.approx(wanted, rel=tolerance)


def test_soft_tissue_without_a_label_is_within_one_percent_of_muscle() -> None:
    for energy in (40.0, 60.0, 90.0, 120.0):
        wanted = 1.05 * float(mass_attenuation_cm2_g("muscle", torch.tensor([energy]))) / 10
        assert attenuation_of(tissue_hu("muscle"), energy) == pytest.approx(wanted, rel=0.01)


def test_the_reference_tissues_have_the_hu_that_scanners_show() -> None:
    expected = {
        "cortical bone": 1659,
        "adipose": -80,
        "red marrow": 10,
        "yellow marrow": -53,
        "cartilage": 106,
        "lung": -741,
    }
    for name, hu in expected.items():
        assert tissue_hu(name) == pytest.approx(hu, abs=8), name


def test_empty_channels_are_left_out_and_water_stays() -> None:
    assert materials(cube([-1000.0, 30.0])).names == (WATER,)
    assert materials(cube([-1000.0])).names == (WATER,)
    assert materials(cube([0.0, 300.0])).names == (WATER, BONE)
    assert materials(cube([-100.0], STRUCTURE_LABELS["fat"])).names == (WATER, ADIPOSE)
    assert materials(cube([2000.0], STRUCTURE_LABELS["metal"])).names == (WATER, "titanium")


def test_metal_where_the_scale_is_saturated_is_solid_titanium() -> None:
    found = materials(cube([3071.0], STRUCTURE_LABELS["metal"]))
    assert float(found.density_g_cm3[found.names.index("titanium")]) == pytest.approx(4.51)


def test_attenuation_is_the_materials_times_their_coefficients_and_slabs_do_not_show(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = torch.Generator().manual_seed(3)
    hu = torch.rand(5, 4, 3, generator=generator) * 2500 - 1000
    labels = torch.randint(0, 51, hu.shape, generator=generator, dtype=torch.uint8)
    volume = Volume(hu, torch.eye(4), labels)
    found = materials(volume)
    mu = torch.cat([mass_attenuation_cm2_g(name, torch.tensor([55.0])) for name in found.names]) / 10
    whole = linear_attenuation_per_mm(volume, 55.0)
    torch.testing.assert_close(whole, torch.einsum("m,mzyx->zyx", mu, found.density_g_cm3))
    monkeypatch.setattr(attenuation, "VOXELS_AT_ONCE", 13)
    assert torch.equal(linear_attenuation_per_mm(volume, 55.0), whole)
    assert torch.equal(materials(volume).density_g_cm3, found.density_g_cm3)


def test_attenuation_is_differentiable_in_hu() -> None:
    hu = torch.tensor([-800.0, -90, 40, 100, 227, 900, 2200], dtype=torch.float64).reshape(1, 1, -1)
    labels = torch.tensor([0, 45, 44, 0, 20, 0, 0]).reshape(1, 1, -1)

    def attenuate(values: Tensor) -> Tensor:
        return linear_attenuation_per_mm(Volume(values, torch.eye(4), labels), 60.0) * 1e3

    assert torch.autograd.gradcheck(attenuate, hu.clone().requires_grad_(), eps=1e-3, atol=1e-6)


def test_hu_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        materials(cube([0.0, float("nan")]))


def test_the_compiled_pass_gives_what_torch_gives() -> None:
    generator = torch.Generator().manual_seed(4)
    hu = torch.rand(7, 6, 5, generator=generator) * 4500 - 1100
    labels = torch.randint(0, 80, (7, 6, 5), generator=generator)
    for named in (None, labels, labels.to(torch.uint8), torch.full_like(labels, -1)):
        compiled = materials(Volume(hu, torch.eye(4), named))
        plain = materials(Volume(hu.clone().requires_grad_(), torch.eye(4), named))
        assert compiled.names == plain.names
        assert torch.allclose(compiled.density_g_cm3, plain.density_g_cm3, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_no_number_is_refused_wherever_it_lies(wrong: float) -> None:
    hu = torch.zeros(3, 4, 5)
    hu[2, 3, 4] = wrong
    with pytest.raises(ValueError, match="NaN or infinite"):
        materials(Volume(hu, torch.eye(4)))
