"""The painted patient: partial volume, labels where the vertebrae are, tissues at their values."""

import math

import numpy as np
import pytest
import torch

from spondyl.images import BONE_LABELS, STRUCTURE_LABELS, Volume
from spondyl.sim.patient import Patient, demo_patient, draw, rasterise, subject
from spondyl.sim.patient.canvas import Canvas
from spondyl.sim.patient.shapes import Coordinates, Ellipsoid, Plate, Rod, Shape, Solid
from spondyl.sim.patient.texture import Texture
from spondyl.spine import LEVEL_LABELS

GRID = torch.linspace(-20, 20, 41)


@pytest.fixture(scope="module")
def patient() -> Patient:
    return demo_patient()


@pytest.fixture(scope="module")
def ct(patient: Patient) -> Volume:
    return rasterise(patient, spacing_mm=3.0)


def label_at(volume: Volume, point_mm: list[float]) -> int:
    assert volume.labels is not None
    m = volume.world_from_voxel
    x, y, z = (round((p - float(m[i, 3])) / float(m[i, i])) for i, p in enumerate(point_mm))
    return int(volume.labels[z, y, x])


def test_the_label_at_each_body_centre_is_its_vertebra(patient: Patient, ct: Volume) -> None:
    for i, level in enumerate(patient.spine.levels):
        assert label_at(ct, patient.spine.centres_mm[i].tolist()) == LEVEL_LABELS[level]


def test_tissues_have_their_hounsfield_values(ct: Volume) -> None:
    assert ct.labels is not None
    for name, low, high in (("lung", -800, -700), ("fat", -115, -80), ("muscle", 40, 65), ("background", -1000, -950)):
        median = float(ct.hu[ct.labels == STRUCTURE_LABELS[name]].median())
        assert low <= median <= high, name
    bone = ct.hu[ct.labels == LEVEL_LABELS["L2"]]
    assert 180 < float(bone.median()) < 500


def test_every_structure_of_a_trunk_is_there(ct: Volume) -> None:
    assert ct.labels is not None
    present = set(ct.labels.unique().tolist())
    wanted = (
        "disc",
        "rib",
        "pelvis",
        "femur",
        "sternum",
        "scapula",
        "clavicle",
        "lung",
        "heart",
        "liver",
        "gas",
        "muscle",
        "fat",
        "skin",
    )
    assert {STRUCTURE_LABELS[name] for name in wanted} <= present


def test_bones_lie_inside_the_skin(ct: Volume) -> None:
    assert ct.labels is not None
    bone = torch.isin(ct.labels, torch.tensor(BONE_LABELS, dtype=torch.uint8)).float()[None, None]
    beside = torch.nn.functional.max_pool3d(bone, 3, stride=1, padding=1)[0, 0] > 0
    assert int((beside & (ct.labels == 0)).sum()) == 0


def test_the_same_patient_gives_the_same_voxels(patient: Patient) -> None:
    a, b = (rasterise(patient, spacing_mm=10.0) for _ in range(2))
    assert torch.equal(a.hu, b.hu)
    assert a.labels is not None
    assert b.labels is not None
    assert torch.equal(a.labels, b.labels)


def test_a_subject_shares_the_exact_spine(patient: Patient) -> None:
    assert subject(patient, spacing_mm=8.0).spine is patient.spine


def test_a_painted_ball_has_the_balls_volume() -> None:
    canvas = Canvas.empty(np.full(3, -20.0), np.full(3, 20.0), 2.0, "cpu")
    canvas.hu.fill_(0.0)
    canvas.paint(Solid(31, (Ellipsoid(np.array([0.3, -0.4, 0.2]), np.full(3, 11.0)),), 1000.0, 1000.0))
    filled = float(canvas.hu.sum()) / 1000 * 8
    assert filled == pytest.approx(4 / 3 * math.pi * 11**3, rel=0.02)


@pytest.mark.parametrize(
    ("shape", "outside_mm"),
    [
        (Rod(np.array([0.0, 0, -5]), np.array([0.0, 0, 5]), 3.0, 3.0), 7.0),
        (Ellipsoid(np.zeros(3), np.full(3, 4.0)), 6.0),
        (Plate(np.array([-8.0, -8, 0]), np.array([12.0, -8, 0]), np.array([0.0, 12, 0]), 2.0), None),
    ],
)
def test_distances_are_exact_for_round_shapes(shape: Shape, outside_mm: float | None) -> None:
    at = Coordinates(GRID[None, None, :], torch.zeros(1, 1, 1), torch.zeros(1, 1, 1))
    d = shape.distance(at)[0, 0]
    if outside_mm is None:
        assert float(d[20]) == pytest.approx(-2.0, abs=1e-5)
    else:
        assert float(d[30]) == pytest.approx(outside_mm, abs=1e-4)


@pytest.mark.parametrize("spacing_mm", [0.0, -1.0, float("nan"), 100.0])
def test_a_senseless_spacing_is_refused(patient: Patient, spacing_mm: float) -> None:
    with pytest.raises(ValueError, match="spacing_mm"):
        rasterise(patient, spacing_mm=spacing_mm)


@pytest.mark.parametrize("variant", ["T13", "L6", "L4", "T11"])
def test_other_numbers_of_vertebrae_are_painted(variant: str) -> None:
    p = draw(generator=torch.Generator().manual_seed(1), cohort="screening", variant=variant)
    ct = rasterise(p, spacing_mm=5.0)
    for i, level in enumerate(p.spine.levels):
        assert label_at(ct, p.spine.centres_mm[i].tolist()) == LEVEL_LABELS[level]


def test_screws_and_rods_are_metal() -> None:
    p = draw(generator=torch.Generator().manual_seed(1), cohort="surgical", instrumented=True)
    ct = rasterise(p, spacing_mm=4.0)
    assert ct.labels is not None
    metal = ct.labels == STRUCTURE_LABELS["metal"]
    assert int(metal.sum()) > 50
    assert float(ct.hu[metal].median()) > 3000


def test_the_texture_fades_in_coarse_voxels() -> None:
    fine, coarse = (Texture.drawn(s, "cpu", generator=torch.Generator().manual_seed(0)) for s in (0.9, 3.0))
    assert float(fine.tile.std()) > 3 * float(coarse.tile.std())
