"""The ultrasound image of a virtual patient and of a scanned person, held against their anatomy."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from spondyl.images import STRUCTURE_LABELS, Ultrasound
from spondyl.io.volumes import read_labelled
from spondyl.measure.curve import curve_from_labels
from spondyl.pairs import Subject
from spondyl.sim.patient import Patient, demo_patient, rasterise, ultrasound_landmarks
from spondyl.sim.ultrasound import UltrasoundSensor
from spondyl.sim.ultrasound_marks import landmarks_of, marks_of


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_marks_need_an_image_that_knows_its_place(patient: Patient) -> None:
    with pytest.raises(ValueError, match="world_from_pixel"):
        marks_of(landmarks_of(patient.spine), Ultrasound(torch.zeros(4, 4), (1.0, 1.0)))


@pytest.fixture(scope="module")
def patient() -> Patient:
    return demo_patient()


@pytest.fixture(scope="module")
def person(patient: Patient) -> Subject:
    return Subject(rasterise(patient, spacing_mm=2.5), patient.spine)


@pytest.fixture(scope="module")
def images(person: Subject) -> tuple[Ultrasound, ...]:
    return UltrasoundSensor().at_depths(person, (0.0, 6.0), generator=seeded(1))


@pytest.fixture(scope="module")
def image(images: tuple[Ultrasound, ...]) -> Ultrasound:
    return images[0]


def patch(image: Ultrasound, at: Tensor, aside_px: int = 0) -> float:
    v, u = round(float(at[0])), round(float(at[1])) + aside_px
    return float(image.echo[v - 3 : v + 4, u - 2 : u + 3].mean())


def test_landmarks_from_the_bodies_alone_agree_with_the_patients(patient: Patient) -> None:
    exact, derived = ultrasound_landmarks(patient), landmarks_of(patient.spine)
    assert derived.levels == exact.levels
    assert float((exact.transverse_tips_mm - derived.transverse_tips_mm).norm(dim=-1).max()) < 0.1
    assert float((exact.laminae_mm - derived.laminae_mm).norm(dim=-1).max()) < 0.1
    assert float((exact.spinous_tips_mm - derived.spinous_tips_mm).norm(dim=-1).max()) < 5.1  # they bend by up to 5 mm


def test_spinous_tips_lie_on_the_dark_midline(patient: Patient, image: Ultrasound) -> None:
    marks = marks_of(ultrasound_landmarks(patient), image)
    darker = [patch(image, at) < 0.6 * min(patch(image, at, -22), patch(image, at, 22)) for at in marks.spinous_px[1:]]
    assert sum(darker) >= 0.8 * len(darker)


def test_lumbar_transverse_processes_show_in_a_deeper_slab(patient: Patient, images: tuple[Ultrasound, ...]) -> None:
    image = images[1]
    marks = marks_of(ultrasound_landmarks(patient), image)
    rows = [i for i, level in enumerate(marks.levels) if level in ("L1", "L2", "L3", "L4")]
    inward = marks.transverse_px[rows] + torch.tensor([[[0.0, 8.0], [0.0, -8.0]]])  # 4 mm inside the tip
    between = marks.transverse_px[rows] + torch.tensor([24.0, 0.0])
    bone = torch.tensor([[patch(image, p) for p in pair] for pair in inward])
    muscle_beside = torch.tensor([[patch(image, p) for p in pair] for pair in between])
    assert float((bone > muscle_beside).float().mean()) >= 0.75


def test_muscle_of_the_projection_has_the_grain_of_published_images(person: Subject) -> None:
    recording, lattice = UltrasoundSensor().record(person, generator=seeded(1))
    stack = torch.stack([recording.envelope(i) for i in range(-6, 25)])
    deepest = recording.sweep.reference_mm[:, None] + 15.0
    heights = lattice.heights_mm(stack.device)
    rows = (heights < person.spine.centres_mm[14, 2]) & (heights > person.spine.centres_mm[16, 2])
    free = (recording.sweep.surface_mm > deepest) & (recording.sweep.contact > 0.99) & rows[:, None]
    projected = (0.5 * stack.mean(0) + 0.5 * stack.amax(0))[free]
    assert int(free.sum()) > 2000
    assert 3.0 < float(projected.mean() / projected.std()) < 7.0


def test_every_pixel_is_in_range_and_the_frame_is_black(image: Ultrasound) -> None:
    assert image.echo.shape == UltrasoundSensor().shape_px == (1080, 280)
    assert 0.0 <= float(image.echo.min()) <= float(image.echo.max()) <= 1.0
    assert float(image.echo[:20].max()) == 0.0
    assert 0.2 < float(image.echo[image.echo > 0].mean()) < 0.6


def test_lung_lies_behind_a_dark_shadow(person: Subject) -> None:
    recording = UltrasoundSensor().record(person, generator=seeded(1))[0]
    sweep = recording.sweep
    assert person.volume.labels is not None
    assert bool((person.volume.labels == STRUCTURE_LABELS["lung"]).any())
    depth = sweep.reference_mm[:, None] + 6.0
    behind_gas = (sweep.is_bone == 0) & (sweep.surface_mm < depth - 8) & (sweep.contact > 0.99)
    open_muscle = (sweep.surface_mm > depth + 3) & (sweep.contact > 0.99)
    assert int(behind_gas.sum()) > 500
    slice_ = recording.envelope(12)
    ratio = slice_[behind_gas].square().mean() / slice_[open_muscle].square().mean()
    assert float(10 * ratio.log10()) < -12


def test_a_labelled_scan_of_a_person_gives_an_image(data: Path) -> None:
    folder = data / "ct" / "totalseg_abdomen_3mm"
    volume, _ = read_labelled(folder / "ct.nii.gz", folder / "totalseg_vertebrae.nii.gz")
    scanned = Subject(volume, curve_from_labels(volume).spine)
    image = UltrasoundSensor()(scanned, generator=seeded())
    m, heights = image.world_from_pixel, scanned.spine.centres_mm[:, 2]
    assert m is not None
    rows = (float(m[2, 3]) - heights) / 0.5
    inside = rows[(rows > 0) & (rows < image.echo.shape[0])].long()
    assert len(inside) == len(scanned.spine.levels)
    assert float((image.echo[inside] > 0.05).float().sum(1).min()) > 100  # every level's row shows 50 mm of tissue
