"""Landmarks and skin: closed mesh, points on it, the back turned as designed, ultrasound angles near the design."""

import pytest
import torch

from spondyl.pairs import Skin
from spondyl.sim.patient import (
    Patient,
    anatomy_of,
    back_landmarks,
    demo_patient,
    draw,
    skin_of,
    spa_deg,
    surface_rotation_deg,
    uca_deg,
    ultrasound_landmarks,
)
from spondyl.sim.patient.shapes import Coordinates
from spondyl.sim.patient.surface import skin_behind
from spondyl.sim.patient.torso import trunk_distance


@pytest.fixture(scope="module")
def patient() -> Patient:
    return demo_patient()


@pytest.fixture(scope="module")
def skin(patient: Patient) -> Skin:
    return skin_of(patient, rows_mm=12.0, around=72)


def test_ultrasound_curve_angles_lie_near_the_cobb_angles(patient: Patient) -> None:
    marks = ultrasound_landmarks(patient)
    for c in patient.posture.curves:
        assert uca_deg(marks, c) == pytest.approx(c.cobb_deg, abs=5)


def test_spinous_tips_underestimate_every_large_curve() -> None:
    g = torch.Generator().manual_seed(2)
    for _ in range(8):
        p = draw(generator=g, cohort="surgical", instrumented=False)
        c = max(p.posture.curves, key=lambda k: k.cobb_deg)
        assert spa_deg(ultrasound_landmarks(p), c) < c.cobb_deg + 1


def test_transverse_tips_lie_left_and_right_of_the_spinous_tip(patient: Patient) -> None:
    marks = ultrasound_landmarks(patient)
    assert bool((marks.transverse_tips_mm[:, 0, 0] > marks.spinous_tips_mm[:, 0]).all())
    assert bool((marks.transverse_tips_mm[:, 1, 0] < marks.spinous_tips_mm[:, 0]).all())
    assert bool((marks.spinous_tips_mm[:, 1] > marks.laminae_mm[:, :, 1].amax(1)).all())


def test_the_skin_is_closed_and_its_faces_look_outwards(skin: Skin) -> None:
    edges = torch.cat([skin.faces[:, [0, 1]], skin.faces[:, [1, 2]], skin.faces[:, [2, 0]]])
    forward = {(int(a), int(b)) for a, b in edges}
    assert len(forward) == len(edges)
    assert all((b, a) in forward for a, b in forward)
    v = skin.vertices_mm[skin.faces].double()
    litres = float((v[:, 0] * torch.linalg.cross(v[:, 1], v[:, 2])).sum()) / 6e6
    assert 20 < litres < 45


def test_trunk_vertices_lie_on_the_implicit_skin(patient: Patient, skin: Skin) -> None:
    torso = anatomy_of(patient).torso
    v = skin.vertices_mm[: 72 * 20]
    at = Coordinates(v[:, 0, None, None], v[:, 1, None, None], v[:, 2, None, None])
    assert float(trunk_distance(torso, at).abs().max()) < 0.2


def test_the_back_is_turned_as_designed(patient: Patient) -> None:
    anatomy = anatomy_of(patient)
    z = torch.tensor([float(patient.spine.centres_mm[patient.spine.index("T9"), 2])])
    assert float(surface_rotation_deg(anatomy.torso, z)) == pytest.approx(-0.45 * 14, abs=0.5)


def test_the_right_back_is_the_higher_one_over_a_right_curve(patient: Patient) -> None:
    marks = back_landmarks(patient)
    left, right = marks.point("scapula inferior left"), marks.point("scapula inferior right")
    assert float(right[1] - left[1]) > 5


def test_landmarks_are_found_by_name_only(patient: Patient) -> None:
    marks = back_landmarks(patient)
    assert float(marks.point("PSIS left")[0]) > 0 > float(marks.point("PSIS right")[0])
    with pytest.raises(ValueError, match="landmark"):
        marks.point("left ear")


@pytest.mark.parametrize(
    ("region", "lamina_mm", "process_mm"),
    [
        (("T4", "T5", "T6", "T7", "T8", "T9", "T10"), (20.0, 31.0), (22.0, 35.0)),
        (("L2", "L3", "L4"), (26.0, 42.0), (35.0, 60.0)),
    ],
)
def test_soft_tissue_behind_the_arches_is_as_thick_as_measured_in_people(
    region: tuple[str, ...], lamina_mm: tuple[float, float], process_mm: tuple[float, float]
) -> None:
    for seed in (2, 5, 8):
        p = draw(generator=torch.Generator().manual_seed(seed), cohort="normal", bmi=18.5, age_years=14.0)
        torso, marks = anatomy_of(p).torso, ultrasound_landmarks(p)
        rows = [marks.levels.index(level) for level in region]
        for points, (low, high) in ((marks.laminae_mm, lamina_mm), (marks.transverse_tips_mm, process_mm)):
            at = points[rows].reshape(-1, 3)
            depth = float((skin_behind(torso, at)[:, 1] - at[:, 1]).mean())
            assert low < depth < high
        tips = marks.spinous_tips_mm[rows]
        cover = skin_behind(torso, tips)[:, 1] - tips[:, 1]
        assert float(cover.min()) > 3.0
        assert float(cover.max()) < 18.0
