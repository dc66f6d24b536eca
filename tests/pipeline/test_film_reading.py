"""A film file becomes a record: polarity, turns, sides and views are found or said to be unknown."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from film_stand_in import StandIn, corners, drawn, read_of, saved, spine

from spondyl.images import Radiograph
from spondyl.io.png import write_png
from spondyl.measure.cobb import cobb_from_corners, main_curve
from spondyl.measure.interval import Calibration
from spondyl.pipeline.film_reader import CALIBRATION, calibrations, look, weights_hash
from spondyl.pipeline.film_reading import FilmReading, read_film
from spondyl.report.film_record import film_json, film_record_of
from spondyl.systems.xray_to_corners import TOGETHER
from spondyl.weights import weights_folder


@pytest.fixture
def film() -> np.ndarray:
    return drawn(corners())


def read(path: Path, known: np.ndarray, answer_deg: float = 0.0, *, view: str | None = None) -> FilmReading:
    reader = StandIn()
    reader.knows(known, read_of(corners(answer_deg), lateral=0.03 if answer_deg == 0 else 0.97))
    return read_film(path, reader.reader(), view=view)  # type: ignore[arg-type]


def test_a_drawn_film_has_the_angles_of_its_spine(film: np.ndarray, tmp_path: Path) -> None:
    record = read(saved(film, tmp_path / "a.png"), film).record
    truth = main_curve(cobb_from_corners(corners()))
    assert truth is not None
    assert record.verdict == "accepted"
    assert record.view == "pa"
    assert record.curves[0].angle_deg == pytest.approx(truth.angle_deg, abs=0.02)
    assert record.levels == spine().levels


def test_a_negative_is_read_as_such_and_said(film: np.ndarray, tmp_path: Path) -> None:
    reading = read(saved(255 - film, tmp_path / "a.png"), film)
    assert reading.record.verdict == "accepted"
    assert reading.record.negative
    assert any("black and white exchanged" in note for note in reading.record.notes)
    assert float((reading.film.grey - torch.from_numpy(film / 255)).abs().max()) < 0.01  # shown bone bright
    assert not read(saved(film, tmp_path / "b.png"), film).record.negative


@pytest.mark.parametrize(
    ("quarters_ccw", "words"), [(1, "90 degrees clockwise"), (2, "upside down"), (3, "90 degrees counter-clockwise")]
)
def test_a_film_that_was_turned_is_refused_with_the_turn_that_mends_it(
    film: np.ndarray, tmp_path: Path, quarters_ccw: int, words: str
) -> None:
    record = read(saved(np.rot90(film, quarters_ccw), tmp_path / "a.png"), film).record
    assert record.verdict == "refused"
    assert words in record.reasons[0]
    assert record.angles == ()


def test_pixels_swap_sides_when_a_film_is_tried_turned() -> None:
    reader = StandIn()
    look(reader.reader(), torch.rand(200, 100), (1.0, 2.0), either_polarity=False)
    assert reader.pixels == [(1.0, 2.0), (2.0, 1.0), (1.0, 2.0), (2.0, 1.0)]


def test_a_large_film_is_looked_at_smaller_and_its_corners_come_back_in_its_own_pixels(
    film: np.ndarray, tmp_path: Path
) -> None:
    reader = StandIn()
    double, large = (np.repeat(np.repeat(film, k, 0), k, 1) for k in (2, 4))
    smaller = replace(corners(), corners_px=(corners().corners_px + 0.5) * 2 - 0.5)
    reader.knows(double, read_of(smaller, spread_px=0.05))  # so sure that nothing is steadied
    reading = read_film(saved(large, tmp_path / "a.png"), reader.reader())
    assert reading.corners is not None
    assert reading.corners.spread_px is not None
    expected = (corners().corners_px + 0.5) * 4 - 0.5
    assert torch.allclose(reading.corners.corners_px, expected, atol=0.05, equal_nan=True)
    assert bool((reading.corners.spread_px[0] > 0.1 * TOGETHER).all())
    assert bool((reading.corners.spread_px[0] < 0.1).all())


def test_sides_are_those_of_the_picture_until_the_file_tells(film: np.ndarray, tmp_path: Path) -> None:
    unknown = read(saved(film, tmp_path / "a.png"), film).record
    assert unknown.sides == "picture"
    assert any("as displayed" in note for note in unknown.notes)
    assert unknown.curves[0].side == "right"


@pytest.mark.parametrize(("along", "side"), [("R", "right"), ("L", "left")])
def test_dicom_tells_the_patients_sides_and_spacing(film: np.ndarray, tmp_path: Path, along: str, side: str) -> None:
    path = dicom(film, tmp_path, PatientOrientation=[along, "F"], ViewPosition="PA")
    record = read(path, film).record
    assert record.sides == "patient"
    assert record.curves[0].side == side
    assert record.claim == "pa"
    assert record.spacing_mm == (0.5, 0.5)
    assert not any("as displayed" in note for note in record.notes)


def test_balance_wants_a_spacing_that_holds_at_the_patient(film: np.ndarray, tmp_path: Path) -> None:
    at_detector = read(dicom(film, tmp_path, PatientOrientation=["R", "F"]), film).record
    assert at_detector.balance_mm is None
    assert any("balance is not measured" in s for s in at_detector.not_measured)
    known = {
        "PixelSpacing": [0.5, 0.5],
        "PixelSpacingCalibrationType": "FIDUCIAL",
        "PixelSpacingCalibrationDescription": "x",
    }
    record = read(dicom(film, tmp_path, PatientOrientation=["R", "F"], **known), film).record
    exact = corners()
    c7, s1 = exact.corners_px[0].mean(0), exact.corners_px[-1, :2].mean(0)
    assert record.balance_mm == pytest.approx(
        0.5 * float(c7[1] - s1[1]), abs=1e-2
    )  # columns grow to the patient's right


def test_a_dicom_film_is_read_in_its_own_polarity_alone(film: np.ndarray, tmp_path: Path) -> None:
    reader = StandIn()
    reader.knows(film, read_of(corners()))
    read_film(dicom(film, tmp_path), reader.reader())
    assert reader.asked == 1


def test_a_lateral_is_seen_as_one_and_its_facing_is_taken_from_the_spine(tmp_path: Path) -> None:
    film = drawn(corners(90.0))
    record = read(saved(film, tmp_path / "a.png"), film, 90.0).record
    assert (record.view, record.verdict, record.faces) == ("lateral", "accepted", "right")
    assert record.sagittal("Kyphosis T4–T12") is not None
    assert record.curves == ()
    assert any("was taken to look" in note for note in record.notes)


def test_a_lateral_given_as_pa_is_refused(tmp_path: Path) -> None:
    film = drawn(corners(90.0))
    record = read(saved(film, tmp_path / "a.png"), film, 90.0, view="pa").record
    assert record.verdict == "refused"
    assert "looks like a lateral" in record.reasons[0]


def test_a_png_of_ours_is_known_to_be_bone_bright_and_knows_its_sides(tmp_path: Path) -> None:
    exact = corners()
    assert exact.view is not None
    film = drawn(exact)
    radiograph = Radiograph(torch.from_numpy(film.astype(np.float32)) / 255 * 8, exact.view)
    write_png(radiograph, tmp_path / "a.png", window=(0.0, 8.0), text={})
    reader = StandIn()
    reader.knows(film, read_of(exact))
    record = read_film(tmp_path / "a.png", reader.reader()).record
    assert reader.asked == 1
    assert record.sides == "patient"
    assert record.curves[0].side == "right"


def test_gaps_between_levels_are_said(film: np.ndarray, tmp_path: Path) -> None:
    without = tuple(level for level in spine().levels if level not in ("T7", "L2"))
    reader = StandIn()
    reader.knows(film, read_of(corners(levels=without)))
    record = read_film(saved(film, tmp_path / "a.png"), reader.reader()).record
    assert "Not found between C7 and S1: T7, L2." in record.not_measured
    assert "T7" not in record.levels


def test_a_record_comes_back_from_its_json(film: np.ndarray, tmp_path: Path) -> None:
    for turned in (film, np.rot90(film)):
        record = read(saved(turned, tmp_path / "a.png"), film).record
        text = film_json(record)
        again = film_record_of(text.encode(), "a")
        assert film_json(again) == text
        assert replace(
            again, angles=(), lateral=None, level_sure=None, score=None, total=None, intervals=record.intervals
        ) == (replace(record, angles=(), lateral=None, level_sure=None, score=None, total=None))


@pytest.mark.parametrize("key", ["verdict", "angles", "levels", "intervals"])
def test_a_damaged_record_is_refused(film: np.ndarray, tmp_path: Path, key: str) -> None:
    body = json.loads(film_json(read(saved(film, tmp_path / "a.png"), film).record))
    for broken in ({**body, key: 7}, {k: v for k, v in body.items() if k != key}):
        with pytest.raises(ValueError, match=key):
            film_record_of(json.dumps(broken).encode(), "angles.json")


def test_calibration_is_nominal_until_there_is_one(tmp_path: Path) -> None:
    assert calibrations(tmp_path) == (Calibration.nominal(), Calibration.nominal())
    before = weights_hash(tmp_path)
    (tmp_path / CALIBRATION).write_text('{"coronal": {"confidence": 0.9, "factor": 2.1, "patients": 40}}')
    assert calibrations(tmp_path) == (Calibration(0.9, 2.1, 40), Calibration.nominal())
    assert weights_hash(tmp_path) != before  # another calibration, another reading
    (tmp_path / CALIBRATION).write_text("[1]")
    with pytest.raises(ValueError, match=CALIBRATION):
        calibrations(tmp_path)


def test_weights_that_are_not_there_are_one_line() -> None:
    with pytest.raises(ValueError, match="no weights of nobody"):
        weights_folder("nobody")


def dicom(film: np.ndarray, folder: Path, **attributes: object) -> Path:
    """A DX image of 0.5 mm pixels on the detector."""
    pydicom = pytest.importorskip("pydicom")
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID = "1.2.3.4", pydicom.uid.ExplicitVRLittleEndian
    ds = pydicom.dataset.FileDataset("x.dcm", {}, file_meta=meta, preamble=bytes(128))
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = meta.MediaStorageSOPClassUID, "1.2.3.4", "DX"
    ds.PhotometricInterpretation, ds.SamplesPerPixel, ds.PixelRepresentation = "MONOCHROME2", 1, 0
    ds.Rows, ds.Columns = film.shape
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.ImagerPixelSpacing, ds.PixelData = 7, [0.5, 0.5], np.ascontiguousarray(film).tobytes()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    path = folder / "film.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path
