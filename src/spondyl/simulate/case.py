"""One case: a subject, its images and its truth, as a function of the cohort's plan and the case's number alone."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from spondyl.io.case_record import CaseRecord, Person, Split
from spondyl.io.image_members import image_members
from spondyl.io.shards import CASE, LANDMARKS, SPINE, write_part
from spondyl.io.spine_json import spine_bytes
from spondyl.pairs import Image, Subject
from spondyl.sim.make import SUBJECTS, Drawn, Sensor, Wish, fitted, images, patient_for, randomised, sensor_named
from spondyl.sim.patient import Patient, UltrasoundLandmarks, back_landmarks, ultrasound_landmarks
from spondyl.sim.patient.threads import one_thread
from spondyl.sim.seeds import generator_of, seed_of, share_of
from spondyl.simulate.landmark_json import landmark_bytes
from spondyl.simulate.plan import Job, Plan, job_of
from spondyl.simulate.truth import shape_regions, truth_of

PARTS = "parts"
MOST_DRAWS = 200  # a fifth of a screening cohort is held out
TRAIN, VAL = 0.8, 0.9  # shares of the hash: 80 % train, 10 % val, 10 % test


@dataclass(frozen=True, eq=False)
class Case:
    """One case in memory: who it is, what took its pictures, and the pictures, both by modality."""

    id: int
    seed: int
    drawn: Drawn
    sensors: Mapping[str, Sensor]
    images: Mapping[str, Image]


def case_seed(seed: int, case_id: int) -> int:
    """The seed of one case, from the cohort's seed and the case's number by SHA-256."""
    return seed_of("case", seed, case_id)


def make_case(plan: Plan, case_id: int, *, scan: Subject | None = None, device: str = "cpu") -> Case:
    """One case. It depends on nothing but the arguments; each modality has random numbers of its own, so asking for one more
    changes no other.

    The numbers of a GPU, and those of another number of threads, differ in rounding.

    Raises:
        ValueError: for wishes that no patient fulfils, or a modality that is not installed.
    """
    seed = case_seed(plan.seed, case_id)
    drawn = draw_subject(plan, seed, scan=scan, device=device)
    sensors = {name: fitted(sensor_of(plan, seed, name), drawn.patient) for name in plan.modalities}
    noise = {name: generator_of(seed, name, "noise", device=device) for name in sensors}
    return Case(case_id, seed, drawn, sensors, images(drawn.subject, sensors, noise))


def draw_subject(plan: Plan, seed: int, *, scan: Subject | None = None, device: str = "cpu") -> Drawn:
    """Who the case is: a virtual patient, or the scan bent along the spine of one."""
    wish = plan.wish_for(scan, device)
    who = ("subject",) if plan.shapes == "any" else ("subject", _held_out(wish, seed))
    return SUBJECTS["virtual" if scan is None else "bent"](wish, generator=generator_of(seed, *who))


def _held_out(wish: Wish, seed: int) -> int:
    """The first draw of this seed whose curves lie in a held-out region; bodies are drawn without being painted."""
    for attempt in range(MOST_DRAWS):
        patient = patient_for(wish, generator=generator_of(seed, "subject", attempt))
        if shape_regions(truth_of(patient.spine)):
            return attempt
    raise ValueError(
        f"none of {MOST_DRAWS} patients like this lies in a held-out region of shape; ask for other curves"
    )


def sensor_of(plan: Plan, seed: int, modality: str) -> Sensor:
    """The sensor of one case: the usual one, or with settings drawn anew where the plan varies them."""
    usual = sensor_named(modality)
    return randomised(usual, generator=generator_of(seed, modality, "settings")) if plan.vary else usual


def record_of_case(plan: Plan, case: Case, marks: UltrasoundLandmarks | None) -> CaseRecord:
    """What the manifest says of a case."""
    patient = case.drawn.patient
    whole = patient if not plan.scan else None
    tilt = None if whole is None else whole.posture.pelvic_tilt_deg
    truth = truth_of(case.drawn.subject.spine, pelvic_tilt_deg=tilt, marks=marks)
    regions = shape_regions(truth)
    name = patient_name(plan, case.id)
    return CaseRecord(
        id=case.id,
        seed=case.seed,
        patient=name,
        split=split_of(name),
        shape_split=shape_split_of(name, regions),
        shape_regions=regions,
        truth=truth,
        person=None if whole is None else _person(whole),
        sensors={modality: repr(sensor) for modality, sensor in case.sensors.items()},
        config=plan.config,
    )


def patient_name(plan: Plan, case_id: int) -> str:
    """The hash of the person: of cohort seed and number for a virtual one, of the scan for all its bent forms."""
    who = f"scan {plan.scan}" if plan.scan else f"virtual {plan.seed} {case_id}"
    return hashlib.sha256(who.encode()).hexdigest()[:16]


def split_of(patient: str) -> Split:
    """train, val or test (80, 10, 10 %) by the patient's hash: the same person is never in two of them."""
    share = share_of("split", patient)
    return "train" if share < TRAIN else "val" if share < VAL else "test"


def shape_split_of(patient: str, regions: tuple[str, ...]) -> Split:
    """test for every shape in a held-out region and for no other; of the others one in ten is val, by the patient's hash."""
    if regions:
        return "test"
    return "val" if share_of("shape split", patient) < 0.1 else "train"


def members_of_case(plan: Plan, case: Case) -> dict[str, bytes]:
    """The files of a case, name -> bytes."""
    patient = None if plan.scan else case.drawn.patient
    marks = None if patient is None else ultrasound_landmarks(patient)
    members = {SPINE: spine_bytes(case.drawn.subject.spine)}
    if patient is not None and marks is not None:
        members[LANDMARKS] = landmark_bytes(marks, back_landmarks(patient))
    for modality, image in case.images.items():
        members |= image_members(modality, image)
    return {**members, CASE: record_of_case(plan, case, marks).line()}


def make_part(case_id: int, settings: str) -> None:
    """The unit of work of an executor: make one case and write it as a piece of its shard, whole or not at all.

    Raises:
        ValueError: where the case cannot be made.
        OSError: in one sentence, where it cannot be written.
    """
    job = _job(settings)
    with one_thread():
        case = make_case(job.plan, case_id, scan=_scan(job))
        members = members_of_case(job.plan, case)
    write_part(part_path(job.out, case_id), case_id, members)


def part_path(out: Path, case_id: int) -> Path:
    """Where a case waits for the others of its shard."""
    return out / PARTS / f"{case_id:06d}.tar"


@lru_cache(maxsize=1)
def _job(settings: str) -> Job:
    return job_of(settings)


@lru_cache(maxsize=1)
def _scan(job: Job) -> Subject | None:
    """The scan, read once in each process."""
    if job.scan is None:
        return None
    from spondyl.simulate.scan import read_scan

    return read_scan(job.scan, job.plan.spacing_mm)


def _person(patient: Patient) -> Person:
    body, traits = patient.body, patient.traits
    metal = traits.hardware
    return Person(
        cohort=traits.cohort,
        sex=body.sex,
        age_years=round(body.age_years, 4),
        size=round(body.size, 4),
        bmi=round(body.bmi, 4),
        curve_type=traits.curve_type,
        stance=traits.stance,
        skin_type=traits.skin_type,
        flexibility=round(traits.flexibility, 4),
        braced=traits.braced,
        hardware=None if metal is None else f"{metal.upper}-{metal.lower}",
    )
