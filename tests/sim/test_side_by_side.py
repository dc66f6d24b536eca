"""Shortcuts of the simulator change no answer: cropped air, sensors side by side, one channel at a time, a person's own tissue."""

from dataclasses import replace

import pytest
import torch

from spondyl.geometry import View
from spondyl.images import STRUCTURE_LABELS, Volume
from spondyl.pairs import Subject
from spondyl.sim.ct import CtSensor
from spondyl.sim.make import images, sensor_named
from spondyl.sim.patient import Traits, demo_patient, draw, rasterise, subject
from spondyl.sim.patient.phantom import own_tissue
from spondyl.sim.radiograph import LATERAL, PA, RadiographSensor, body_of
from spondyl.sim.seeds import generator_of
from spondyl.xray import project
from spondyl.xray.attenuation import materials


@pytest.fixture(scope="module")
def person() -> Subject:
    return subject(demo_patient(), spacing_mm=5.0)


@pytest.mark.parametrize("sensor", [PA, LATERAL], ids=["pa", "lateral"])
def test_air_that_is_left_out_changes_no_film(person: Subject, sensor: RadiographSensor) -> None:
    part, whole, view = body_of(person), materials(person.volume), sensor.framing(person)
    assert part.materials.names == whole.names
    assert part.materials.density_g_cm3[0].numel() < 0.8 * person.volume.hu.numel()
    # before noise: a count that rounding moves shifts the random numbers of all that follow
    seen = project.project_channels(part.materials.density_g_cm3, part.world_from_voxel, view)
    wanted = project.project_channels(whole.density_g_cm3, person.volume.world_from_voxel, view)
    assert float(wanted.max()) > 100
    assert torch.allclose(seen, wanted, rtol=1e-4, atol=1e-2)


def test_a_volume_of_air_alone_is_no_fault() -> None:
    air = Subject(Volume(torch.full((4, 5, 6), -1000.0), torch.eye(4)), demo_patient().spine)
    assert float(body_of(air).materials.density_g_cm3.max()) == 0.0


def test_sensors_side_by_side_give_what_each_gives_alone(person: Subject) -> None:
    sensors = {name: sensor_named(name) for name in ("ct", "ultrasound", "rgbd")}
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        together = images(person, sensors, {name: generator_of(2, name) for name in sensors})
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    for name, sensor in sensors.items():
        alone, found = sensor(person, generator=generator_of(2, name)), together[name]
        for field in ("hu", "echo", "rgb", "depth_mm"):
            if hasattr(alone, field):
                assert torch.equal(getattr(alone, field), getattr(found, field)), name


def test_channels_swapped_one_by_one_give_the_same_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    channels = torch.rand(3, 9, 10, 11, generator=torch.Generator().manual_seed(0))
    view = View.around([5.0, 4.5, 4.0], angle_deg=90, shape_px=(12, 13))
    at_once = project.project_channels(channels, torch.eye(4), view)
    monkeypatch.setattr(project, "SWAPPED_VALUES", 10)
    assert torch.equal(project.project_channels(channels, torch.eye(4), view), at_once)


def test_every_drawn_person_has_tissue_of_its_own_and_the_scan_shows_it() -> None:
    drawn = draw(generator=torch.Generator().manual_seed(1)).traits.tissue_hu
    assert all(value != 0.0 for value in drawn)
    assert max(abs(value) / sd for value, sd in zip(drawn, (50, 8, 12), strict=True)) <= 2.0
    plain = demo_patient()
    assert plain.traits.tissue_hu == Traits().tissue_hu == (0.0, 0.0, 0.0)
    own = replace(plain, traits=replace(plain.traits, tissue_hu=(40.0, 6.0, -9.0)))
    assert float(own_tissue(own)[STRUCTURE_LABELS["fat"]]) == -9.0
    usual, changed = rasterise(plain, spacing_mm=6.0), rasterise(own, spacing_mm=6.0)
    assert usual.labels is not None
    for label, by in ((STRUCTURE_LABELS["fat"], -9.0), (STRUCTURE_LABELS["muscle"], 6.0), (20, 40.0)):
        here = usual.labels == label
        assert torch.allclose(changed.hu[here] - usual.hu[here], torch.tensor(by), atol=1e-3)
    assert torch.equal(changed.hu[usual.labels == 0], usual.hu[usual.labels == 0])


def test_a_slice_of_air_is_scanned_without_nan(person: Subject) -> None:
    hu = person.volume.hu.clone()
    hu[0] = -1000.0 - 1e-3  # sums to a little less than nothing
    scan = CtSensor()(replace(person, volume=replace(person.volume, hu=hu)), generator=generator_of(3, "ct"))
    assert bool(torch.isfinite(scan.hu).all())
