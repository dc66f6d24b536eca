"""Names become sensors, generators become subjects, and a pair can be rebuilt from its seed."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from cohort_stand_in import body

from spondyl.images import Radiograph, Volume
from spondyl.pairs import Subject
from spondyl.sim import make
from spondyl.sim.bent import bent_spine, curves_within
from spondyl.sim.make import SENSORS, Wish, fitted, images, names_of, pair, patient_for, randomised, sensor_named
from spondyl.sim.patient import Curve, Posture, demo_patient, draw, make_patient
from spondyl.sim.radiograph import LATERAL, PA, RadiographSensor
from spondyl.sim.rgbd import RgbdSensor
from spondyl.sim.seeds import generator_of, seed_of, share_of
from spondyl.spine import LEVELS


@pytest.fixture(scope="module")
def subject() -> Subject:
    patient = demo_patient()
    return Subject(body(patient, 8.0), patient.spine)


@dataclass(frozen=True)
class Copier:
    """A sensor that gives back the volume with noise."""

    def __call__(self, subject: Subject, *, generator: torch.Generator) -> Volume:
        noise = torch.randn(subject.volume.hu.shape, generator=generator)
        return Volume(subject.volume.hu + noise, subject.volume.world_from_voxel)


# -- seeds --


def test_seeds_by_name_are_the_same_for_ever_and_differ_by_every_part() -> None:
    assert seed_of("a", 1, 2.5) == 689052413604764833
    assert len({seed_of(*parts) for parts in (("a", 1), ("a", 2), ("b", 1), ("a", "1"), ("a1",), (1, "a"))}) == 6
    assert all(0 <= seed_of(i) < 2**63 for i in range(200))
    assert sum(share_of("x", i) < 0.25 for i in range(2000)) / 2000 == pytest.approx(0.25, abs=0.03)
    first, second = (torch.rand(3, generator=generator_of("x", 5)) for _ in range(2))
    assert torch.equal(first, second)


# -- tables --


def installed() -> list[str]:
    found = []
    for name in SENSORS:
        with contextlib.suppress(ValueError):
            sensor_named(name)
            found.append(name)
    return found


def test_sensors_draw_other_settings_and_the_same_ones_again() -> None:
    assert {"ct", "pa", "lateral", "ultrasound"} <= set(installed())
    for name in installed():
        sensor = sensor_named(name)
        first, again = (randomised(sensor, generator=torch.Generator().manual_seed(1)) for _ in range(2))
        assert type(first) is type(sensor)
        assert repr(first) != repr(sensor)
        assert repr(first) == repr(again)


def test_a_sensor_that_is_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SENSORS, "echo", lambda: make._at("nowhere", "Sensor"))
    with pytest.raises(ValueError, match="modality 'nowhere' is not part of this installation"):
        sensor_named("echo")


@pytest.mark.parametrize(
    ("given", "names"),
    [(["pa", "ct"], ("ct", "pa")), ([" PA ", "pa", "Lateral"], ("pa", "lateral")), (list(SENSORS), tuple(SENSORS))],
)
def test_modalities_have_one_order(given: Sequence[str], names: tuple[str, ...]) -> None:
    assert names_of(given) == names


@pytest.mark.parametrize(("given", "words"), [([], "no modality came"), (["pa", "mri"], "modality is 'mri'")])
def test_wrong_modalities_are_one_line(given: Sequence[str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        names_of(given)


def test_a_wish_is_kept() -> None:
    wish = Wish(cohort="surgical", sex="male", age_years=15.0, cobb_deg=50.0, curve_type="1")
    patient = patient_for(wish, generator=torch.Generator().manual_seed(2))
    assert (patient.body.sex, patient.body.age_years, patient.traits.curve_type) == ("male", 15.0, "1")


# -- images and pairs --


def test_radiographs_of_one_subject_are_those_taken_alone(subject: Subject) -> None:
    sensors = {"lateral": LATERAL, "ct": Copier(), "pa": PA}
    both = images(subject, sensors, {name: generator_of(name) for name in sensors})
    assert list(both) == ["lateral", "ct", "pa"]
    alone = PA(subject, generator=generator_of("pa"))
    together = both["pa"]
    assert isinstance(together, Radiograph)
    assert torch.equal(alone.optical_depth, together.optical_depth)


def test_a_pair_is_rebuilt_from_its_seed_and_its_target_does_not_know_its_source(subject: Subject) -> None:
    first = pair(subject, PA, Copier(), generator=torch.Generator().manual_seed(11))
    again = pair(subject, PA, Copier(), generator=torch.Generator().manual_seed(first.seed))
    other = pair(subject, "lateral", Copier(), generator=torch.Generator().manual_seed(11))
    assert first.seed == 11
    assert first.spine is subject.spine
    for one in (again, other):
        assert isinstance(first.target, Volume)
        assert isinstance(one.target, Volume)
        assert torch.equal(first.target.hu, one.target.hu)


# -- the radiograph sensor --


def test_the_spine_lies_in_the_middle_of_both_views(subject: Subject) -> None:
    for sensor in (PA, LATERAL, replace(PA, machine="cone"), replace(PA, turn_deg=4.0)):
        view = sensor.framing(subject)
        corners = subject.spine.project(view).corners_px[1:-1]
        size = torch.tensor(view.shape_px)
        assert bool(((corners > 0) & (corners < size)).all())
    assert PA.framing(subject).beam == "slot"
    assert replace(PA, machine="cone").framing(subject).beam == "cone"


def test_dose_and_voltage_change_noise_and_contrast(subject: Subject) -> None:
    def noise(sensor: RadiographSensor) -> float:
        one, two = (sensor(subject, generator=torch.Generator().manual_seed(k)).optical_depth for k in (1, 2))
        return float((one - two)[one > 1].std())

    assert noise(replace(PA, dose_share=4.0)) == pytest.approx(noise(PA) / 2, rel=0.2)
    soft, hard = (
        replace(PA, kvp=kvp)(subject, generator=torch.Generator().manual_seed(0)).optical_depth for kvp in (70.0, 110.0)
    )
    assert float(soft.max()) > float(hard.max()) + 0.1
    assert noise(replace(PA, ideal=True)) == 0.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"view": "above"}, "view is 'above'"),
        ({"machine": "phone"}, "geometry is 'phone'"),
        ({"kvp": 20.0}, "kvp is 20.0; wanted 60 to 120 kV"),
        ({"dose_share": 0.0}, "dose_share is 0.0; wanted a number above zero"),
        ({"pixel_spacing_mm": -1.0}, "pixel_spacing_mm is -1.0"),
        ({"turn_deg": float("nan")}, "turn_deg is nan"),
    ],
)
def test_settings_that_no_machine_has_are_one_line(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        RadiographSensor(**changes)  # type: ignore[arg-type]
    assert words in str(caught.value)


# -- bent scans --


def test_a_curve_is_cut_to_the_levels_of_a_scan() -> None:
    curves = (Curve("T1", "T5", 20.0, "left"), Curve("T5", "T11", 36.0, "right"), Curve("T12", "L4", 20.0, "left"))
    seen = [level for level in LEVELS if level not in ("T13", "L6")]
    short = seen[seen.index("T8") :]
    kept = curves_within(curves, short)
    assert [(c.upper, c.lower, c.cobb_deg) for c in kept] == [("T8", "T11", 18.0), ("T12", "L4", 20.0)]
    assert curves_within(curves, ("L5", "S1")) == ()
    assert curves_within(curves, seen) == curves


def test_a_scan_bends_as_far_as_its_discs_allow() -> None:
    spine = make_patient(Posture()).spine
    for cobb in (20.0, 90.0):
        curve = Curve("T8", "T11", cobb, "right")
        out = bent_spine(spine, [curve])
        normals = out.endplate_normals().double()
        tilt = torch.rad2deg(torch.atan2(normals[..., 0], normals[..., 2]))
        angle = float(tilt[out.index("T8"), 0] - tilt[out.index("T11"), 1])
        assert abs(angle) <= cobb + 0.1
        assert abs(angle) > 5
        if cobb == 20.0:
            assert abs(angle) == pytest.approx(20.0, abs=0.05)


def test_the_camera_is_told_the_skin_that_the_patient_has() -> None:
    patient = draw(generator=torch.Generator().manual_seed(3), skin_type=5)
    told = fitted(sensor_named("rgbd"), patient)
    assert isinstance(told, RgbdSensor)
    assert told.complexion.skin_type == 5.0
    assert fitted(PA, patient) is PA
