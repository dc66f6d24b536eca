"""The phantom is truth for the projector's tests and benchmark, so it is held to closed forms first."""

import numpy as np
import pytest
from ellipsoids import CHEST, Array, Ellipsoid, line_integrals, voxelise

BALL = Ellipsoid((3, -4, 5), (20, 20, 20), 0, 0.1)


def grid(matrix: Array, shape_zyx: tuple[int, int, int], centre_mm: tuple[float, float, float]) -> Array:
    """An affine whose middle voxel lies at a point."""
    affine = np.eye(4)
    affine[:3, :3] = matrix
    affine[:3, 3] = np.array(centre_mm) - matrix @ ((np.array(shape_zyx[::-1]) - 1) / 2)
    return affine


@pytest.mark.parametrize("distance_mm", [0.0, 7.0, 19.9, 20.1])
def test_a_ball_is_crossed_along_the_chord(distance_mm: float) -> None:
    start = np.array([3 + distance_mm, -504.0, 5])
    chord_mm = 2 * np.sqrt(max(20**2 - distance_mm**2, 0))
    # the vector's length must not matter, only its direction
    for length in (1.0, 1000.0):
        assert line_integrals([BALL], start, np.array([0, length, 0])) == pytest.approx(0.1 * chord_mm, abs=1e-9)


def test_a_turn_carries_the_long_axis_with_it() -> None:
    rod = Ellipsoid((0, 0, 0), (30, 2, 2), 30, 1.0)
    along = np.array([np.cos(np.radians(30)), np.sin(np.radians(30)), 0])
    assert line_integrals([rod], -500 * along, along) == pytest.approx(60)


def test_a_parallel_beam_of_lines_adds_up_to_the_mass() -> None:
    x, z = np.meshgrid(np.arange(-130, 130, 0.5), np.arange(-130, 130, 0.5))
    starts = np.stack([x, np.full_like(x, -500), z], -1)
    total = line_integrals(CHEST, starts, np.array([0.0, 1, 0])).sum() * 0.5**2
    assert total == pytest.approx(sum(s.mass() for s in CHEST), rel=1e-4)


@pytest.mark.parametrize(
    "matrix",
    [
        np.diag([1.0, 1, 1]),
        np.diag([0.7, -1.3, 2.0]),
        np.array([[0.9, -0.4, 0.3], [0.5, 0.8, 0], [0.1, 0, 1.5]]),
    ],
    ids=["even", "uneven and mirrored", "turned and sheared"],
)
def test_voxels_hold_the_mass_and_the_centre_of_a_ball_on_any_grid(matrix: Array) -> None:
    shape = (70, 90, 110)
    affine = grid(matrix, shape, (3, -4, 5))
    volume = voxelise([BALL], shape, affine).astype(float)
    cell_mm3 = abs(np.linalg.det(matrix))
    assert volume.sum() * cell_mm3 == pytest.approx(BALL.mass(), rel=1e-3)
    indices = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)[..., ::-1]
    weighed = (indices * volume[..., None]).sum((0, 1, 2)) / volume.sum()
    np.testing.assert_allclose(affine[:3, :3] @ weighed + affine[:3, 3], BALL.centre_mm, atol=0.01)


def test_a_solid_off_the_grid_leaves_it_empty() -> None:
    affine = grid(np.eye(3), (8, 8, 8), (200, 0, 0))
    assert not voxelise([BALL], (8, 8, 8), affine).any()
