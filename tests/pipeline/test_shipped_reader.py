"""The weights that ship, on films of a patient whose angles are known; skipped where this tree has none."""

from pathlib import Path

import numpy as np
import pytest
import torch
from film_stand_in import SHAPE, saved
from PIL import Image

from spondyl.io.png import read_png_radiograph, write_png
from spondyl.measure.cobb import cobb_from_corners, main_curve
from spondyl.measure.sagittal import sagittal_from_corners
from spondyl.pipeline.film_reader import SYSTEM, Reader, load_reader
from spondyl.pipeline.film_reading import read_film
from spondyl.sim.film import FilmLook
from spondyl.sim.patient import demo_patient, subject
from spondyl.sim.radiograph import RadiographSensor
from spondyl.weights import weights_folder

pytestmark = pytest.mark.slow
# A surgeon repeats a Cobb angle within 4.9 degrees, 95 % (Morrissy 1990); kyphosis is read less well.
COBB_DEG, KYPHOSIS_DEG = 5.0, 8.0


@pytest.fixture(scope="module")
def reader() -> Reader:
    try:
        weights_folder(SYSTEM)
    except ValueError:
        pytest.skip("this tree ships no weights")
    return load_reader()


@pytest.fixture(scope="module")
def films(reader: Reader, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pa.png and lateral.png of the demo patient, with their geometry."""
    folder = tmp_path_factory.mktemp("films")
    patient = subject(demo_patient(), spacing_mm=2.0)
    for view in ("pa", "lateral"):
        taken = RadiographSensor(view)(patient, generator=torch.Generator().manual_seed(0))
        write_png(taken, folder / f"{view}.png", window=(0.0, 8.0), text={})
    return folder


def test_the_main_curve_of_a_simulated_film_is_read_as_a_surgeon_would(films: Path, reader: Reader) -> None:
    record = read_film(films / "pa.png", reader).record
    view = read_png_radiograph(films / "pa.png").view
    spine = demo_patient().spine
    magnification = float(view.magnification(spine.centres_mm.mean(0)[None])[0])
    truth = main_curve(cobb_from_corners(spine.project(view), u_magnification=magnification))
    assert truth is not None
    assert record.view == "pa"
    assert record.verdict != "refused", record.reasons
    assert record.curves[0].angle_deg == pytest.approx(truth.angle_deg, abs=COBB_DEG)
    assert record.curves[0].side == truth.side


@pytest.mark.xfail(
    strict=True, reason="these weights find 3 vertebrae on this lateral: docs/validation.md, sagittal angles"
)
def test_a_simulated_lateral_is_seen_as_one_and_its_kyphosis_is_read(films: Path, reader: Reader) -> None:
    record = read_film(films / "lateral.png", reader).record
    view = read_png_radiograph(films / "lateral.png").view
    spine = demo_patient().spine
    magnification = float(view.magnification(spine.centres_mm.mean(0)[None])[0])
    angles = sagittal_from_corners(spine.project(view), u_magnification=magnification)
    truth = next(a for a in angles if (a.upper, a.lower) == ("T4 superior", "T12 inferior"))
    found = record.sagittal("Kyphosis T4–T12")
    assert (record.view, record.faces) == ("lateral", "right")
    assert found is not None
    assert found.angle_deg == pytest.approx(truth.kyphosis_deg, abs=KYPHOSIS_DEG)


def test_a_negative_without_geometry_is_read_as_such(films: Path, reader: Reader, tmp_path: Path) -> None:
    shown = FilmLook()(read_png_radiograph(films / "pa.png")).numpy()
    for name, film in (("film", shown), ("negative", 1 - shown)):
        record = read_film(saved((film * 255).astype(np.uint8), tmp_path / f"{name}.png"), reader).record
        assert record.negative == (name == "negative")
        assert record.verdict != "refused", record.reasons


def test_noise_a_film_on_its_side_and_the_wrong_view_are_refused(films: Path, reader: Reader, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, SHAPE).astype(np.uint8)
    assert read_film(saved(noise, tmp_path / "noise.png"), reader).record.verdict == "refused"
    record = read_film(turned(films, 1, tmp_path), reader).record
    assert record.verdict == "refused"
    assert "clockwise" in record.reasons[0]
    assert read_film(films / "lateral.png", reader, view="pa").record.verdict == "refused"


def test_a_film_upside_down_is_refused(films: Path, reader: Reader, tmp_path: Path) -> None:
    record = read_film(turned(films, 2, tmp_path), reader).record
    assert record.verdict == "refused"
    assert "upside down" in record.reasons[0]


def turned(films: Path, quarters: int, folder: Path) -> Path:
    """The frontal film turned counter-clockwise."""
    shown = (FilmLook()(read_png_radiograph(films / "pa.png")).numpy() * 255).astype(np.uint8)
    Image.fromarray(np.ascontiguousarray(np.rot90(shown, quarters))).save(folder / "turned.png")
    return folder / "turned.png"
