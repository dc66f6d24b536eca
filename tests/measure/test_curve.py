"""A spine read off labels is the spine that was rasterised, whatever the grid, the tilt, the lean and the rotation."""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from labelled_phantom import Bone, bent_spine, phantom, rotation, true_spine

from spondyl.measure.cobb import cobb_from_reading, cobb_from_spine, main_curve
from spondyl.measure.curve import curve_from_labels
from spondyl.measure.heights import body_heights
from spondyl.measure.rotation import rotation_deg
from spondyl.measure.sagittal import leans_of_spine, sacral_slope_deg
from spondyl.measure.tilt import tilts_of_spine
from spondyl.spine import Cobb, SpineCurve

CURVE = ("T5", "T6", "T7", "T8", "T9", "T10", "T11", "T12")


def scoliosis(cobb_deg: float, levels: Sequence[str] = CURVE) -> list[Bone]:
    """A right thoracic curve with kyphosis, its apex turned to the right by 0.4 of the angle."""
    half = cobb_deg / 2
    return bent_spine(
        {f"{levels[0]} superior": half, f"{levels[-1]} inferior": -half},
        kyphosis_deg=30.0,
        lordosis_deg=-20.0,
        axial_deg={levels[0]: 0.0, levels[len(levels) // 2]: -0.4 * cobb_deg, levels[-1]: 0.0},
        levels=levels,
    )


def worst(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() - b.double()).abs().nan_to_num(0).max())


def rms(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() - b.double()).square().nan_to_num(0).mean().sqrt())


def largest(spine: SpineCurve) -> Cobb:
    found = main_curve(cobb_from_spine(spine))
    assert found is not None
    return found


@pytest.mark.parametrize("cobb_deg", [15.0, 30.0, 45.0, 60.0])
def test_a_known_cobb_angle_comes_back_within_half_a_degree_at_one_millimetre(cobb_deg: float) -> None:
    bones = scoliosis(cobb_deg)
    reading = curve_from_labels(phantom(bones))
    found, true = largest(reading.spine), true_spine(bones)
    assert found.angle_deg == pytest.approx(cobb_deg, abs=0.5)
    assert (found.upper, found.lower, found.side) == ("T5", "T12", "right")
    # One endplate that lies along the grid may be off by half a voxel's step, 1.2 degrees; the others are not.
    for a, b in (
        (tilts_of_spine(reading.spine).tilts_deg, tilts_of_spine(true).tilts_deg),
        (leans_of_spine(reading.spine).leans_deg, leans_of_spine(true).leans_deg),
    ):
        assert rms(a, b) < 0.4
        assert worst(a, b) < 1.5
    assert worst(rotation_deg(reading.spine), rotation_deg(true)) < 1.0
    assert worst(reading.spine.centres_mm, true.centres_mm) < 0.5
    assert worst(reading.spine.sizes_mm, true.sizes_mm) < 1.0
    assert reading.notes == ()
    assert float(reading.quality.min()) > 0.95


def test_a_straight_spine_has_no_curve() -> None:
    reading = curve_from_labels(phantom(scoliosis(0.0)))
    assert cobb_from_reading(reading) == ()
    assert worst(tilts_of_spine(reading.spine).tilts_deg, torch.zeros(8, 2)) < 0.5


@pytest.mark.parametrize("cobb_deg", [15.0, 45.0])
def test_at_three_millimetres_the_angle_holds_within_three_degrees_and_the_grid_makes_no_curves(
    cobb_deg: float,
) -> None:
    bones = scoliosis(cobb_deg)
    curves = cobb_from_reading(curve_from_labels(phantom(bones, (3, 3, 3))))
    assert len(curves) == 1
    assert curves[0].angle_deg == pytest.approx(cobb_deg, abs=3.0)
    assert curves[0].side == "right"


SHORT = ("T8", "T9", "T10")
GRIDS = {
    "fine in plane": ((0.39, 0.39, 1.25), np.eye(3)),
    "sagittal slices": ((3.0, 1.0, 1.0), np.eye(3)),
    "oblique": ((1.0, 1.0, 1.0), rotation(12, -20, 33)),
    "mirrored": ((1.0, 1.0, 1.0), np.diag([-1.0, 1.0, 1.0])),
    "head down in memory": ((1.0, 1.0, 1.0), np.diag([1.0, -1.0, -1.0])),
    "axes permuted": ((1.0, 2.0, 1.0), np.eye(3)[:, [1, 2, 0]]),
    "sheared by a gantry": ((1.0, 1.0, 1.0), np.array([[1, 0, 0], [0, 1, 0.3], [0, 0, 1.0]])),
}


@pytest.mark.parametrize("name", GRIDS)
def test_the_grid_does_not_matter(name: str) -> None:
    spacing_mm, directions = GRIDS[name]
    bones = scoliosis(40.0, SHORT)
    reading = curve_from_labels(phantom(bones, spacing_mm, directions))
    true = true_spine(bones)
    coarse = max(spacing_mm)
    assert largest(reading.spine).angle_deg == pytest.approx(40.0, abs=0.5)
    assert worst(tilts_of_spine(reading.spine).tilts_deg, tilts_of_spine(true).tilts_deg) < 0.7 * coarse
    assert worst(leans_of_spine(reading.spine).leans_deg, leans_of_spine(true).leans_deg) < 1.0 * coarse
    assert worst(rotation_deg(reading.spine), rotation_deg(true)) < 1.0
    assert worst(reading.spine.centres_mm, true.centres_mm) < 0.3 * coarse


def test_a_vertebra_tilted_by_45_and_turned_by_30_degrees_is_read() -> None:
    bones = bent_spine(
        {"L1 superior": 47.0, "L3 inferior": 41.0},
        levels=("L1", "L2", "L3"),
        axial_deg={"L1": -28.0, "L3": -32.0},
        kyphosis_deg=10,
        lordosis_deg=10,
    )
    reading = curve_from_labels(phantom(bones))
    true = true_spine(bones)
    assert reading.spine.levels == ("L1", "L2", "L3")
    assert worst(tilts_of_spine(reading.spine).tilts_deg, tilts_of_spine(true).tilts_deg) < 0.7
    assert worst(rotation_deg(reading.spine), rotation_deg(true)) < 1.0


def test_the_arch_does_not_pull_on_the_body() -> None:
    """The same body with and without its arch has the same place and the same endplates."""
    bones = scoliosis(30.0, SHORT)
    bare = [Bone(b.level, b.centre, b.axes, b.half, b.slopes, arch=False) for b in bones]
    with_arch, without = curve_from_labels(phantom(bones)), curve_from_labels(phantom(bare))
    assert worst(with_arch.spine.centres_mm, without.spine.centres_mm) < 0.4
    assert worst(with_arch.spine.endplate_normals(), without.spine.endplate_normals()) < 0.01
    assert "no closed arch" in without.notes[0]


def test_a_dished_endplate_keeps_its_tilt_and_is_placed_near_its_rim() -> None:
    bones = [replace(b, dish_mm=2.5) for b in scoliosis(30.0, SHORT)]
    reading, true = curve_from_labels(phantom(bones)), true_spine(bones)
    assert largest(reading.spine).angle_deg == pytest.approx(30.0, abs=0.5)
    # The dish's middle lies 2.5 mm inside the rim, its mean within the central share 1.7 mm.
    off = (reading.spine.endplates_mm[:, :, 0] - true.endplates_mm[:, :, 0].float()).norm(dim=-1)
    assert float(off.max()) < 1.0


def test_s1_is_read_from_the_sacrum_and_its_slope_with_it() -> None:
    bones = bent_spine({"L3 superior": 8.0, "L5 inferior": 4.0}, levels=("L3", "L4", "L5"), sacral_slope_deg=38.0)
    reading, true = curve_from_labels(phantom(bones)), true_spine(bones)
    assert reading.spine.levels == ("L3", "L4", "L5", "S1")
    slope = sacral_slope_deg(reading.spine)
    assert slope is not None
    assert slope == pytest.approx(38.0, abs=0.7)
    assert worst(reading.spine.endplates_mm[3, 0, 0], true.endplates_mm[3, 0, 0]) < 1.0
    assert worst(reading.spine.axes[3], true.axes[3]) < 0.03
    assert bool(reading.spine.endplates_mm[3, 1].isnan().all())
    assert torch.allclose(reading.spine.sizes_mm[3, :2], torch.tensor([50.0, 32.0]), atol=2.5)


def test_heights_are_those_of_the_wedge_that_was_rasterised() -> None:
    bones = bent_spine({"L1 superior": 0}, levels=("L1", "L2", "L3"), lordosis_deg=45, kyphosis_deg=0)
    for bone, found in zip(bones, body_heights(phantom(bones)), strict=True):
        _, b, h = bone.half
        wedge = float(bone.slopes[0, 1] - bone.slopes[1, 1])  # height gained per mm to the back
        assert found.level == bone.level
        assert found.middle_mm == pytest.approx(2 * h, abs=0.7)
        assert found.anterior_mm == pytest.approx(2 * h - 0.7 * b * wedge, abs=0.8)
        assert found.posterior_mm == pytest.approx(2 * h + 0.7 * b * wedge, abs=0.8)


def test_the_same_labels_give_the_same_spine() -> None:
    volume = phantom(scoliosis(30.0, ("T8", "T9")))
    a, b = curve_from_labels(volume), curve_from_labels(volume)
    assert torch.equal(a.spine.endplates_mm, b.spine.endplates_mm)
    assert torch.equal(a.quality, b.quality)


def test_a_vertebra_takes_half_a_second_of_one_core() -> None:
    volume = phantom(scoliosis(30.0, SHORT))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    start = time.process_time()
    curve_from_labels(volume)
    spent = (time.process_time() - start) / len(SHORT)
    torch.set_num_threads(threads)
    assert spent < 0.5
