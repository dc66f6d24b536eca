"""From a name to a sensor, from a generator to a subject, and from both to a pair: the two tables of the simulator.

A modality that is not part of this installation is named in one line when it is asked for; nothing is imported before.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast, runtime_checkable

import torch

from spondyl.pairs import Image, Pair, Subject
from spondyl.sim.layers import LayerSensor
from spondyl.sim.patient import Patient, draw, rasterise, skin_of
from spondyl.sim.patient.anatomy import Sex
from spondyl.sim.patient.curve_types import CurveType
from spondyl.sim.patient.draw import Cohort
from spondyl.sim.patient.patient import Stance
from spondyl.sim.patient.threads import one_thread
from spondyl.sim.radiograph import LATERAL, PA, RadiographSensor, body_of
from spondyl.sim.redraw import redraw
from spondyl.sim.seeds import generator_of


@runtime_checkable
class Sensor(Protocol):
    """What sees a subject: a frozen dataclass of settings that can be called; its record is its repr."""

    def __call__(self, subject: Subject, *, generator: torch.Generator) -> Image:
        """One image of the subject; the generator decides the noise."""
        ...


@runtime_checkable
class Randomised(Protocol):
    """A sensor that draws its own settings anew."""

    def randomised(self, *, generator: torch.Generator) -> Sensor:
        """The same kind of sensor at another place."""
        ...


@runtime_checkable
class SeesSkin(Protocol):
    """A sensor whose picture depends on the colour of the skin, which a subject does not carry."""

    def for_skin_type(self, skin_type: float) -> Sensor:
        """The same sensor for a patient of this Fitzpatrick type, 1 to 6."""
        ...


SENSORS: dict[str, Callable[[], Sensor]] = {
    "ct": lambda: _at("ct", "CtSensor"),
    "pa": lambda: PA,
    "lateral": lambda: LATERAL,
    "ultrasound": lambda: _at("ultrasound", "UltrasoundSensor"),
    "rgbd": lambda: _at("rgbd", "RgbdSensor"),
    "pa_layers": lambda: LayerSensor("pa"),
    "lateral_layers": lambda: LayerSensor("lateral"),
}
# Larger volumes are imaged by one sensor after the other: a patient at 1 mm would need a gigabyte more otherwise.
SIDE_BY_SIDE_VOXELS = 2**25
# Which sensors look at the skin's mesh: without them nobody has to make it.
NEED_SKIN: tuple[str, ...] = ("rgbd",)


def sensor_named(modality: str) -> Sensor:
    """The sensor of a modality with its usual settings.

    Raises:
        ValueError: for an unknown modality, or one whose sensor this installation lacks.
    """
    if modality not in SENSORS:
        raise ValueError(f"modality is {modality!r}; wanted one of {', '.join(SENSORS)}")
    return SENSORS[modality]()


def _at(module: str, name: str) -> Sensor:
    path = f"spondyl.sim.{module}"
    try:
        built = getattr(import_module(path), name)()
    except ModuleNotFoundError as error:
        if error.name != path:
            raise
        raise ValueError(f"modality {module!r} is not part of this installation of spondyl; leave it out") from None
    return cast(Sensor, built)


def randomised(sensor: Sensor, *, generator: torch.Generator) -> Sensor:
    """A second draw of the sensor's own settings, each within the range of its field (domain randomisation)."""
    return (
        sensor.randomised(generator=generator)
        if isinstance(sensor, Randomised)
        else redraw(sensor, generator=generator)
    )


def fitted(sensor: Sensor, patient: Patient) -> Sensor:
    """The sensor told what it must know of a virtual patient and a subject does not say: the colour of the skin."""
    return sensor.for_skin_type(patient.traits.skin_type) if isinstance(sensor, SeesSkin) else sensor


@dataclass(frozen=True, eq=False)
class Wish:
    """What a subject shall be; None leaves it to the draw.

    Args:
        cohort: the population, see `patient.draw`.
        spacing_mm: of the CT's voxels.
        sex, age_years, cobb_deg, curve_type, stance: as in `patient.draw`.
        skin: whether the skin's mesh is wanted.
        scan: the labelled CT of a person, for a subject that is a bent scan.
        device: where the volume is made.
    """

    cohort: Cohort = "screening"
    spacing_mm: float = 2.0
    sex: Sex | None = None
    age_years: float | None = None
    cobb_deg: float | None = None
    curve_type: CurveType | None = None
    stance: Stance = "standing"
    skin: bool = True
    scan: Subject | None = None
    device: str = "cpu"


@dataclass(frozen=True, eq=False)
class Drawn:
    """A subject and the virtual patient behind it: all of it, or, in a bent scan, only the posture is its own."""

    subject: Subject
    patient: Patient


def patient_for(wish: Wish, *, generator: torch.Generator) -> Patient:
    """The virtual patient of a wish. Raises ValueError as `patient.draw`."""
    return draw(
        generator=generator,
        cohort=wish.cohort,
        sex=wish.sex,
        age_years=wish.age_years,
        cobb_deg=wish.cobb_deg,
        curve_type=wish.curve_type,
        stance=wish.stance,
    )


def virtual(wish: Wish, *, generator: torch.Generator) -> Drawn:
    """A virtual patient with its CT, labels and, where wanted, skin."""
    patient = patient_for(wish, generator=generator)
    volume = rasterise(patient, spacing_mm=wish.spacing_mm, device=wish.device)
    return Drawn(Subject(volume, patient.spine, skin_of(patient) if wish.skin else None), patient)


class SubjectMaker(Protocol):
    """What makes a subject of a wish."""

    def __call__(self, wish: Wish, *, generator: torch.Generator) -> Drawn:
        """One subject; the generator decides all that the wish leaves open."""
        ...


def bent(wish: Wish, *, generator: torch.Generator) -> Drawn:
    """A scanned person bent along the curves of a virtual one; see `bent.bent`."""
    from spondyl.sim.bent import bent as bend_scan

    return bend_scan(wish, generator=generator)


SUBJECTS: dict[str, SubjectMaker] = {"virtual": virtual, "bent": bent}


def images(
    subject: Subject, sensors: Mapping[str, Sensor], generators: Mapping[str, torch.Generator]
) -> dict[str, Image]:
    """One image a sensor, by the same names; radiographs share the materials of the volume, the largest thing in memory.

    Radiographs take all threads; after them the others, which each work in one, go side by side. A large volume is imaged by
    one sensor after the other, because each needs memory of its own.
    """
    taken: dict[str, Image] = {}
    films = {name: sensor for name, sensor in sensors.items() if isinstance(sensor, RadiographSensor)}
    if films:
        body = body_of(subject)
        taken = {name: f.of_body(body, subject, generator=generators[name]) for name, f in films.items()}
        del body
    # the longest first, so that the others fill the time beside it
    others = sorted((name for name in sensors if name not in films), key=lambda name: name != "ultrasound")
    small = subject.volume.hu.numel() <= SIDE_BY_SIDE_VOXELS
    with one_thread() as threads, ThreadPoolExecutor(threads if small else 1) as pool:
        made = pool.map(lambda name: sensors[name](subject, generator=generators[name]), others)
        taken |= dict(zip(others, made, strict=True))
    return {name: taken[name] for name in sensors}


def pair(subject: Subject, source: Sensor | str, target: Sensor | str, *, generator: torch.Generator) -> Pair:
    """Two images of one subject with its truth; the generator's initial seed is the pair's. A modality names its usual sensor.

    Each sensor draws from a generator of its own, seeded by the initial seed and its place, so that the target's noise does
    not depend on the source. The generator given is not used up: the same one gives the same pair again.
    """
    seed, device = generator.initial_seed(), subject.volume.hu.device
    both = {"source": source, "target": target}
    sensors = {place: sensor_named(s) if isinstance(s, str) else s for place, s in both.items()}
    taken = images(subject, sensors, {name: generator_of(seed, name, device=device) for name in sensors})
    return Pair(taken["source"], taken["target"], subject.spine, seed)


def names_of(modalities: Iterable[str]) -> tuple[str, ...]:
    """The modalities once each, in the order of SENSORS. Raises ValueError for an unknown one or for none at all."""
    wanted = {name.strip().lower() for name in modalities if name.strip()}
    unknown = sorted(wanted - set(SENSORS))
    if unknown or not wanted:
        got = f"modality is {unknown[0]!r}" if unknown else "no modality came"
        raise ValueError(f"{got}; wanted some of {','.join(SENSORS)}")
    return tuple(name for name in SENSORS if name in wanted)
