"""The z-buffer against closed forms: planes and spheres, perspective, no cracks, back faces, near faces, any number of threads."""

import math

import pytest
import torch
from torch import Tensor

from spondyl.sim.rgbd_body import ball
from spondyl.sim.rgbd_camera import Pinhole
from spondyl.sim.rgbd_raster import Hits, rasterise_faces, unit, vertex_normals

LENS = Pinhole(411.0, (97.3, 70.8), (200, 150), torch.eye(4))


def quad(normal: tuple[float, float, float], depth_mm: float, half_mm: float = 750.0) -> tuple[Tensor, Tensor]:
    """Two triangles in the plane n.x = n_z depth that look at the camera."""
    n = torch.tensor(normal, dtype=torch.float64)
    xy = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64) * half_mm
    z = depth_mm - (xy @ n[:2]) / n[2]
    # y runs down: seen from the camera these corners turn clockwise, which is counter-clockwise from outside (from z < 0)
    return torch.cat([xy, z[:, None]], 1).float(), torch.tensor([[0, 3, 2], [0, 2, 1]])


def smooth_ball(rings: int, around: int, centre: tuple[float, float, float], radius: float) -> tuple[Tensor, Tensor]:
    return ball(torch.tensor(centre), torch.full((3,), radius), rings, around)


def sphere_depth(centre: tuple[float, float, float], radius: float) -> Tensor:
    """Depth of the near side of a sphere, NaN beside it, float64."""
    ray = LENS.rays().double()
    c = torch.tensor(centre, dtype=torch.float64)[:, None, None]
    a, b = (ray * ray).sum(0), (ray * c).sum(0)
    return (b - (b * b - a * ((c * c).sum(0) - radius**2)).sqrt()) / a


@pytest.mark.parametrize("normal", [(0.0, 0.0, -1.0), (0.5, 0.2, -1.0), (-0.9, 0.6, -1.0)])
def test_the_depth_of_a_plane_is_exact(normal: tuple[float, float, float]) -> None:
    points, faces = quad(normal, 1400.0)
    hits = rasterise_faces(points, faces, LENS)
    n = torch.tensor(normal, dtype=torch.float64)[:, None, None]
    expected = normal[2] * 1400.0 / (LENS.rays().double() * n).sum(0)
    assert bool(hits.seen.all())
    assert float((hits.depth_mm - expected).abs().max()) < 0.01


def test_the_depth_of_a_sphere_is_exact() -> None:
    centre, radius = (30.0, -20.0, 1400.0), 180.0
    hits = rasterise_faces(*smooth_ball(500, 1000, centre, radius), LENS)
    expected = sphere_depth(centre, radius)
    inner = torch.isfinite(sphere_depth(centre, radius * 0.97))
    assert bool(hits.seen[inner].all())
    assert float((hits.depth_mm - expected)[inner].abs().max()) < 0.05
    assert not bool(hits.seen[torch.isnan(sphere_depth(centre, radius * 1.001))].any())


def test_weights_are_perspective_correct() -> None:
    points, faces = quad((0.9, 0.6, -1.0), 1400.0)
    hits = rasterise_faces(points, faces, LENS)
    seen = hits.interpolate(points, faces)
    assert float((seen - LENS.rays() * hits.depth_mm).abs().max()) < 0.02
    assert float((hits.weights.sum(0) - 1).abs().max()) < 1e-5


@pytest.mark.parametrize(("rings", "around"), [(8, 11), (90, 61), (700, 900)])
def test_a_closed_surface_has_no_cracks(rings: int, around: int) -> None:
    torch.manual_seed(rings)
    points, faces = smooth_ball(rings, around, (0.0, 0.0, 1300.0), 200.0)
    for _ in range(3):
        turn = torch.linalg.qr(torch.randn(3, 3)).Q
        turn = turn * torch.linalg.det(turn).sign()
        middle = torch.tensor([0.0, 0.0, 1300.0])
        hits = rasterise_faces((points - middle) @ turn + middle, faces, LENS)
        # all of a sphere that fits well inside the polyhedron
        assert bool(hits.seen[torch.isfinite(sphere_depth((0.0, 0.0, 1300.0), 160.0))].all())


def test_the_nearer_of_two_surfaces_is_seen() -> None:
    far, faces = quad((0.0, 0.0, -1.0), 1500.0)
    near, _ = quad((0.0, 0.0, -1.0), 1400.0, half_mm=40.0)
    for first, second in ((far, near), (near, far)):
        depth = rasterise_faces(torch.cat([first, second]), torch.cat([faces, faces + 4]), LENS).depth_mm
        assert float(depth.min()) == pytest.approx(1400.0, abs=0.01)
        assert float(depth.max()) == pytest.approx(1500.0, abs=0.01)
        assert int((depth < 1450).sum()) == pytest.approx((80 * 411 / 1400) ** 2, rel=0.05)


def test_a_face_that_looks_away_is_not_seen() -> None:
    points, faces = quad((0.0, 0.0, -1.0), 1400.0)
    hits = rasterise_faces(points, faces.flip(1), LENS)
    assert not bool(hits.seen.any())
    assert bool(torch.isinf(hits.depth_mm).all())
    assert float(hits.interpolate(points, faces).abs().max()) == 0


def test_a_face_that_reaches_behind_the_lens_is_left_out() -> None:
    points = torch.tensor([[-100.0, 0.0, 1000.0], [0.0, 50.0, -500.0], [100.0, 0.0, 1000.0]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 1]])
    assert not bool(rasterise_faces(points, faces, LENS).seen.any())


def test_no_face_at_all_is_an_empty_picture() -> None:
    hits = rasterise_faces(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64), LENS)
    assert not bool(hits.seen.any())


def test_normals_at_the_vertices_are_those_of_the_sphere() -> None:
    points, faces = smooth_ball(40, 80, (5.0, 6.0, 7.0), 30.0)
    truth = (points - torch.tensor([5.0, 6.0, 7.0])) / 30.0
    normals = vertex_normals(points, faces)
    ring = truth[:, 2].abs() < 0.99  # at the poles forty vertices share a place, each with one slice of the cap
    assert float((normals - truth)[ring].norm(dim=1).max()) < 0.01


def test_unit_vectors_have_length_one_and_zero_stays_zero() -> None:
    v = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1))
    v[:, 0, 0] = 0
    length = unit(v).norm(dim=0)
    assert float(length[0, 0]) == 0
    assert float((length.reshape(-1)[1:] - 1).abs().max()) < 1e-5


def test_two_threads_make_the_same_picture() -> None:
    points, faces = smooth_ball(200, 300, (0.0, 0.0, 1300.0), 200.0)

    def made(threads: int) -> tuple[Hits, Tensor]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            return rasterise_faces(points, faces, LENS), vertex_normals(points, faces)
        finally:
            torch.set_num_threads(before)

    (a, m), (b, n) = made(1), made(2)
    assert torch.equal(a.face, b.face)
    assert torch.equal(a.depth_mm, b.depth_mm)
    assert torch.equal(m, n)


def test_the_picture_does_not_depend_on_the_order_of_faces() -> None:
    points, faces = smooth_ball(60, 90, (0.0, 0.0, 1300.0), 200.0)
    shuffled = faces[torch.randperm(len(faces), generator=torch.Generator().manual_seed(3))]
    a, b = rasterise_faces(points, faces, LENS), rasterise_faces(points, shuffled, LENS)
    # on an edge two faces differ by rounding
    assert float((a.depth_mm - b.depth_mm)[a.seen].abs().max()) < 1e-3
    assert torch.equal(vertex_normals(points, faces), vertex_normals(points, shuffled))


def test_a_small_sphere_covers_as_many_pixels_as_its_outline() -> None:
    hits = rasterise_faces(*smooth_ball(100, 200, (0.0, 0.0, 1300.0), 100.0), LENS)
    radius_px = 411.0 * math.tan(math.asin(100.0 / 1300.0))
    assert int(hits.seen.sum()) == pytest.approx(math.pi * radius_px**2, rel=0.01)
