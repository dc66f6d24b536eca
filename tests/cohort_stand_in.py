"""Cohorts of patients whose bodies take milliseconds: real spines and real truths in a trunk of a few balls.

Imported by tests, and by worker processes as their work: `cohort_stand_in:make_part`.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import torch

from spondyl.images import STRUCTURE_LABELS, Volume
from spondyl.pairs import Subject
from spondyl.sim import make
from spondyl.sim.make import Drawn, Wish, patient_for
from spondyl.sim.patient import BackLandmarks, Patient, UltrasoundLandmarks, field_mm
from spondyl.simulate import case
from spondyl.spine import LEVEL_LABELS


def body(patient: Patient, spacing_mm: float) -> Volume:
    """An elliptic cylinder of muscle with a ball of bone for each vertebral body, labelled."""
    low, high = (torch.from_numpy(corner).float() for corner in field_mm(patient))
    x, y, z = (torch.arange(float(a), float(b), spacing_mm) for a, b in zip(low, high, strict=True))
    grid = torch.stack(torch.meshgrid(z, y, x, indexing="ij")[::-1], dim=-1)
    middle = (low + high) / 2
    inside = (((grid - middle) / ((high - low) * 0.45))[..., :2] ** 2).sum(dim=-1) < 1
    hu = torch.where(inside, 40.0, -1000.0)
    labels = torch.where(inside, STRUCTURE_LABELS["muscle"], 0).to(torch.uint8)
    for level, centre in zip(patient.spine.levels, patient.spine.centres_mm, strict=True):
        near = ((grid - centre) ** 2).sum(dim=-1) < (spacing_mm + 8.0) ** 2
        hu[near], labels[near] = 700.0, LEVEL_LABELS[level]
    for level, centre in zip(patient.spine.levels, patient.spine.centres_mm, strict=True):
        k, j, i = ((centre - low) / spacing_mm).round().long().flip(0).tolist()
        labels[k, j, i] = LEVEL_LABELS[level]
    place = torch.diag(torch.tensor([spacing_mm, spacing_mm, spacing_mm, 1.0]))
    place[:3, 3] = low
    return Volume(hu, place, labels)


def virtual(wish: Wish, *, generator: torch.Generator) -> Drawn:
    """In the place of `make.virtual`."""
    time.sleep(float(os.environ.get("SLOW_CASES_S", "0")))
    patient = patient_for(wish, generator=generator)
    return Drawn(Subject(body(patient, wish.spacing_mm), patient.spine), patient)


def arches(patient: Patient) -> UltrasoundLandmarks:
    """In the place of `ultrasound_landmarks`: processes of one length."""
    centres, axes = patient.spine.centres_mm[:-1], patient.spine.axes[:-1]
    left, back = axes[:, 0], axes[:, 1]
    pairs = torch.stack([centres + 30 * left, centres - 30 * left], dim=1) + 20 * back[:, None]
    return UltrasoundLandmarks(patient.spine.levels[:-1], pairs, pairs, centres + 45 * back)


def marks(patient: Patient) -> BackLandmarks:
    """In the place of `back_landmarks`."""
    return BackLandmarks(("C7",), patient.spine.centres_mm[:1])


@contextmanager
def installed() -> Iterator[None]:
    """The stand-in in its places while the block lasts."""
    with (
        mock.patch.dict(make.SUBJECTS, {"virtual": virtual}),
        mock.patch.object(case, "ultrasound_landmarks", arches),
        mock.patch.object(case, "back_landmarks", marks),
    ):
        yield


def make_part(case_id: int, settings: str) -> None:
    """The unit of work, with the stand-in; told so, unit 1 fails."""
    with installed():
        case.make_part(case_id, settings)


def fail(case_id: int, settings: str) -> None:
    """The unit of work, but case 1 cannot be made."""
    if case_id == 1:
        raise ValueError("this patient cannot stand")
    make_part(case_id, settings)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
