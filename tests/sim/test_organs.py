"""Organs and muscles of the painted patient: fat between them, gas where it lies, nothing beyond its walls."""

import numpy as np
import pytest
import torch

from spondyl.images import BONE_LABELS, STRUCTURE_LABELS, Volume
from spondyl.sim.patient import Anatomy, Patient, anatomy_of, demo_patient, draw, rasterise
from spondyl.sim.patient.anatomy import number, places
from spondyl.sim.patient.belly import belly_solids
from spondyl.sim.patient.canvas import Canvas, Field, upsampled
from spondyl.sim.patient.organs import organ_solids
from spondyl.sim.patient.shapes import Below, Coordinates, Ellipsoid, Plate, Sheet, Solid, cross
from spondyl.sim.patient.soft import Spaces, paint_torso
from spondyl.sim.patient.vertebra import by_level

GAS, ORGAN, MUSCLE, FAT = (STRUCTURE_LABELS[name] for name in ("gas", "organ", "muscle", "fat"))


@pytest.fixture(scope="module")
def patient() -> Patient:
    return demo_patient()


@pytest.fixture(scope="module")
def anatomy(patient: Patient) -> Anatomy:
    return anatomy_of(patient)


@pytest.fixture(scope="module")
def ct(patient: Patient) -> Volume:
    return rasterise(patient, spacing_mm=2.0)


def values(volume: Volume, points: np.ndarray) -> torch.Tensor:
    """HU at world points."""
    origin = volume.world_from_voxel[:3, 3].numpy()
    x, y, z = np.round((points - origin) / float(volume.world_from_voxel[0, 0])).astype(int).T
    return volume.hu[torch.from_numpy(z), torch.from_numpy(y), torch.from_numpy(x)]


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("level", ["L2", "L3"])
def test_fat_lies_between_psoas_and_what_is_beside_it(ct: Volume, anatomy: Anatomy, sign: float, level: str) -> None:
    v = by_level(anatomy.vertebrae)[level]
    aside = np.arange(v.size.epwu / 2 + 3, v.size.epwu / 2 + 40, 1.0)
    line = values(ct, np.stack([v.point(sign * x, 3.0, 0.0) for x in aside]))
    assert float(line[:5].max()) == pytest.approx(number("tissue", "muscle"), abs=8)
    assert float(line.min()) < 15  # a sheet of a millimetre in voxels of two


def test_a_plane_of_fat_parts_the_long_muscles_of_the_back(ct: Volume, anatomy: Anatomy) -> None:
    v = by_level(anatomy.vertebrae)["L3"]
    line = values(ct, np.stack([v.point(x, v.canal_back + 14.0, 0.0) for x in np.arange(5.0, 50.0, 1.0)]))
    assert float(line.max()) > 45
    assert float(line.min()) < 20


def test_the_belly_holds_fat_and_organs(ct: Volume, anatomy: Anatomy) -> None:
    assert ct.labels is not None
    at = by_level(anatomy.vertebrae)
    low, high = at["L4"].centre, at["L1"].centre
    origin, h = ct.world_from_voxel[:3, 3].numpy(), 2.0
    box = tuple(slice(int((a - o) / h), int((b - o) / h)) for a, b, o in
                ((low[2], high[2], origin[2]), (low[1] - 75, low[1] - 35, origin[1]), (-60.0, 60.0, origin[0])))  # fmt: skip
    share = {name: float((ct.labels[box] == label).float().mean()) for name, label in (("fat", FAT), ("organ", ORGAN))}
    assert 0.08 < share["fat"] < 0.6
    assert share["organ"] > 0.25


def stomach_gas(ct: Volume, anatomy: Anatomy) -> torch.Tensor:
    """World positions of the gas under the left dome."""
    assert ct.labels is not None
    at = by_level(anatomy.vertebrae)
    where = (ct.labels == GAS).nonzero().flip(1) * float(ct.world_from_voxel[0, 0]) + ct.world_from_voxel[:3, 3]
    rows = places("belly", "stomach")[0]
    near = (where[:, 2] > at["T12"].centre[2] - 10) & (where[:, 2] < at["T9"].centre[2])
    centre = float(at["T11"].centre[0] * 0.45 + rows.x)
    return where[near & ((where[:, 0] - centre).abs() < 22)]


def test_a_standing_patient_has_a_bubble_with_a_level(ct: Volume, anatomy: Anatomy) -> None:
    gas = stomach_gas(ct, anatomy)
    assert len(gas) > 200
    bottom = gas[:, 2].min()
    layers = torch.stack([((gas[:, 2] - bottom) / 2).round() == k for k in range(8)]).sum(1)
    assert int(layers[0]) > 0.7 * int(layers.max())  # a ball would end in a point


def test_a_lying_patients_air_moves_to_the_front(patient: Patient, anatomy: Anatomy) -> None:
    belly = Field(torch.full((2, 2, 2), -100.0), 1)
    carved = []
    for supine in (False, True):
        solids = belly_solids(
            anatomy.vertebrae, anatomy.cage, anatomy.pelvis, patient.body, belly,
            dome_mm=anatomy.torso.domes_mm[1], supine=supine, generator=torch.Generator().manual_seed(0),
        )  # fmt: skip
        gas = next(s for s in solids if s.label == GAS)
        plane = gas.carve[0]
        assert isinstance(plane, Below)
        carved.append(plane.normal.tolist())
    assert carved == [[0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]  # what lies below, or behind, holds no air


def test_the_heart_rests_on_the_diaphragm(ct: Volume, anatomy: Anatomy) -> None:
    assert ct.labels is not None
    at = by_level(anatomy.vertebrae)
    origin = ct.world_from_voxel[:3, 3]
    top = round((float(at["T8"].centre[2]) - float(origin[2])) / 2)
    front = round((float(at["T9"].centre[1]) - 45.0 - float(origin[1])) / 2)  # the aorta runs behind
    labels = ct.labels[:top, :front]
    heart = labels == STRUCTURE_LABELS["heart"]
    lowest, held = heart.float().argmax(0), heart.any(0)
    under = held & (lowest < lowest[held].float().quantile(0.1) + 12)
    beneath = labels.gather(0, (lowest - 5).clamp(min=0)[None])[0][under]
    assert int(under.sum()) > 300
    assert float((beneath == STRUCTURE_LABELS["lung"]).float().mean()) < 0.4


def test_organs_of_the_belly_stay_inside_its_wall(patient: Patient, anatomy: Anatomy) -> None:
    from spondyl.sim.patient.phantom import field_mm

    canvas = Canvas.empty(*field_mm(patient), 4.0, "cpu")
    spaces = paint_torso(canvas, anatomy.torso)
    window = tuple(slice(0, n) for n in canvas.hu.shape)
    beyond = spaces.belly.on(window) > 2.0  # type: ignore[arg-type]
    painted = torch.zeros_like(canvas.labels)
    for solid in organ_solids(patient, anatomy, spaces, generator=torch.Generator().manual_seed(1)):
        if solid.within is spaces.belly:
            before = canvas.labels.clone()
            canvas.paint(solid)
            painted |= (canvas.labels != before).to(torch.uint8)
    assert int(painted.sum()) > 5000
    assert int((painted.bool() & beyond).sum()) == 0


@pytest.mark.parametrize(
    ("seed", "cohort"), [(3, "normal"), (14, "normal"), (20, "screening"), (13, "surgical"), (39, "adult")]
)
def test_no_bone_of_anyone_lies_bare(seed: int, cohort: str) -> None:
    p = draw(generator=torch.Generator().manual_seed(seed), cohort=cohort)  # type: ignore[arg-type]
    volume = rasterise(p, spacing_mm=5.0)
    assert volume.labels is not None
    bone = torch.isin(volume.labels, torch.tensor(BONE_LABELS, dtype=torch.uint8)).float()[None, None]
    beside = torch.nn.functional.max_pool3d(bone, 3, stride=1, padding=1)[0, 0] > 0
    assert int((beside & (volume.labels == 0)).sum()) < 60  # of some 20000: single tips under 4 mm of skin


def test_interpolation_keeps_nodes_and_straight_lines() -> None:
    coarse = torch.rand(3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    fine = upsampled(coarse, 3)
    assert fine.shape == (3, 10, 13, 16)
    assert torch.equal(fine[:, ::3, ::3, ::3], coarse)
    own = torch.nn.functional.interpolate(coarse[None], size=fine.shape[1:], mode="trilinear", align_corners=True)[0]
    assert torch.allclose(fine, own, atol=1e-5)


def test_a_field_gives_the_same_in_any_window() -> None:
    field = Field(torch.rand(5, 6, 7, generator=torch.Generator().manual_seed(0)), 2)
    whole = field.on((slice(0, 9), slice(0, 11), slice(0, 13)))
    part = field.on((slice(3, 8), slice(2, 5), slice(5, 6)))
    assert torch.allclose(part, whole[3:8, 2:5, 5:6])


def test_a_bounded_solid_ends_at_its_bound() -> None:
    canvas = Canvas.empty(np.full(3, -20.0), np.full(3, 20.0), 1.0, "cpu")
    bound = Field((canvas.coordinates((slice(0, 40),) * 3).x * torch.ones(40, 40, 1)), 1)
    canvas.paint(Solid(ORGAN, (Ellipsoid(np.zeros(3), np.full(3, 15.0)),), 50.0, 50.0, within=bound, gap_mm=4.0))
    x = (canvas.labels == ORGAN).nonzero()[:, 2].float() + float(canvas.origin_mm[0])
    assert float(x.max()) == pytest.approx(-4.0, abs=1.0)
    assert float(x.min()) == pytest.approx(-15.0, abs=1.0)


def test_a_sheet_is_no_thicker_where_its_plates_meet() -> None:
    corners = [np.array(c, dtype=float) for c in ((-10, -10, 0), (10, -10, 0), (10, 10, 0), (-10, 10, 0))]
    sheet = Sheet((Plate(corners[0], corners[1], corners[2], 2.0), Plate(corners[0], corners[2], corners[3], 2.0)))
    grid = torch.linspace(-6, 6, 13)
    at = Coordinates(grid[None, None, :], torch.zeros(1, 1, 1), torch.zeros(1, 1, 1))
    assert torch.allclose(sheet.distance(at), torch.full((1, 1, 13), -2.0), atol=1e-5)


def test_planes_and_cross_products_are_what_they_say() -> None:
    below = Below(np.array([0.0, 0, 3]), np.array([0.0, 0, 2]))
    at = Coordinates(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1), torch.tensor([1.0, 5.0])[:, None, None])
    assert below.distance(at).flatten().tolist() == [-2.0, 2.0]
    a, b = np.array([1.0, 2, 3]), np.array([-2.0, 0.5, 4])
    assert np.allclose(cross(a, b), np.cross(a, b))


def test_spaces_are_three_fields(anatomy: Anatomy, patient: Patient) -> None:
    from spondyl.sim.patient.phantom import field_mm

    spaces = paint_torso(Canvas.empty(*field_mm(patient), 8.0, "cpu"), anatomy.torso)
    assert isinstance(spaces, Spaces)
    assert float(spaces.lung.coarse.min()) < -20
    assert float(spaces.belly.coarse.min()) < -20
    assert bool((spaces.muscle.coarse <= spaces.belly.coarse + 1e-3).float().mean() > 0.97)
