"""Noise, blur and grey curve are the ones that the detector's numbers promise."""

import math
from dataclasses import replace

import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from spondyl.geometry import View
from spondyl.xray.detector import (
    DETECTORS,
    WINDOWS,
    Detector,
    Window,
    blur,
    body_window,
    display,
    equalise,
    filter_image,
    gaussian,
    quanta_per_pixel,
    record,
)
from spondyl.xray.spectrum import spectrum

QUIET = {name: replace(d, electronic_noise_ugy_mm=0.0) for name, d in DETECTORS.items()}
DOSE_UGY = torch.tensor(2.5)


def panel(shape_px: tuple[int, int] = (300, 300), spacing_mm: float = 0.143) -> View:
    return View.around((0, 0, 0), pixel_spacing_mm=(spacing_mm, spacing_mm), shape_px=shape_px)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def measured_mtf50(detector: Detector, pitch_mm: float = 0.05) -> float:
    """Edge, line spread, transform: the way a physicist measures it."""
    view = panel((16, 2048), pitch_mm)
    edge = (torch.arange(2048) >= 1024).double().expand(16, -1)
    profile = blur(edge, view, detector)[8]
    line = profile.diff()[512:1536]
    frequency = torch.fft.rfftfreq(1024, pitch_mm, dtype=torch.float64)
    transfer = torch.fft.rfft(line).abs()  # an edge between two samples differentiates to one sample: no sinc
    transfer = transfer / transfer[0]
    first = int((transfer < 0.5).nonzero()[0])
    share = (transfer[first - 1] - 0.5) / (transfer[first - 1] - transfer[first])
    return float(frequency[first - 1] + share * (frequency[first] - frequency[first - 1]))


@pytest.mark.parametrize(
    ("name", "wanted"), [("csi", (0.6, 0.3, 0.15)), ("cr", (0.5, 0.22)), ("slot", (0.45,))], ids=["csi", "cr", "slot"]
)
def test_the_modulation_transfer_passes_the_published_points(name: str, wanted: tuple[float, ...]) -> None:
    got = DETECTORS[name].mtf(torch.arange(1.0, len(wanted) + 1))
    torch.testing.assert_close(got, torch.tensor(wanted), atol=0.01, rtol=0)


@pytest.mark.parametrize("name", DETECTORS)
def test_an_edge_through_the_blur_measures_the_mtf50_that_is_claimed(name: str) -> None:
    assert measured_mtf50(DETECTORS[name]) == pytest.approx(DETECTORS[name].mtf50_lp_mm, rel=0.005)


def test_blur_depends_on_millimetres_and_not_on_pixels() -> None:
    coarse, fine = measured_mtf50(DETECTORS["csi"], 0.1), measured_mtf50(DETECTORS["csi"], 0.05)
    assert coarse == pytest.approx(fine, rel=0.005)


def test_blur_leaves_a_flat_field_and_spreads_a_point_without_loss() -> None:
    view = panel((201, 201))
    flat = torch.full((201, 201), 0.3, dtype=torch.float64)
    torch.testing.assert_close(blur(flat, view, DETECTORS["csi"]), flat)
    point = torch.zeros_like(flat)
    point[100, 100] = 1.0
    assert float(blur(point, view, DETECTORS["csi"]).sum()) == pytest.approx(1, abs=5e-3)


def test_the_gaussian_filter_is_scipys() -> None:
    image = torch.rand(60, 80, generator=seeded(), dtype=torch.float64)
    got = filter_image(image, (0.5, 0.8), gaussian(3.0), margin_mm=15.0, beyond="constant")
    wanted = torch.from_numpy(gaussian_filter(image.numpy(), (3 / 0.5, 3 / 0.8), mode="constant", truncate=6))
    torch.testing.assert_close(got, wanted, atol=1e-4, rtol=0)


def test_photons_per_pixel_are_those_of_the_dose() -> None:
    perfect = replace(DETECTORS["csi"], dqe=1.0)
    assert float(quanta_per_pixel(panel(spacing_mm=0.14), perfect, DOSE_UGY)) == pytest.approx(1470, rel=1e-3)
    assert float(quanta_per_pixel(panel(spacing_mm=0.19), perfect, DOSE_UGY)) == pytest.approx(2707, rel=1e-3)


@pytest.mark.parametrize("transmission", [1.0, 0.1, 0.01])
def test_without_blur_noise_is_the_root_of_the_detected_quanta(transmission: float) -> None:
    view, detector = panel(), QUIET["csi"]
    signal = torch.full(view.shape_px, transmission)
    read = record(signal, view, detector, open_field_ugy=DOSE_UGY, blurred=False, generator=seeded())
    quanta = float(quanta_per_pixel(view, detector, DOSE_UGY)) * transmission
    assert float(read.std() / transmission) == pytest.approx(1 / math.sqrt(quanta), rel=0.02)
    assert float(read.mean()) == pytest.approx(transmission, rel=0.01)


def test_blur_after_the_quanta_lowers_and_correlates_the_noise_as_its_transfer_says() -> None:
    view, detector = panel(), QUIET["csi"]
    read = record(torch.ones(view.shape_px), view, detector, open_field_ugy=DOSE_UGY, generator=seeded())
    noise = (read - read.mean())[40:-40, 40:-40]
    f = torch.fft.fftfreq(300, 0.143)
    kept = detector.mtf(torch.hypot(f[:, None], f[None, :])).square().mean()
    wanted = math.sqrt(float(kept) / float(quanta_per_pixel(view, detector, DOSE_UGY)))
    assert float(noise.std()) == pytest.approx(wanted, rel=0.05)
    assert float((noise[:, 1:] * noise[:, :-1]).mean() / noise.var()) > 0.5


def test_electronic_noise_is_added_after_the_blur_and_stays_white() -> None:
    view, detector = panel(), replace(DETECTORS["csi"], electronic_noise_ugy_mm=0.5)
    read = record(torch.zeros(view.shape_px), view, detector, open_field_ugy=DOSE_UGY, generator=seeded())
    assert float(read.std()) == pytest.approx(0.5 / 0.143 / 2.5, rel=0.02)
    assert abs(float((read[:, 1:] * read[:, :-1]).mean() / read.var())) < 0.02


def test_the_same_seed_gives_the_same_noise_and_another_seed_another() -> None:
    view, signal = panel((20, 20)), torch.full((20, 20), 0.5)
    first, again, other = (
        record(signal, view, DETECTORS["csi"], open_field_ugy=DOSE_UGY, generator=seeded(s)) for s in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_without_a_generator_there_is_no_noise() -> None:
    view, signal = panel((20, 20)), torch.rand(20, 20, generator=seeded())
    read = record(signal, view, DETECTORS["csi"], open_field_ugy=DOSE_UGY, blurred=False, generator=None)
    assert torch.equal(read, signal)


def test_the_reading_is_differentiable_in_the_signal() -> None:
    signal = torch.full((12, 12), 0.2, requires_grad=True)
    record(signal, panel((12, 12)), DETECTORS["csi"], open_field_ugy=DOSE_UGY, generator=seeded()).sum().backward()
    assert signal.grad is not None
    torch.testing.assert_close(signal.grad.mean(), torch.tensor(1.0), atol=0.02, rtol=0)


def test_caesium_iodide_absorbs_the_published_share_of_the_energy() -> None:
    for kvp, wanted in ((90.0, 0.76), (104.0, 0.68)):
        beam = spectrum(kvp).behind("muscle", 21.0)
        energy = beam.photons * beam.energies_kev
        share = float(energy @ DETECTORS["csi"].absorbed(beam.energies_kev) / energy.sum())
        assert share == pytest.approx(wanted, abs=0.015)


def test_the_grey_curve_rises_from_black_to_white_through_half_at_the_centre() -> None:
    depth = torch.linspace(-2, 12, 500).reshape(1, -1)
    for window in WINDOWS.values():
        grey = display(depth, window)
        assert float(grey.min()) >= 0
        assert float(grey.max()) <= 1
        assert float(grey.diff(dim=-1).min()) > 0
        assert float(display(torch.full((1, 1), window.centre), window)) == pytest.approx(0.5)
        edge = display(torch.full((1, 1), window.centre + window.width / 2), window)
        assert float(edge) == pytest.approx(1 / (1 + math.exp(-2)), abs=1e-5)


def body_on_a_field() -> Tensor:
    depth = torch.zeros(100, 100)
    depth[20:80, 20:80] = torch.linspace(2, 5, 60)[:, None]
    return depth


def test_the_body_window_ignores_the_open_field_and_the_brightest_pixel() -> None:
    depth = body_on_a_field()
    window = body_window(depth)
    assert window.centre == pytest.approx((2.3 + 4.94) / 2, abs=0.06)
    with_screw = depth.clone()
    with_screw[50, 50] = 40.0
    assert body_window(with_screw).width == pytest.approx(window.width, abs=0.01)
    with pytest.raises(ValueError, match="patient"):
        body_window(torch.zeros(4, 4))


def test_equalising_lowers_slow_variation_keeps_detail_and_leaves_the_open_field() -> None:
    depth = body_on_a_field()
    depth[50, 50] += 0.3
    flatter = equalise(depth, (1.0, 1.0), sigma_mm=8.0, gain=0.5)
    slope = flatter[70, 30] - flatter[30, 30]
    assert 0.4 < float(slope / (depth[70, 30] - depth[30, 30])) < 0.65
    assert float(flatter[50, 50] - flatter[50, 49]) == pytest.approx(0.3, abs=0.01)
    assert torch.equal(flatter[:20], depth[:20])
    assert torch.equal(equalise(depth, (1.0, 1.0), gain=0.0), depth)


@pytest.mark.parametrize("wrong", [{"dqe": 0.0}, {"dqe": 1.5}, {"mtf50_lp_mm": 0.0}, {"absorber_g_cm2": -1.0}])
def test_an_impossible_detector_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"wanted|positive"):
        replace(DETECTORS["csi"], **wrong)


def test_an_impossible_window_or_gain_is_refused() -> None:
    with pytest.raises(ValueError, match="width"):
        Window(3.0, 0.0)
    with pytest.raises(ValueError, match="gain"):
        equalise(torch.ones(4, 4), (1.0, 1.0), gain=1.0)
