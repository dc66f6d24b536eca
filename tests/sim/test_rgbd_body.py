"""The photographed figure: clothes off the skin, stand-ins outside the truth, outlines of meshes."""

from dataclasses import replace

import pytest
import torch

from spondyl.images import Volume
from spondyl.pairs import Skin, Subject
from spondyl.sim.patient import BackLandmarks, anatomy_of, back_landmarks, demo_patient, skin_of
from spondyl.sim.rgbd import RgbdSensor
from spondyl.sim.rgbd_body import CLOTH, HAIR, SKIN, Outfit, ball, figure_of, section
from spondyl.sim.rgbd_camera import Rig
from spondyl.spine import SpineCurve

NOTHING = SpineCurve((), torch.zeros(0, 3), torch.zeros(0, 3, 3), torch.zeros(0, 3), torch.zeros(0, 2, 3, 3))
AIR = Volume(torch.full((2, 2, 2), -1000.0), torch.eye(4))
SMALL = RgbdSensor(rig=Rig(focal_px=411.5, shape_px=(256, 192)))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def patient() -> tuple[Subject, BackLandmarks]:
    p = demo_patient()
    anatomy = anatomy_of(p)
    return Subject(AIR, p.spine, skin_of(p, anatomy)), back_landmarks(p, anatomy)


def test_head_shorts_and_skin_are_where_they_belong(patient: tuple[Subject, BackLandmarks]) -> None:
    subject, marks = patient
    scene = SMALL.scene(subject, generator=seeded())
    z = scene.pinhole.world_points(torch.where(torch.isfinite(scene.depth_mm), scene.depth_mm, 0.0))[2]
    assert float(z[scene.kind == HAIR].min()) > float(marks.point("C7")[2]) + 15
    s1 = float(subject.spine.centres_mm[subject.spine.index("S1"), 2])
    assert float(z[scene.kind == CLOTH].max()) == pytest.approx(s1 - 45, abs=10)
    assert float(z[scene.kind == SKIN].min()) > s1 - 60
    # the cloth hangs down to the lower edge of the picture
    assert bool((scene.kind[-1] == CLOTH).any())


def test_shorts_stand_off_the_skin_and_skin_is_untouched(patient: tuple[Subject, BackLandmarks]) -> None:
    subject = patient[0]
    flat = replace(SMALL, outfit=Outfit(folds_mm=0.0, cloth_mm=2.5))
    scene, exact = flat.scene(subject, generator=seeded()), flat.skin_depth_mm(subject)
    cloth = (scene.kind == CLOTH) & torch.isfinite(exact) & (scene.above_waist_mm > -60)
    assert float((exact - scene.depth_mm)[cloth].median()) == pytest.approx(2.5, abs=0.01)
    middle = torch.zeros_like(cloth)
    middle[:, 76:116] = True  # clear of the arms and their fillet
    bare = (scene.kind == SKIN) & middle & torch.isfinite(exact)
    assert float((exact - scene.depth_mm)[bare].abs().median()) < 1e-3


def test_the_outline_of_a_mesh_is_cut_where_asked() -> None:
    points, faces = ball(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([50.0, 40.0, 30.0]), 60, 120)
    ring, pairs = section(points, faces, 10.0)
    scale = (1 - (7 / 30) ** 2) ** 0.5
    assert float((ring[:, 2] - 10).abs().max()) < 1e-4
    radius = ((ring[:, 0] - 1) / 50) ** 2 + ((ring[:, 1] - 2) / 40) ** 2
    assert float((radius.sqrt() - scale).abs().max()) < 0.01
    assert sorted(pairs[:, 0].tolist()) == sorted(pairs[:, 1].tolist()) == list(range(len(ring)))
    # left before right, seen from outside: the outline turns counter-clockwise seen from above
    a, b = ring[pairs[:, 0]], ring[pairs[:, 1]]
    assert float(((a[:, 0] - 1) * (b[:, 1] - 2) - (a[:, 1] - 2) * (b[:, 0] - 1)).min()) > 0


def test_a_body_without_neck_and_arms_gets_no_head_and_no_limbs() -> None:
    figure = figure_of(Skin(*ball(torch.zeros(3), torch.full((3,), 150.0))), Outfit(), NOTHING)
    assert figure.limbs is None
    assert not bool((figure.trunk.kind == HAIR).any())
