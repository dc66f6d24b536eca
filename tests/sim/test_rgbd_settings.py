"""Settings of the RGB-D sensor: a second draw, the record, the table of skin types, refusals."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass

import pytest
import torch

from spondyl.sim.make import randomised
from spondyl.sim.rgbd import RgbdSensor
from spondyl.sim.rgbd_body import Outfit
from spondyl.sim.rgbd_camera import Rig
from spondyl.sim.rgbd_colour import ColourCamera
from spondyl.sim.rgbd_depth import DepthCamera
from spondyl.sim.rgbd_light import Light
from spondyl.sim.rgbd_room import Room
from spondyl.sim.rgbd_skin import SKIN_ALBEDO, Complexion


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ranged(settings: object) -> list[tuple[float, float, float]]:
    """(low, value, high) of every field with a range, in all parts."""
    found = []
    for f in fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, f.name)
        if is_dataclass(value):
            found += ranged(value)
        elif "low" in f.metadata:
            found.append((f.metadata["low"], value, f.metadata["high"]))
    return found


def test_a_second_draw_stays_in_the_ranges_and_changes_every_field() -> None:
    usual = RgbdSensor()
    drawn = usual.randomised(generator=seeded(9))
    assert all(low <= value <= high for low, value, high in ranged(drawn))
    assert all(a[1] != b[1] for a, b in zip(ranged(usual), ranged(drawn), strict=True))
    assert all(low <= value <= high for low, value, high in ranged(usual))
    assert drawn == usual.randomised(generator=seeded(9)) != usual.randomised(generator=seeded(10))
    assert (drawn.rig.shape_px, drawn.depth.farthest_mm) == (usual.rig.shape_px, usual.depth.farthest_mm)
    assert isinstance(randomised(usual, generator=seeded()), RgbdSensor)


def test_the_record_of_a_sensor_makes_it_again() -> None:
    parts = (RgbdSensor, Rig, Complexion, Outfit, Room, Light, DepthCamera, ColourCamera)
    drawn = RgbdSensor().randomised(generator=seeded(2)).for_skin_type(5)
    assert eval(repr(drawn), {p.__name__: p for p in parts}) == drawn
    assert drawn.complexion.skin_type == 5.0


def test_each_skin_type_has_its_colour() -> None:
    for k, expected in enumerate(SKIN_ALBEDO, start=1):
        assert Complexion(skin_type=k).albedo().tolist() == pytest.approx(expected, rel=1e-5)
    between = Complexion(skin_type=2.5).albedo()
    assert bool((between < Complexion(skin_type=2).albedo()).all())
    assert bool((between > Complexion(skin_type=3).albedo()).all())


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Complexion(skin_type=7.0), "skin_type is 7"),
        (lambda: Outfit(cloth_tint=2.0), "cloth_tint is 2"),
        (lambda: Room(wall_mm=-3.0), "wall_mm is -3"),
        (lambda: ColourCamera(red_gain=0.0), "red_gain is 0"),
    ],
)
def test_settings_without_sense_are_refused_by_name(make: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()
