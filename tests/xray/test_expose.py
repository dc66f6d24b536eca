"""An exposure has the published transmission, contrast, scatter and noise, and each effect has its switch."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from spondyl.geometry import View, stack_views
from spondyl.images import STRUCTURE_LABELS, Volume
from spondyl.xray.attenuation import Materials, materials
from spondyl.xray.detector import DETECTORS, quanta_per_pixel
from spondyl.xray.expose import (
    EXPOSURES,
    ExposureSettings,
    detected_share,
    expose,
    expose_areal,
    primary,
    scatter,
    scatter_to_primary,
)
from spondyl.xray.geometries import view_for
from spondyl.xray.project import project
from spondyl.xray.spectrum import Spectrum, spectrum

BASIS = ("water", "adipose", "cortical bone")
PRIMARY_ONLY = replace(EXPOSURES["pa"], scatter=False, blur=False, noise=False)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tissue(structure: str, hu: float) -> Tensor:
    """g/cm3 of the basis materials in a labelled tissue of some HU; "background" goes by HU alone."""
    label = torch.full((1, 1, 1), STRUCTURE_LABELS[structure])
    found = materials(Volume(torch.full((1, 1, 1), hu, dtype=torch.float64), torch.eye(4), label))
    held = dict(zip(found.names, found.density_g_cm3.flatten().tolist(), strict=True))
    return torch.tensor([held.get(name, 0.0) for name in BASIS], dtype=torch.float64)


def transmission(areal_g_cm2: Tensor, beam: Spectrum, weights: Tensor | None = None) -> float:
    share = beam.photons if weights is None else weights
    return float(primary(areal_g_cm2[:, None, None], BASIS, beam.energies_kev, share))


def slab(g_cm2: Tensor, shape_px: tuple[int, int]) -> Tensor:
    return g_cm2.float()[:, None, None].expand(-1, *shape_px)


def panel(shape_px: tuple[int, int], spacing_mm: float) -> View:
    return View.around((0, 0, 0), pixel_spacing_mm=(spacing_mm, spacing_mm), shape_px=shape_px)


def vertebra_contrast(beam: Spectrum, weights: Tensor | None = None) -> float:
    """ln contrast of 27 mm cancellous bone of 227 HU and 3 mm cortex against muscle, in 20 cm of it."""
    soft = tissue("muscle", 43)
    with_bone = soft * 17 + tissue("L3", 227) * 2.7 + tissue("L3", 1659) * 0.3
    return math.log(transmission(soft * 20, beam, weights) / transmission(with_bone, beam, weights))


@pytest.mark.parametrize(
    ("thickness_cm", "wanted"), [(15, 0.035), (20, 0.0123), (25, 0.0044), (30, 0.0016), (35, 0.00057)]
)
def test_the_primary_through_soft_tissue_is_the_published_share(thickness_cm: float, wanted: float) -> None:
    got = transmission(tissue("background", -13) * thickness_cm, spectrum(90.0))
    assert got == pytest.approx(wanted, rel=0.05)


@pytest.mark.parametrize(
    ("kvp", "filtration", "wanted"), [(80, "3Al", 0.31), (90, "3Al+0.1Cu", 0.26), (104, "3Al+0.1Cu", 0.24)]
)
def test_a_vertebra_has_the_published_contrast(kvp: float, filtration: str, wanted: float) -> None:
    assert vertebra_contrast(spectrum(kvp, filtration)) == pytest.approx(wanted, abs=0.015)


def test_scatter_behind_a_grid_leaves_a_vertebra_a_contrast_of_a_tenth_to_a_fifth() -> None:
    beam = spectrum(90.0)
    with_grid = vertebra_contrast(beam, detected_share(beam, DETECTORS["csi"]))
    seen = with_grid / (1 + 0.2 * float(scatter_to_primary(torch.tensor(20.0))))
    assert 0.1 < seen < 0.2


def test_twelve_centimetres_of_lung_are_two_optical_depths_clearer_than_soft_tissue() -> None:
    soft, lung, beam = tissue("muscle", 43), tissue("lung", -741), spectrum(90.0)
    ratio = transmission(soft * 8 + lung * 12, beam) / transmission(soft * 20, beam)
    assert math.log(ratio) == pytest.approx(2.0, abs=0.05)


def test_the_beam_hardens_each_centimetre_adds_less_and_more_kilovolts_see_less_bone() -> None:
    view = panel((1, 30), 1.0)
    areal = torch.zeros(3, 1, 30)
    areal[0, 0] = torch.arange(1.0, 31.0)
    depth = expose_areal(areal, BASIS, view, settings=PRIMARY_ONLY).optical_depth[0]
    assert float(depth.diff().diff().max()) < 0
    one_energy = replace(PRIMARY_ONLY, polychromatic=False)
    straight = expose_areal(areal, BASIS, view, settings=one_energy).optical_depth[0]
    torch.testing.assert_close(straight, straight[0] * torch.arange(1.0, 31.0), rtol=1e-4, atol=0)
    contrasts = [vertebra_contrast(spectrum(float(k))) for k in (70, 80, 90, 100, 110, 120)]
    assert contrasts == sorted(contrasts, reverse=True)


def test_an_empty_beam_is_optical_depth_zero_for_every_exposure() -> None:
    view = panel((40, 40), 2.0)
    for settings in EXPOSURES.values():
        quiet = replace(settings, noise=False)
        depth = expose_areal(torch.zeros(3, 40, 40), BASIS, view, settings=quiet).optical_depth
        torch.testing.assert_close(depth, torch.zeros_like(depth), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("thickness_cm", "low", "high"), [(16.0, 1.5, 2.5), (20.0, 1.5, 2.5), (28.0, 3.0, 5.0)], ids=["16", "20", "28"]
)
def test_scatter_without_a_grid_is_the_published_share_of_primary(thickness_cm: float, low: float, high: float) -> None:
    view = panel((120, 120), 4.0)
    areal = slab(torch.tensor([thickness_cm, 0, 0]), (120, 120))
    no_grid = replace(PRIMARY_ONLY, scatter=True, scatter_acceptance=1.0)
    with_scatter = expose_areal(areal, BASIS, view, settings=no_grid).optical_depth
    without = expose_areal(areal, BASIS, view, settings=PRIMARY_ONLY).optical_depth
    ratio = torch.expm1(without - with_scatter)
    assert low < float(ratio[60, 60]) < high
    half = 0.5 + 0.5 * math.erf(2 / (30 * math.sqrt(2)))  # the outer pixel's centre lies 2 mm inside the field
    assert float(ratio[0, 0] / ratio[60, 60]) == pytest.approx(half**2, rel=0.005), "a quarter in the field's corner"


def test_a_grid_lets_its_share_of_the_scatter_through() -> None:
    areal = slab(torch.tensor([20.0, 0, 0]), (60, 60))
    beam, view = spectrum(90.0), panel((60, 60), 4.0)
    direct = primary(areal, BASIS, beam.energies_kev, beam.photons)
    free, grid = (
        scatter(direct, areal.sum(0), view, replace(PRIMARY_ONLY, scatter_acceptance=share)) for share in (1.0, 0.2)
    )
    torch.testing.assert_close(grid, 0.2 * free)


def test_the_detector_weighs_each_photon_with_its_energy_and_its_chance_to_be_absorbed() -> None:
    beam, detector = spectrum(90.0), DETECTORS["csi"]
    share = detected_share(beam, detector)
    assert float(share.sum()) == pytest.approx(1)
    low, high = (int((beam.energies_kev == e).nonzero()) for e in (45.0, 75.0))
    absorbed = detector.absorbed(beam.energies_kev)
    wanted = beam.photons[high] / beam.photons[low] * 75 / 45 * absorbed[high] / absorbed[low]
    torch.testing.assert_close(share[high] / share[low], wanted)


@pytest.mark.parametrize(("name", "low", "high"), [("pa", 0.3, 0.6), ("slot", 0.03, 0.1)])
def test_grid_and_slot_keep_the_published_share_of_scatter(name: str, low: float, high: float) -> None:
    for thickness_cm in (16.0, 20.0):
        share = EXPOSURES[name].scatter_acceptance * float(scatter_to_primary(torch.tensor(thickness_cm)))
        assert low < share < high


def test_scatter_carries_less_energy_than_the_patient_took_from_the_beam() -> None:
    beam = spectrum(90.0)
    for thickness_cm in (2.0, 10.0, 20.0, 40.0):
        areal = slab(torch.tensor([thickness_cm, 0, 0]), (60, 60))
        direct = primary(areal, BASIS, beam.energies_kev, beam.photons)
        spread = scatter(direct, areal.sum(0), panel((60, 60), 8.0), replace(PRIMARY_ONLY, scatter_acceptance=1.0))
        assert float((direct + spread).max()) < 1
        assert float(spread.sum()) <= float((direct * scatter_to_primary(areal.sum(0))).sum()) * 1.001


@pytest.mark.parametrize("thickness_cm", [12.0, 22.0])
def test_noise_is_the_root_of_the_quanta_that_the_exposure_meter_stops_at(thickness_cm: float) -> None:
    view = panel((200, 200), 0.143)
    settings = replace(EXPOSURES["pa"], scatter=False, blur=False)
    areal = slab(torch.tensor([thickness_cm, 0, 0]), (200, 200))
    depth = expose_areal(areal, BASIS, view, settings=settings, generator=seeded()).optical_depth
    quanta = float(quanta_per_pixel(view, settings.detector, torch.tensor(2.5)))
    assert quanta == pytest.approx(30000 * 2.5 * 0.143**2 * 0.65)
    assert float(depth.std()) == pytest.approx(1 / math.sqrt(quanta), rel=0.1)


def test_the_exposure_meter_looks_at_the_body_and_not_at_the_open_field() -> None:
    view = panel((200, 400), 0.143)
    areal = torch.zeros(3, 200, 400)
    areal[0, :, 300:] = 20.0
    settings = replace(EXPOSURES["pa"], scatter=False, blur=False)
    depth = expose_areal(areal, BASIS, view, settings=settings, generator=seeded()).optical_depth
    quanta = float(quanta_per_pixel(view, settings.detector, torch.tensor(2.5)))
    assert float(depth[:, 300:].std()) == pytest.approx(1 / math.sqrt(quanta), rel=0.1)


def test_a_very_thick_patient_gets_less_than_the_wanted_dose_and_more_noise() -> None:
    view = panel((100, 100), 0.143)
    settings = replace(EXPOSURES["pa"], scatter=False, blur=False)
    thin, thick = (
        expose_areal(slab(torch.tensor([t, 0, 0]), (100, 100)), BASIS, view, settings=settings, generator=seeded())
        for t in (20.0, 40.0)
    )
    assert float(thick.optical_depth.std()) > 1.3 * float(thin.optical_depth.std())


def test_the_same_seed_gives_the_same_radiograph() -> None:
    view, areal = panel((30, 30), 1.0), slab(torch.tensor([20.0, 0, 1]), (30, 30))
    first, again, other = (expose_areal(areal, BASIS, view, generator=seeded(s)).optical_depth for s in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_noise_without_a_generator_is_refused() -> None:
    with pytest.raises(ValueError, match="generator"):
        expose_areal(torch.ones(3, 4, 4), BASIS, panel((4, 4), 1.0))


def test_lead_like_thickness_ends_at_half_a_quantum_and_never_at_infinity() -> None:
    view = panel((30, 30), 0.2)
    areal = torch.zeros(1, 30, 30)
    areal[0, :, 15:] = 200.0
    depth = expose_areal(areal, ("titanium",), view, generator=seeded()).optical_depth
    assert bool(torch.isfinite(depth).all())
    open_field = quanta_per_pixel(view, DETECTORS["csi"], torch.tensor(EXPOSURES["pa"].max_open_field_ugy))
    assert float(depth.max()) <= math.log(2 * float(open_field)) + 1e-3


def test_every_switch_changes_what_it_names_and_only_then() -> None:
    view = panel((64, 64), 0.5)
    areal = slab(torch.tensor([15.0, 0, 0]), (64, 64)).clone()
    areal[2, 20:40, 20:40] = 1.5
    base = expose_areal(areal, BASIS, view, settings=PRIMARY_ONLY).optical_depth
    for change in ({"scatter": True}, {"blur": True}, {"noise": True}, {"polychromatic": False}, {"ideal": True}):
        changed = replace(PRIMARY_ONLY, **change)
        depth = expose_areal(areal, BASIS, view, settings=changed, generator=seeded()).optical_depth
        assert float((depth - base).abs().max()) > 1e-3, change


def test_a_batch_of_exposures_is_the_exposures_one_by_one() -> None:
    one = panel((24, 20), 3.0)
    areal = torch.stack([slab(torch.tensor([t, 0, 0.5]), (24, 20)) for t in (8.0, 20.0)])
    quiet = replace(EXPOSURES["pa"], noise=False)
    both = expose_areal(areal, BASIS, stack_views([one, one]), settings=quiet).optical_depth
    for i in range(2):
        torch.testing.assert_close(both[i], expose_areal(areal[i], BASIS, one, settings=quiet).optical_depth)


def phantom() -> Volume:
    """A cylinder of muscle with a bone inside and fat around."""
    z, y, x = torch.meshgrid(*(torch.arange(n) - (n - 1) / 2 for n in (16, 40, 50)), indexing="ij")
    radius = torch.hypot(x, 1.2 * y)
    hu = torch.where(radius < 23, torch.where(radius < 19, 50.0, -95.0), -1000.0)
    hu = torch.where((torch.hypot(x, y) < 5) & (z.abs() < 6), 300.0, hu)
    affine = torch.diag(torch.tensor([4.0, 4.0, 4.0, 1.0]))
    return Volume(hu, affine)


def test_the_ideal_exposure_is_the_projection_at_its_energy() -> None:
    volume = phantom()
    view = view_for(volume, "cone", 30.0, pixel_spacing_mm=6.0)
    ideal = ExposureSettings(ideal=True, energy_kev=62.0)
    exposed = expose(materials(volume), volume.world_from_voxel, view, settings=ideal).optical_depth
    torch.testing.assert_close(exposed, project(volume, view, energy_kev=62.0).optical_depth, atol=1e-4, rtol=1e-4)


def test_a_whole_exposure_of_a_phantom_shows_its_bone_and_its_skin_line() -> None:
    volume = phantom()
    view = view_for(volume, "slot", 0.0, pixel_spacing_mm=4.0)
    shot = expose(
        materials(volume), volume.world_from_voxel, view, settings=EXPOSURES["slot"], generator=seeded()
    ).optical_depth
    h, w = view.shape_px
    row = shot[h // 2]
    assert abs(float(row[1])) < 0.05, "open field beside the patient"
    assert float(row[w // 2] - row[w // 2 + 9]) > 0.1, "bone stands out"


def test_a_whole_exposure_is_differentiable_in_hu() -> None:
    volume = phantom()
    hu = volume.hu.clone().requires_grad_()
    found = materials(Volume(hu, volume.world_from_voxel))
    view = view_for(volume, "cone", 0.0, pixel_spacing_mm=8.0)
    expose(found, volume.world_from_voxel, view, generator=seeded()).optical_depth.sum().backward()
    assert hu.grad is not None
    assert bool(torch.isfinite(hu.grad).all())
    assert float(hu.grad[8, 20, 25]) > 0, "more HU, more optical depth"


def test_settings_that_cannot_be_are_refused() -> None:
    for wrong in ({"detector_dose_ugy": 0.0}, {"scatter_acceptance": 1.5}, {"scatter_sigma_mm": 0.0}):
        with pytest.raises(ValueError, match="wanted"):
            replace(EXPOSURES["pa"], **wrong)
    with pytest.raises(ValueError, match="channel"):
        Materials(torch.zeros(2, 1, 1, 1), ("water",))
