"""The CT sensor: noise of the asked strength and colour, unchanged means, growth with size, kernel, spacing, streaks."""

import math
from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from spondyl.images import Volume
from spondyl.pairs import Subject
from spondyl.sim.ct import CtSensor, at_spacing, diameter_mm, noise_slices, row_water_mm, streaks
from spondyl.spine import SpineCurve

NOTHING = SpineCurve((), torch.zeros(0, 3), torch.zeros(0, 3, 3), torch.zeros(0, 3), torch.zeros(0, 2, 3, 3))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def subject(hu: Tensor, spacing_mm: tuple[float, float, float], labels: Tensor | None = None) -> Subject:
    m = torch.diag(torch.tensor([*spacing_mm, 1.0]))
    m[:3, 3] = torch.tensor([-50.0, 20.0, 7.0])
    return Subject(Volume(hu, m, labels), NOTHING)


def cylinder(
    diameter_mm: float, *, spacing_mm: float = 1.0, slices: int = 12, slice_mm: float = 1.0, hu: float = 0.0
) -> Subject:
    half = torch.arange(-160.0, 160.0, spacing_mm) + spacing_mm / 2
    inside = half[:, None] ** 2 + half[None, :] ** 2 < (diameter_mm / 2) ** 2
    plane = torch.where(inside, hu, -1000.0)
    return subject(plane.expand(slices, -1, -1).contiguous(), (spacing_mm, spacing_mm, slice_mm))


def middle(volume: Volume, half_px: int = 60) -> Tensor:
    n = volume.hu.shape[1] // 2
    return volume.hu[:, n - half_px : n + half_px, n - half_px : n + half_px]


@pytest.mark.parametrize("noise_hu", [12.0, 45.0])
def test_noise_has_the_asked_strength_and_leaves_the_mean(noise_hu: float) -> None:
    scan = CtSensor(noise_hu=noise_hu, streak_hu=0.0)(cylinder(240.0, hu=50.0), generator=seeded())
    area = (2 * 120.0) ** 2 * math.pi / 4 * 1.05
    expected = noise_hu * 2 ** ((2 * math.sqrt(area / math.pi) - 240.0) / 80.0)
    assert float(middle(scan).std()) == pytest.approx(expected, rel=0.1)
    assert float(middle(scan).mean()) == pytest.approx(50.0, abs=0.02 * noise_hu)


@pytest.mark.parametrize("cutoff_per_mm", [0.25, 0.35])
def test_the_noise_power_peaks_at_f0_over_root_two(cutoff_per_mm: float) -> None:
    n = 256
    planes = list(
        noise_slices(torch.Size((40, n, n)), (0.8, 0.8), 1.0, cutoff_per_mm, torch.device("cpu"), generator=seeded())
    )
    power = torch.fft.fft2(torch.stack(planes)).abs().square().mean(0)
    f = torch.fft.fftfreq(n, 0.8)
    radius = torch.hypot(f[:, None], f[None, :])
    width = 0.01
    rings = torch.stack([power[(radius >= r) & (radius < r + width)].mean() for r in torch.arange(0, 0.6, width)])
    centre = torch.arange(0, 0.6, width) + width / 2
    assert float(centre[rings.argmax()]) == pytest.approx(cutoff_per_mm / math.sqrt(2), rel=0.12)
    model = centre * torch.exp(-((centre / cutoff_per_mm) ** 2))
    assert float((rings / rings.max() - model / model.max()).abs().max()) < 0.1
    assert float(torch.stack(planes).std()) == pytest.approx(1.0, abs=0.02)


def test_thick_slices_share_their_noise_with_the_next() -> None:
    def neighbour(slices_wide: float) -> float:
        planes = torch.stack(list(
            noise_slices(torch.Size((30, 96, 96)), (1.0, 1.0), slices_wide, 0.3, torch.device("cpu"), generator=seeded())
        ))  # fmt: skip
        return float((planes[:-1] * planes[1:]).mean() / planes.square().mean())

    # a Gaussian of the box's variance (w^2 / 12), correlated with itself one slice on: exp(-1 / (4 sigma^2))
    assert neighbour(4.0) == pytest.approx(math.exp(-12 / (4 * 4.0**2)), abs=0.05)
    assert abs(neighbour(0.5)) < 0.03


def test_water_equivalent_diameter_of_a_water_cylinder_is_its_own() -> None:
    hu = cylinder(240.0).volume.hu
    assert float(diameter_mm(row_water_mm(hu, 1.0), 1.0)[0]) == pytest.approx(240.0, rel=0.005)
    heavy = diameter_mm(row_water_mm(torch.where(hu > -500, 210.0, -1000.0), 1.0), 1.0)
    assert float(heavy[0]) == pytest.approx(240.0 * 1.1, rel=0.005)


def test_noise_doubles_with_eight_centimetres_of_water() -> None:
    sensor = CtSensor(streak_hu=0.0)
    thin, thick = (float(middle(sensor(cylinder(d), generator=seeded()), 40).std()) for d in (200.0, 280.0))
    assert thick / thin == pytest.approx(2.0, rel=0.06)


def test_the_kernel_blurs_by_its_width() -> None:
    hu = torch.zeros(3, 64, 64)
    hu[:, :, 32:] = 1000.0
    scan = CtSensor(noise_hu=0.0, streak_hu=0.0, kernel_fwhm_mm=3.0)(subject(hu, (1.0, 1.0, 5.0)), generator=seeded())
    spread = scan.hu[1, 32].diff()
    at = torch.arange(len(spread), dtype=torch.float32)
    mean = (spread * at).sum() / spread.sum()
    sigma = float(((spread * (at - mean) ** 2).sum() / spread.sum()).sqrt())
    assert sigma == pytest.approx(3.0 / 2.3548, rel=0.05)
    assert float(scan.hu.mean()) == pytest.approx(500.0, abs=0.1)


def test_a_thick_slice_averages_its_neighbours() -> None:
    hu = torch.zeros(21, 8, 8)
    hu[10] = 1000.0
    scan = CtSensor(noise_hu=0.0, streak_hu=0.0, kernel_fwhm_mm=0.0, slice_mm=3.0)(
        subject(hu, (1.0, 1.0, 1.0)), generator=seeded()
    )
    profile, z = scan.hu[:, 4, 4], torch.arange(21.0)
    sigma = float(((profile * (z - 10) ** 2).sum() / profile.sum()).sqrt())
    assert sigma == pytest.approx(math.sqrt((3.0**2 - 1) / 12), rel=0.03)


def test_another_spacing_keeps_place_and_outer_faces() -> None:
    z, y, x = torch.meshgrid(torch.arange(30.0), torch.arange(24.0), torch.arange(20.0), indexing="ij")
    labels = (x > 9.5).long()
    source = subject(3 * x + 5 * y - 2 * z, (2.0, 1.5, 1.0), labels).volume
    target = at_spacing(source, (1.0, 3.0, 2.5))
    assert target.hu.shape == (12, 12, 40)
    assert target.spacing_mm == pytest.approx((1.0, 3.0, 2.5))
    assert torch.allclose(target.corners_mm(), source.corners_mm(), atol=1e-4)
    k, j, i = 5, 6, 17
    world = target.world_from_voxel @ torch.tensor([i, j, k, 1.0])
    px, py, pz, _ = torch.linalg.inv(source.world_from_voxel) @ world
    assert float(target.hu[k, j, i]) == pytest.approx(float(3 * px + 5 * py - 2 * pz), abs=1e-3)
    assert target.labels is not None
    assert target.labels.sum() * 2 == target.labels.numel()


def test_streaks_run_along_starved_rows_only() -> None:
    water = torch.cat([torch.full((30,), 250.0), torch.full((30,), 420.0)])
    texture = torch.stack([streaks(water, 500, 1.0, generator=seeded(s)) for s in range(20)])
    assert float(texture[:, :30].abs().max()) == 0.0
    assert float(texture[:, 30:].std()) == pytest.approx(
        0.8, abs=0.2
    )  # between the knots linear interpolation weakens them
    starved = texture[:, 30:]
    along = (starved[..., :-10] * starved[..., 10:]).mean() / starved.square().mean()
    across = (starved[:, :-1] * starved[:, 1:]).mean() / starved.square().mean()
    assert float(along) > 0.8
    assert abs(float(across)) < 0.3


def test_air_stops_where_scanners_stop() -> None:
    scan = CtSensor(noise_hu=45.0)(cylinder(240.0), generator=seeded())
    assert float(scan.hu.min()) == -1024.0


def test_the_subject_is_left_alone_and_the_generator_decides() -> None:
    source = cylinder(150.0, spacing_mm=2.0, slices=4)
    before = source.volume.hu.clone()
    a, b, c = (CtSensor(kernel_fwhm_mm=0.0)(source, generator=seeded(s)).hu for s in (1, 1, 2))
    assert torch.equal(source.volume.hu, before)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_randomised_scanners_stay_within_the_ranges() -> None:
    a = replace(CtSensor(), spacing_mm=(1.0, 1.0, 2.0)).randomised(generator=seeded(3))
    assert a.spacing_mm == (1.0, 1.0, 2.0)
    for f in fields(a):
        if "low" in f.metadata:
            assert f.metadata["low"] <= getattr(a, f.name) <= f.metadata["high"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("noise_hu", -1.0), ("slice_mm", 0.0), ("cutoff_per_mm", float("nan")), ("spacing_mm", (0.0, 1.0, 1.0))],
)
def test_senseless_scanners_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        replace(CtSensor(), **{name: value})  # type: ignore[arg-type]
