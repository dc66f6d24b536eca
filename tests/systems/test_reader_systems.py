"""Both readers as systems: batches from pairs, a loss that falls, answers as words, and folders that give them back."""

from pathlib import Path

import pytest
import torch

from spondyl.geometry import View
from spondyl.images import Layers, Radiograph, Ultrasound
from spondyl.pairs import Pair, Subject
from spondyl.reading.marks import READ_LEVELS
from spondyl.sim.layers import LayerSensor
from spondyl.sim.patient import demo_patient, subject, ultrasound_landmarks
from spondyl.sim.ultrasound import UltrasoundSensor
from spondyl.sim.ultrasound_marks import marks_of
from spondyl.spine import Corners, UltrasoundMarks
from spondyl.system import System
from spondyl.systems import SYSTEMS
from spondyl.systems.ultrasound_to_landmarks import UltrasoundToLandmarks
from spondyl.systems.xray_to_corners import XrayToCorners, is_lateral, pixel_of

READERS = ("xray_to_corners", "ultrasound_to_landmarks")


@pytest.fixture(scope="module")
def person() -> Subject:
    return subject(demo_patient(), spacing_mm=4.0)


@pytest.fixture(scope="module")
def pairs(person: Subject) -> dict[str, list[Pair]]:
    films = [LayerSensor(view, pixel_spacing_mm=3.0)(person, generator=torch.Generator()) for view in ("pa", "lateral")]
    scan = UltrasoundSensor(pixel_spacing_mm=(1.5, 1.5))(person, generator=torch.Generator().manual_seed(0))
    marks = marks_of(ultrasound_landmarks(demo_patient()), scan)
    return {
        "xray_to_corners": [Pair(film, film, person.spine, k) for k, film in enumerate(films)],
        "ultrasound_to_landmarks": [Pair(scan, marks, person.spine, 0)],
    }


def small(name: str) -> System:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SYSTEMS[name](SYSTEMS[name].presets["tiny"].model)


@pytest.mark.parametrize("name", READERS)
def test_the_loss_is_finite_and_falls(name: str, pairs: dict[str, list[Pair]]) -> None:
    system = small(name)
    batch = system.collate(pairs[name] * (2 if len(pairs[name]) == 1 else 1))
    rate = torch.optim.Adam(system.parameters(), lr=4e-3)
    losses = []
    for _ in range(16):
        # the same pictures every time: what falls is then the fit, not the luck of the draw
        loss = system.loss(batch, "model", generator=torch.Generator().manual_seed(5))
        rate.zero_grad()
        loss.backward()
        rate.step()
        losses.append(float(loss.detach()))
    assert all(torch.isfinite(torch.tensor(losses)))
    assert losses[-1] < 0.75 * losses[0]


@pytest.mark.parametrize("name", READERS)
def test_the_same_seed_gives_the_same_loss_and_another_one_other_pictures(
    name: str, pairs: dict[str, list[Pair]]
) -> None:
    system = small(name).eval()
    batch = system.collate(pairs[name])
    first, again, other = (
        float(system.loss(batch, "model", generator=torch.Generator().manual_seed(seed)).detach()) for seed in (3, 3, 4)
    )
    assert first == again != other


def film_of(layers: Layers) -> Radiograph:
    return Radiograph(layers.optical_depth.sum(0), layers.view)


@pytest.mark.parametrize("name", READERS)
def test_an_answer_is_a_word_with_levels_in_order_and_numbers_in_range(name: str, pairs: dict[str, list[Pair]]) -> None:
    source = pairs[name][0].source
    image = film_of(source) if isinstance(source, Layers) else source
    (answer,) = small(name).translate(image, generator=torch.Generator())
    assert isinstance(answer, Corners if name == "xray_to_corners" else UltrasoundMarks)
    assert list(answer.levels) == sorted(answer.levels, key=READ_LEVELS.index)
    assert answer.confidence is not None
    assert answer.spread_px is not None
    assert bool(((answer.confidence >= 0) & (answer.confidence <= 1)).all())
    assert len(answer.spread_px) == len(answer.levels)


@pytest.mark.parametrize("name", READERS)
def test_a_reader_comes_back_from_its_folder(name: str, tmp_path: Path, pairs: dict[str, list[Pair]]) -> None:
    system = small(name).eval()
    system.save_pretrained(tmp_path / "w", card="a test")
    again = SYSTEMS[name].from_pretrained(tmp_path / "w")
    batch = system.collate(pairs[name])
    one, two = (
        float(s.loss(batch, "model", generator=torch.Generator().manual_seed(1)).detach()) for s in (system, again)
    )
    assert one == two


def test_a_reader_of_films_learns_from_no_ultrasound(pairs: dict[str, list[Pair]]) -> None:
    with pytest.raises(ValueError, match="learns from radiographs or their layers, not from a Ultrasound"):
        small("xray_to_corners").collate(pairs["ultrasound_to_landmarks"])
    with pytest.raises(ValueError, match="learns from ultrasound images with marks; got Layers"):
        small("ultrasound_to_landmarks").collate(pairs["xray_to_corners"])


def test_a_lateral_film_is_known_by_its_view_and_a_slots_pixels_are_square_at_the_patient() -> None:
    frontal, lateral = (View.around((0, 0, 0), angle_deg=a) for a in (0.0, 90.0))
    assert not is_lateral(frontal)
    assert is_lateral(lateral)
    assert pixel_of(View.around((0, 0, 0), beam="slot", pixel_spacing_mm=(0.4, 0.5))) == (0.4, 0.4)
    assert pixel_of(frontal) == (1.0, 1.0)


def test_both_readers_are_listed_with_presets_that_train_on_a_laptop() -> None:
    assert set(READERS) <= set(SYSTEMS)
    for kind in (XrayToCorners, UltrasoundToLandmarks):
        assert {"tiny", "small"} <= set(kind.presets)
        assert kind.target in (Corners, UltrasoundMarks)
    assert UltrasoundToLandmarks.source is Ultrasound
