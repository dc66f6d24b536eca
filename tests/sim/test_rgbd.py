"""The RGB-D sensor on a virtual patient and on plain bodies: depth, landmarks, hump, colour, chance, settings, refusals."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from spondyl.images import BackImage, Volume
from spondyl.io.image_members import image_members, image_of
from spondyl.pairs import Skin, Subject
from spondyl.sim.make import pair, sensor_named
from spondyl.sim.patient import BackLandmarks, anatomy_of, back_landmarks, demo_patient, skin_of
from spondyl.sim.rgbd import RgbdSensor
from spondyl.sim.rgbd_body import SKIN, ball
from spondyl.sim.rgbd_camera import Rig
from spondyl.sim.rgbd_room import Room
from spondyl.spine import SpineCurve

NOTHING = SpineCurve((), torch.zeros(0, 3), torch.zeros(0, 3, 3), torch.zeros(0, 3), torch.zeros(0, 2, 3, 3))
AIR = Volume(torch.full((2, 2, 2), -1000.0), torch.eye(4))
# The field of the usual picture with half as many rows and columns.
SMALL = RgbdSensor(rig=Rig(focal_px=411.5, shape_px=(256, 192)))


@pytest.fixture(scope="module")
def patient() -> tuple[Subject, BackLandmarks]:
    """A girl with a right thoracic curve of 42 degrees; the sensor never looks at the CT."""
    p = demo_patient()
    anatomy = anatomy_of(p)
    return Subject(AIR, p.spine, skin_of(p, anatomy)), back_landmarks(p, anatomy)


@pytest.fixture(scope="module")
def photo(patient: tuple[Subject, BackLandmarks]) -> BackImage:
    return RgbdSensor()(patient[0], generator=seeded(1))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def round_subject() -> Subject:
    """A ball of 150 mm: a body without neck, arms or spine."""
    return Subject(AIR, NOTHING, Skin(*ball(torch.tensor([0.0, 0.0, 300.0]), torch.full((3,), 150.0), 200, 400)))


def at(picture: Tensor, pixels: Tensor) -> Tensor:
    """Values between pixels (v, u)."""
    h, w = picture.shape
    place = torch.stack([(2 * pixels[:, 1] + 1) / w - 1, (2 * pixels[:, 0] + 1) / h - 1], -1)
    return torch.nn.functional.grid_sample(picture[None, None], place[None, None], align_corners=False)[0, 0, 0]


def plain_skin(sensor: RgbdSensor, subject: Subject) -> Tensor:
    """Pixels on bare skin of the trunk that lie clear of depth edges."""
    scene, exact = sensor.scene(subject, generator=seeded()), sensor.skin_depth_mm(subject)
    near = torch.where(torch.isfinite(scene.depth_mm), scene.depth_mm, 2300.0)[None, None]
    pool = torch.nn.functional.max_pool2d
    flat = (pool(near, 5, 1, 2) + pool(-near, 5, 1, 2))[0, 0] < 25
    return (scene.kind == SKIN) & flat & ((scene.depth_mm - exact).abs() < 0.05)


def test_the_depth_of_a_ball_is_exact_and_the_camera_sees_its_middle() -> None:
    sensor = SMALL
    exact = sensor.skin_depth_mm(round_subject())
    ray = sensor.rig.behind(round_subject()).rays().double()
    a, b = (ray * ray).sum(0), 1550.0 * ray[2]
    truth = (b - (b * b - a * (1550.0**2 - 150.0**2)).sqrt()) / a
    inner = torch.isfinite((b * b - a * (1550.0**2 - 145.0**2)).sqrt())
    assert float((exact - truth)[inner].abs().max()) < 0.05
    assert bool(torch.isinf(exact[torch.isnan(truth)]).all())
    assert float(exact.min()) == pytest.approx(1400.0, abs=0.05)


def test_landmarks_lie_on_the_depth_at_their_own_pixels(patient: tuple[Subject, BackLandmarks]) -> None:
    subject, marks = patient
    sensor = RgbdSensor()
    camera = sensor.rig.behind(subject)
    pixels = camera.project_points(marks.points_mm)
    depth = at(sensor.skin_depth_mm(subject), pixels)
    off = (depth - camera.camera_points(marks.points_mm)[:, 2]).abs()
    assert float(off.max()) < 1.0
    for name in ("C7", "PSIS left", "PSIS right"):
        assert float(off[marks.names.index(name)]) < 0.3
    # back in space the point seen is the landmark: less than a pixel (1.7 mm) aside
    rays = (
        torch.stack([(pixels[:, 1] - camera.centre_px[1]), (pixels[:, 0] - camera.centre_px[0])], -1) / camera.focal_px
    )
    aside = rays * depth[:, None] - camera.camera_points(marks.points_mm)[:, :2]
    assert float(aside.norm(dim=1).max()) < 0.5


def test_landmarks_are_seen_in_the_photograph_and_above_the_shorts(
    patient: tuple[Subject, BackLandmarks], photo: BackImage
) -> None:
    subject, marks = patient
    camera = RgbdSensor().rig.behind(subject)
    assert torch.equal(camera.intrinsics(), photo.intrinsics)
    assert torch.equal(camera.world_from_camera, photo.world_from_camera)
    named = [marks.names.index(n) for n in ("C7", "PSIS left", "PSIS right", "scapula inferior left", "acromion right")]
    v, u = camera.project_points(marks.points_mm[named]).round().long().unbind(-1)
    assert bool((photo.depth_mm[v, u] > 0).all())
    assert RgbdSensor().scene(subject, generator=seeded()).kind[v, u].tolist() == [SKIN] * 5


def test_depth_differs_from_the_skin_by_one_to_two_millimetres(
    patient: tuple[Subject, BackLandmarks], photo: BackImage
) -> None:
    sensor, subject = RgbdSensor(), patient[0]
    skin = plain_skin(sensor, subject) & (photo.depth_mm > 0)
    error = (photo.depth_mm - sensor.skin_depth_mm(subject))[skin]
    assert int(skin.sum()) > 30_000
    assert 1.0 < float(error.square().mean().sqrt()) < 2.0
    assert abs(float(error.mean())) < 1.0


def test_the_body_has_no_holes_but_those_of_the_camera(
    patient: tuple[Subject, BackLandmarks], photo: BackImage
) -> None:
    skin = plain_skin(RgbdSensor(), patient[0])
    assert float((photo.depth_mm[skin] == 0).float().mean()) < 0.01
    scene = RgbdSensor().scene(patient[0], generator=seeded())
    rows, columns = (scene.kind == SKIN).nonzero().unbind(1)
    camera = scene.pinhole
    first = int(camera.project_points(patient[1].point("C7")[None])[0, 0])
    for row in range(first, int(rows.max()), 7):
        across = columns[rows == row]
        middle = slice(int(across.float().mean()) - 30, int(across.float().mean()) + 30)
        assert bool(torch.isfinite(scene.depth_mm[row, middle]).all())


def test_a_right_thoracic_hump_stands_out_on_the_right(
    patient: tuple[Subject, BackLandmarks], photo: BackImage
) -> None:
    subject, _ = patient
    camera = RgbdSensor().rig.behind(subject)
    centre = subject.spine.centres_mm[subject.spine.index("T9")]
    y = float(subject.skin.vertices_mm[:, 1].max()) if subject.skin is not None else 0.0
    sides = torch.tensor([[centre[0] + 60, y, centre[2]], [centre[0] - 60, y, centre[2]]])
    v, u = camera.project_points(sides).round().long().unbind(-1)
    left, right = (float(photo.depth_mm[i - 6 : i + 7, j - 6 : j + 7].mean()) for i, j in zip(v, u, strict=True))
    assert int(u[1]) > int(u[0])  # the patient's right is on the right
    # the surface is turned by 0.45 x 14 degrees: 13 mm over 120 mm, left side further from the camera
    assert left - right == pytest.approx(13.2, abs=5.0)


def test_the_same_seed_gives_the_same_picture_with_any_number_of_threads(
    patient: tuple[Subject, BackLandmarks],
) -> None:
    def made(seed: int, threads: int) -> BackImage:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            return SMALL(patient[0], generator=seeded(seed))
        finally:
            assert torch.get_num_threads() == threads
            torch.set_num_threads(before)

    a, b, other = made(3, 1), made(3, 2), made(4, 1)
    assert torch.equal(a.rgb, b.rgb)
    assert torch.equal(a.depth_mm, b.depth_mm)
    assert not torch.equal(a.rgb, other.rgb)
    error_a, error_b = (i.depth_mm - SMALL.skin_depth_mm(patient[0]) for i in (a, other))
    skin = plain_skin(SMALL, patient[0]) & (a.depth_mm > 0) & (other.depth_mm > 0)
    assert abs(float(torch.corrcoef(torch.stack([error_a[skin], error_b[skin]]))[0, 1])) < 0.35


def test_depth_does_not_depend_on_the_colour_of_the_skin(patient: tuple[Subject, BackLandmarks]) -> None:
    skin = plain_skin(SMALL, patient[0])
    exact = SMALL.skin_depth_mm(patient[0])
    spread, bright = [], []
    for kind in (1, 6):
        picture = SMALL.for_skin_type(kind)(patient[0], generator=seeded(5))
        here = skin & (picture.depth_mm > 0)
        spread.append(float((picture.depth_mm - exact)[here].square().mean().sqrt()))
        bright.append(float(picture.rgb[:, skin].mean()))
    assert spread[1] / spread[0] == pytest.approx(1.0, abs=0.12)
    assert bright[0] > 1.4 * bright[1]


def test_skin_is_redder_than_blue_and_not_of_one_colour(
    patient: tuple[Subject, BackLandmarks], photo: BackImage
) -> None:
    skin = plain_skin(RgbdSensor(), patient[0])
    r, g, b = photo.rgb[:, skin].mean(1).tolist()
    assert r > g > b
    assert float(photo.rgb[1][skin].std()) > 0.02


def test_a_wall_beyond_the_range_is_a_hole(patient: tuple[Subject, BackLandmarks]) -> None:
    near, far = (replace(SMALL, room=Room(wall_mm=d))(patient[0], generator=seeded()) for d in (900.0, 2700.0))
    corner = (slice(0, 20), slice(0, 20))
    assert float(near.depth_mm[corner].median()) == pytest.approx(2300, abs=110)
    assert float(far.depth_mm[corner].max()) == 0
    assert bool((far.depth_mm >= 0).all())
    assert bool(torch.isfinite(far.depth_mm).all())


def test_any_second_draw_takes_a_picture(patient: tuple[Subject, BackLandmarks]) -> None:
    for seed in range(4):
        sensor = SMALL.randomised(generator=seeded(seed))
        picture = sensor(patient[0], generator=seeded(seed))
        skin = plain_skin(sensor, patient[0]) & (picture.depth_mm > 0)
        error = (picture.depth_mm - sensor.skin_depth_mm(patient[0]))[skin]
        assert int(skin.sum()) > 4000
        assert float(error.std()) < 3.0
        assert abs(float(error.mean())) < 4.5


def test_the_picture_keeps_its_numbers_in_a_file(photo: BackImage) -> None:
    members = image_members("rgbd", photo)
    again = image_of("rgbd", members.__getitem__, frozenset(members))
    assert isinstance(again, BackImage)
    assert torch.equal(again.rgb, photo.rgb)
    assert float((again.depth_mm - photo.depth_mm).abs().max()) < 1e-3
    assert torch.equal(again.world_from_camera, photo.world_from_camera)


def test_the_modality_is_known_by_its_name() -> None:
    assert sensor_named("rgbd") == RgbdSensor()
    both = pair(round_subject(), SMALL, SMALL, generator=seeded(8))
    assert isinstance(both.source, BackImage)
    assert isinstance(both.target, BackImage)
    assert not torch.equal(both.source.rgb, both.target.rgb)


def test_a_subject_without_skin_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"no skin .* skin_of\(patient\)") as caught:
        RgbdSensor()(Subject(AIR, NOTHING), generator=seeded())
    assert "\n" not in str(caught.value)
