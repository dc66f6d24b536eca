"""The projector against truth: closed forms, exact path lengths, derivatives, and every backend against the readable one."""

import ctypes
import itertools
import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from scenes import ANGLES, GRIDS, affine, chest, chest_truth, noise, turn, view

from spondyl.geometry import View, rigid, stack_views
from spondyl.xray import cpu
from spondyl.xray.lines import lines_of
from spondyl.xray.project import backends, project_channels
from spondyl.xray.siddon import project_exact

FAST = [b.name for b in backends() if b.available and b.name in ("native", "numba")]
if cpu.library() is not None and cpu.library().spondyl_has_avx512():  # type: ignore[union-attr]
    FAST.append("native, portable")


@pytest.fixture(autouse=True)
def _portable_code_where_asked(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test of "native, portable" runs the code that processors without AVX-512 run."""
    portable = "portable" in request.node.name
    if portable:
        ctypes.c_int.in_dll(cpu.library(), "spondyl_portable").value = 1  # type: ignore[arg-type]
        request.node.funcargs["backend"] = request.node.callspec.params["backend"] = "native"
    yield
    if portable:
        ctypes.c_int.in_dll(cpu.library(), "spondyl_portable").value = 0  # type: ignore[arg-type]


BEAMS = ("cone", "slot", "parallel")


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("grid", list(GRIDS))
@pytest.mark.parametrize("beam", BEAMS)
def test_a_fast_path_gives_the_reference_image(backend: str, grid: str, beam: str) -> None:
    shape, world_from_voxel = GRIDS[grid]
    channels = noise(shape, channels=3)
    for angle, tilt in ANGLES:
        v = view(angle, tilt, beam)
        expected = project_channels(channels, world_from_voxel, v, backend="reference")
        torch.testing.assert_close(
            project_channels(channels, world_from_voxel, v, backend=backend), expected, atol=2e-4, rtol=2e-5
        )
        assert expected.abs().max() > 0


@pytest.mark.parametrize("backend", FAST)
def test_a_fast_path_gives_the_reference_image_at_the_size_of_a_film(backend: str) -> None:
    # long runs, whole groups of lanes, several rows of voxels a group: what small grids never reach
    shape = (96, 110, 120)
    world_from_voxel = affine((2.0, 2.0, 2.0), shape)
    channels = noise(shape)
    for angle, tilt, roll in ((30, 10, 0), (77, -12, 0), (180, 0, 90), (45, 35, 20)):
        v = view(angle, tilt, shape_px=(70, 200), pitch_mm=2.0, sdd_mm=900)
        v = replace(v, world_from_detector=v.world_from_detector @ rigid(turn(roll, 2).float(), torch.zeros(3)))
        expected = project_channels(channels, world_from_voxel, v, backend="reference")
        torch.testing.assert_close(
            project_channels(channels, world_from_voxel, v, backend=backend), expected, atol=5e-4, rtol=2e-5
        )


@pytest.mark.parametrize("backend", [*FAST, "reference"])
@pytest.mark.parametrize("grid", list(GRIDS))
def test_the_gradient_to_the_volume_is_the_adjoint(backend: str, grid: str) -> None:
    shape, world_from_voxel = GRIDS[grid]
    generator = torch.Generator().manual_seed(1)
    for angle, tilt in ANGLES:
        for beam in BEAMS:
            x = noise(shape, channels=2, seed=3).requires_grad_(True)
            image = project_channels(x, world_from_voxel, view(angle, tilt, beam), backend=backend)
            y = torch.rand(image.shape, generator=generator)
            (image * y).sum().backward()
            assert x.grad is not None
            forward = float((image.detach().double() * y.double()).sum())
            adjoint = float((x.detach().double() * x.grad.double()).sum())
            assert adjoint == pytest.approx(forward, rel=2e-6)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("grid", list(GRIDS))
def test_the_gradients_equal_those_of_the_reference(backend: str, grid: str) -> None:
    shape, world_from_voxel = GRIDS[grid]
    for angle, tilt in ANGLES[:5]:
        results = []
        for name in (backend, "reference"):
            x = noise(shape, channels=2, seed=5).requires_grad_(True)
            v = view(angle, tilt)
            m = v.world_from_detector.clone().requires_grad_(True)
            sdd = v.source_to_detector_mm.clone().requires_grad_(True)
            moved = replace(v, world_from_detector=m, source_to_detector_mm=sdd)
            image = project_channels(x, world_from_voxel, moved, backend=name)
            (image.square().sum() / image.numel()).backward()
            results.append((x.grad, m.grad, sdd.grad))
        for got, expected in zip(*results, strict=True):
            assert got is not None
            assert expected is not None
            scale = float(expected.abs().max())
            torch.testing.assert_close(got / scale, expected / scale, atol=3e-4, rtol=0)


def test_the_reference_gradients_equal_finite_differences_in_float64() -> None:
    shape, world_from_voxel = (5, 6, 7), affine((2.0, 2.5, 3.0), (5, 6, 7))
    x = noise(shape, dtype=torch.float64).requires_grad_(True)
    v = view(20, 15, shape_px=(4, 5), pitch_mm=4.0).to(dtype=torch.float64)
    m = v.world_from_detector.clone()
    twist = torch.zeros(6, dtype=torch.float64, requires_grad=True)

    def image(channels: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        zero = torch.zeros((), dtype=torch.float64)
        skew = torch.stack([zero, -t[2], t[1], t[2], zero, -t[0], -t[1], t[0], zero]).reshape(3, 3)
        motion = rigid(torch.linalg.matrix_exp(skew), t[3:])
        moved = replace(v, world_from_detector=motion @ m)
        return project_channels(channels, world_from_voxel, moved, backend="reference")

    assert torch.autograd.gradcheck(image, (x, twist), eps=1e-6, atol=1e-5)


@pytest.mark.parametrize("backend", [*FAST, "reference"])
def test_moving_the_detector_along_its_gradient_changes_the_image_as_the_gradient_says(backend: str) -> None:
    world_from_voxel = affine((4.0, 4.0, 4.0), (40, 40, 40))
    z, y, x = torch.meshgrid(*[torch.linspace(-1, 1, 40)] * 3, indexing="ij")
    smooth = torch.exp(-6 * (x**2 + 2 * y**2 + (z - 0.2) ** 2))[None]
    v = view(20, 5, shape_px=(40, 60), pitch_mm=6.0, sdd_mm=1000)
    m = v.world_from_detector.clone().requires_grad_(True)
    image = project_channels(smooth, world_from_voxel, replace(v, world_from_detector=m), backend=backend)
    pattern = torch.linspace(-1, 1, 60)  # a loss that a shift of the detector changes at first order
    (gradient,) = torch.autograd.grad((image * pattern).mean(), m)
    shift = torch.zeros(4, 4)
    shift[0, 3], shift[2, 3] = 0.6, 0.8

    def at(step: float) -> float:
        moved = replace(v, world_from_detector=v.world_from_detector + step * shift).to(dtype=torch.float64)
        return float((project_channels(smooth.double(), world_from_voxel, moved) * pattern).mean())

    assert abs(at(1) - at(-1)) > 1e-4
    assert float((gradient * shift).sum()) == pytest.approx((at(1) - at(-1)) / 2, rel=0.01)


@pytest.mark.parametrize("beam", BEAMS)
def test_the_image_of_ellipsoids_nears_their_chords_as_voxels_shrink(beam: str) -> None:
    errors = []
    for spacing in (8.0, 4.0):
        channels, world_from_voxel = chest(spacing)
        v = view(30, 10, beam, shape_px=(64, 64), pitch_mm=4.0, sdd_mm=1000, centre_mm=(0, 0, 0))
        truth = chest_truth(v)
        image = project_channels(channels, world_from_voxel, v)[0].double()
        errors.append(float((image - truth).norm() / truth.norm()))
    assert errors[1] < 0.03
    assert errors[1] < errors[0] / 1.8


@pytest.mark.parametrize("grid", ["plain", "oblique", "sheared"])
def test_josephs_sum_stays_near_the_exact_path_lengths(grid: str) -> None:
    # a smooth volume: both rules integrate it to the same value; white noise would compare interpolators
    shape, world_from_voxel = GRIDS[grid]
    z, y, x = torch.meshgrid(*[torch.linspace(-1, 1, n, dtype=torch.float64) for n in shape], indexing="ij")
    smooth = torch.exp(-3 * (x**2 + y**2 + z**2))[None]
    v = view(35, 12, shape_px=(11, 15), pitch_mm=2.0)
    exact = project_exact(smooth, world_from_voxel, v)
    joseph = project_channels(smooth, world_from_voxel, v)
    assert float((joseph - exact).norm() / exact.norm()) < 0.01


def test_siddon_gives_the_chord_of_a_box_exactly() -> None:
    shape = (10, 12, 14)
    world_from_voxel = affine((2.0, 3.0, 1.5), shape, turn(30, 2))
    v = view(17, 8, shape_px=(9, 9), pitch_mm=3.0)
    image = project_exact(torch.ones((1, *shape), dtype=torch.float64), world_from_voxel, v)[0]
    start, vector = v.to(dtype=torch.float64).rays()
    inverse = torch.linalg.inv(world_from_voxel)
    o, d = start @ inverse[:3, :3].T + inverse[:3, 3], vector @ inverse[:3, :3].T
    size = torch.tensor(shape[::-1], dtype=torch.float64)
    a, b = (-0.5 - o) / d, (size - 0.5 - o) / d
    chord = (torch.maximum(a, b).amin(-1) - torch.minimum(a, b).amax(-1)).clamp(min=0) * vector.norm(dim=-1)
    torch.testing.assert_close(image, chord, atol=1e-9, rtol=0)


@pytest.mark.parametrize("backend", [*FAST, "reference"])
def test_a_sphere_shows_its_chord_and_its_magnification(backend: str) -> None:
    radius, n = 30.0, 80
    world_from_voxel = affine((1.0, 1.0, 1.0), (n, n, n))
    z, y, x = torch.meshgrid(*[torch.arange(n) - (n - 1) / 2] * 3, indexing="ij")
    distance = torch.sqrt(x**2 + y**2 + z**2)
    ball = (radius + 0.5 - distance).clamp(0, 1)[None].float()
    v = View.around(
        (0, 0, 0),
        angle_deg=40,
        source_to_detector_mm=1000,
        source_to_centre_mm=500,
        pixel_spacing_mm=(1, 1),
        shape_px=(151, 151),
    )
    image = project_channels(ball, world_from_voxel, v, backend=backend)[0]
    assert float(image[75, 75]) == pytest.approx(2 * radius, rel=0.005)
    # the silhouette of a sphere in a cone: SDD r / sqrt(SOD^2 - r^2)
    silhouette = 1000 * radius / math.sqrt(500**2 - radius**2)
    lit = (image[75] > 2.0).float()
    assert float(lit.sum()) == pytest.approx(2 * silhouette + 1, abs=2)


@pytest.mark.parametrize("backend", [*FAST, "reference"])
def test_a_projected_point_lies_where_its_voxel_lights_up(backend: str) -> None:
    for name, (shape, world_from_voxel) in GRIDS.items():
        if name == "thin":
            continue
        voxel = torch.tensor([n // 2 for n in reversed(shape)])
        channels = torch.zeros((1, *shape))
        channels[0, voxel[2], voxel[1], voxel[0]] = 1
        world = world_from_voxel[:3, :3] @ voxel.double() + world_from_voxel[:3, 3]
        for beam, (angle, tilt) in itertools.product(BEAMS, ((0, 0), (90, 0), (30, 10), (250, 30))):
            v = view(angle, tilt, beam, shape_px=(61, 61), pitch_mm=0.5, centre_mm=tuple((world + 3).tolist()))
            image = project_channels(channels, world_from_voxel, v, backend=backend)[0]
            rows, columns = torch.meshgrid(torch.arange(61.0), torch.arange(61.0), indexing="ij")
            centroid = torch.stack([(image * rows).sum(), (image * columns).sum()]) / image.sum()
            (expected,) = v.project_points(world[None].float())
            torch.testing.assert_close(centroid, expected, atol=0.35, rtol=0)


def test_a_batch_of_views_gives_each_views_image() -> None:
    shape, world_from_voxel = GRIDS["oblique"]
    channels = noise(shape, channels=2)
    views = [view(a, t) for a, t in ANGLES]
    together = project_channels(channels, world_from_voxel, stack_views(views))
    for image, v in zip(together, views, strict=True):
        torch.testing.assert_close(image, project_channels(channels, world_from_voxel, v))


def test_a_view_of_float64_channels_is_served_by_the_reference_and_keeps_its_precision() -> None:
    shape, world_from_voxel = GRIDS["plain"]
    image = project_channels(noise(shape, dtype=torch.float64), world_from_voxel, view())
    assert image.dtype == torch.float64


def test_one_axis_serves_a_whole_view_and_it_is_the_beams() -> None:
    shape, world_from_voxel = GRIDS["plain"]
    assert [lines_of(view(a, t), world_from_voxel, shape).axis for a, t in ((0, 0), (90, 0), (0, 75))] == [1, 0, 2]


@pytest.mark.skipif(cpu.library() is None, reason="no compiled projector here")
@pytest.mark.parametrize("beam", BEAMS)
def test_the_compiled_lines_are_those_of_torch(beam: str) -> None:
    for shape, world_from_voxel in GRIDS.values():
        for angle, tilt in ANGLES:
            v = view(angle, tilt, beam)
            ours, expected = cpu.native_lines(v, world_from_voxel, shape), lines_of(v, world_from_voxel, shape)
            assert (ours.axis, ours.k_mid) == (expected.axis, expected.k_mid)
            torch.testing.assert_close(ours.coefficients, expected.coefficients, rtol=1e-5, atol=1e-4)
            torch.testing.assert_close(ours.step_mm, expected.step_mm, rtol=1e-6, atol=0)


def test_a_source_inside_the_volume_is_refused() -> None:
    shape, world_from_voxel = GRIDS["plain"]
    inside = view(sdd_mm=20)
    with pytest.raises(ValueError, match="source lies inside"):
        project_channels(noise(shape), world_from_voxel, inside)


def test_an_unknown_backend_says_which_exist() -> None:
    shape, world_from_voxel = GRIDS["plain"]
    with pytest.raises(ValueError, match="native, numba, reference"):
        project_channels(noise(shape), world_from_voxel, view(), backend="gpu")


def test_a_double_backward_goes_through_the_reference() -> None:
    shape, world_from_voxel = GRIDS["plain"]
    x = noise(shape, dtype=torch.float64).requires_grad_(True)
    image = project_channels(x, world_from_voxel, view())
    (first,) = torch.autograd.grad(image.square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert float(second.abs().max()) > 0
