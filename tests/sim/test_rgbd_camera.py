"""The camera behind the patient: where it stands, what its pixels are, and which settings are refused."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from spondyl.images import Volume
from spondyl.pairs import Skin, Subject
from spondyl.sim.rgbd_body import ball
from spondyl.sim.rgbd_camera import Pinhole, Rig, aimed_point
from spondyl.spine import SpineCurve

NOTHING = SpineCurve((), torch.zeros(0, 3), torch.zeros(0, 3, 3), torch.zeros(0, 3), torch.zeros(0, 2, 3, 3))
AIR = Volume(torch.full((2, 2, 2), -1000.0), torch.eye(4))


def ball_subject(centre: tuple[float, float, float] = (10.0, -20.0, 300.0), radius: float = 150.0) -> Subject:
    skin = Skin(*ball(torch.tensor(centre), torch.full((3,), radius), 180, 360))
    return Subject(AIR, NOTHING, skin)


def spine_at(level: str, centre: tuple[float, float, float]) -> SpineCurve:
    nan = torch.full((1, 2, 3, 3), torch.nan)
    return SpineCurve((level,), torch.tensor([centre]), torch.eye(3)[None], torch.full((1, 3), torch.nan), nan)


def test_the_lens_stands_straight_behind_and_looks_at_the_back() -> None:
    camera = Rig(distance_mm=1200.0).behind(ball_subject())
    m = camera.world_from_camera
    assert m[:3, 3].tolist() == pytest.approx([10.0, -20.0 + 150.0 + 1200.0, 300.0], abs=0.5)
    # right in the picture is the patient's right, down is caudal, forward is anterior
    assert torch.equal(m[:3, :3], torch.tensor([[-1.0, 0, 0], [0, 0, -1.0], [0, -1.0, 0]]))
    assert float(torch.linalg.det(m[:3, :3])) == pytest.approx(1.0)


def test_the_skin_behind_t8_is_what_the_distance_is_counted_from() -> None:
    subject = replace(ball_subject(), spine=spine_at("T8", (10.0, -40.0, 380.0)))
    point = aimed_point(subject)
    assert point.tolist() == pytest.approx([10.0, -20.0 + (150**2 - 80**2) ** 0.5, 380.0], abs=1.5)
    lens = Rig(lens_above_t8_mm=25.0).behind(subject).world_from_camera[:3, 3]
    assert float(lens[2]) == pytest.approx(405.0, abs=1e-3)
    assert float(lens[1] - point[1]) == pytest.approx(1400.0, abs=1e-3)


def test_a_spine_without_t8_is_aimed_at_in_its_middle() -> None:
    subject = replace(ball_subject(), spine=spine_at("L3", (0.0, -40.0, 260.0)))
    assert float(aimed_point(subject)[2]) == 260.0


def test_a_turned_camera_still_looks_at_the_point_and_keeps_its_distance() -> None:
    subject = ball_subject()
    target = aimed_point(subject)
    for rig in (Rig(turn_deg=20.0), Rig(turn_deg=-20.0, roll_deg=5.0)):
        camera = rig.behind(subject)
        seen = camera.camera_points(target[None])[0]
        assert seen.tolist() == pytest.approx([0.0, 0.0, 1400.0], abs=0.01)
    # turned to the patient's right, the lens lies at smaller x
    assert float(Rig(turn_deg=20.0).behind(subject).world_from_camera[0, 3]) < float(target[0]) - 400


def test_a_pitched_camera_looks_down_and_a_rolled_one_turns_the_picture() -> None:
    subject = ball_subject()
    target = aimed_point(subject)[None]
    level, down = (r.behind(subject).camera_points(target)[0] for r in (Rig(), Rig(pitch_deg=5.0)))
    assert float(level[1]) == pytest.approx(0.0, abs=1e-3)
    assert float(down[1]) == pytest.approx(-1400.0 * 0.08716, abs=0.3)
    right = target - torch.tensor([[100.0, 0.0, 0.0]])
    rolled = Rig(roll_deg=10.0).behind(subject).camera_points(right)[0]
    # a camera turned clockwise shows the scene turned the other way: what was right goes up
    assert float(rolled[1]) == pytest.approx(-100 * 0.17365, abs=0.1)


def test_projection_is_the_inverse_of_the_rays() -> None:
    camera = Rig(turn_deg=7.0, pitch_deg=-3.0, roll_deg=2.0, shape_px=(40, 30)).behind(ball_subject())
    depth = torch.rand(40, 30, generator=torch.Generator().manual_seed(2)) * 500 + 1200
    points = camera.world_points(depth).reshape(3, -1).T
    pixels = camera.project_points(points).reshape(40, 30, 2)
    rows, columns = torch.meshgrid(torch.arange(40.0), torch.arange(30.0), indexing="ij")
    assert float((pixels - torch.stack([rows, columns], -1)).abs().max()) < 2e-3
    k = camera.intrinsics()
    homogeneous = camera.camera_points(points) @ k.T
    assert float((homogeneous[:, :2] / homogeneous[:, 2:] - pixels.reshape(-1, 2).flip(1)).abs().max()) < 1e-3


def test_a_point_behind_the_lens_has_no_pixel() -> None:
    camera = Pinhole(800.0, (10.0, 10.0), (20, 20), torch.eye(4))
    assert bool(torch.isnan(camera.project_points(torch.tensor([[0.0, 0.0, -5.0]]))).all())


def test_the_crop_moves_the_picture_and_not_the_camera() -> None:
    subject = ball_subject()
    a, b = Rig(off_middle_px=0.0).behind(subject), Rig(off_middle_px=60.0).behind(subject)
    assert torch.equal(a.world_from_camera, b.world_from_camera)
    assert b.centre_px[0] - a.centre_px[0] == pytest.approx(60.0, abs=0.5)


def test_the_back_is_in_the_middle_wherever_the_lens_stands() -> None:
    subject = ball_subject()
    target = aimed_point(subject)[None]
    for rig in (Rig(), Rig(lens_above_t8_mm=80.0, pitch_deg=2.0), Rig(lens_above_t8_mm=-80.0, turn_deg=10.0)):
        assert float(rig.behind(subject).project_points(target)[0, 0]) == pytest.approx(255.5, abs=0.6)


def test_a_lens_put_aside_sees_the_patient_off_the_axis() -> None:
    subject = ball_subject()
    seen = Rig(aside_mm=100.0).behind(subject).camera_points(aimed_point(subject)[None])[0]
    # a lens on the patient's right has the patient on its left
    assert seen.tolist() == pytest.approx([-100.0, 0.0, 1400.0], abs=0.01)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Rig(distance_mm=100.0), "distance_mm is 100"),
        (lambda: Rig(distance_mm=float("nan")), "distance_mm is nan"),
        (lambda: Rig(focal_px=0.0), "focal_px is 0"),
        (lambda: Rig(shape_px=(4, 384)), "shape_px is"),
        (lambda: Rig(turn_deg=170.0), "turn_deg is 170"),
    ],
)
def test_a_rig_without_sense_is_refused(make: Callable[[], Rig], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()


def test_a_subject_without_skin_is_refused_in_one_line() -> None:
    empty = Skin(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64))
    for skin in (None, empty):
        with pytest.raises(ValueError, match=r"no skin .* skin_of\(patient\)") as caught:
            Rig().behind(Subject(AIR, NOTHING, skin))
        assert "\n" not in str(caught.value)
