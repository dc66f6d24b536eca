"""DX out and back: depth, view, validity, marking, sides (longer than 300 lines: one attribute of the standard a test)."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from dciodvfy import complaints, report
from dx_files import dx, ramp, saved
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, config, dcmread
from pydicom.pixels.processing import apply_windowing
from test_png import same_view

from spondyl.geometry import View
from spondyl.images import Radiograph
from spondyl.io.dicom_marking import strict_values
from spondyl.io.dicom_write import DEPTH_HIGH, Exposure, read_dx_radiograph, write_dx
from spondyl.io.radiograph_read import read_radiograph
from spondyl.io.source import Source

EXPOSURE = Exposure(90.0, 20.0, "0.1 mm Cu", 1500.0, "full spine 180 cm", "PA")
SIMULATED = Source(Path("case-0007"), "simulated")
HOSPITAL = Source(
    Path("ct"), "dicom", sha256="ab" * 32,
    dicom={
        "PatientID": "4711", "PatientName": "Curve^Ünique", "PatientBirthDate": "20080229", "PatientSex": "F",
        "StudyInstanceUID": "1.2.3.4", "StudyID": "77", "StudyDate": "20240105", "StudyTime": "101500",
        "AccessionNumber": "A1", "ReferringPhysicianName": "Who^Dr", "SeriesInstanceUID": "1.2.3.4.5", "Modality": "CT",
    },
    instances=(("1.2.840.10008.5.1.4.1.1.2", "1.2.3.4.5.1"), ("1.2.840.10008.5.1.4.1.1.2", "1.2.3.4.5.2")),
)  # fmt: skip


def radiograph(angle_deg: float = 0.0, *, beam: str = "cone", tilt_deg: float = 0.0) -> Radiograph:
    view = View.around(
        (3, -7, 111),
        angle_deg=angle_deg,
        tilt_deg=tilt_deg,
        beam=beam,
        shape_px=(48, 40),
        pixel_spacing_mm=(0.31, 0.27),
    )
    return Radiograph(torch.rand(48, 40, generator=torch.Generator().manual_seed(1)) * 9, view)


def written(folder: Path, image: Radiograph, *, source: Source = SIMULATED, exposure: Exposure = EXPOSURE) -> Path:
    path = folder / "x.dcm"
    write_dx(image, path, source=source, exposure=exposure, derivation="Projected from a virtual patient")
    return path


@settings(max_examples=15, deadline=None)
@given(st.floats(-720, 720), st.floats(-40, 40), st.sampled_from(["cone", "slot", "parallel"]))
def test_depth_and_view_come_back(angle_deg: float, tilt_deg: float, beam: str) -> None:
    sent = radiograph(angle_deg, tilt_deg=tilt_deg, beam=beam)
    with tempfile.TemporaryDirectory() as folder:
        back = read_dx_radiograph(written(Path(folder), sent))
    assert same_view(back.view, sent.view)
    assert float((back.optical_depth - sent.optical_depth).abs().max()) <= 0.0005 + 1e-6


def test_any_reader_gets_optical_depth_from_the_real_world_value_mapping(tmp_path: Path) -> None:
    sent = radiograph(90)
    ds = dcmread(written(tmp_path, sent))
    scale = ds.RealWorldValueMappingSequence[0]
    depth = ds.pixel_array * scale.RealWorldValueSlope + scale.RealWorldValueIntercept
    np.testing.assert_allclose(depth, sent.optical_depth.numpy(), atol=0.000501)
    assert (ds.RescaleSlope, ds.RescaleIntercept, ds.BitsStored) == (1, 0, 14)


def test_stored_numbers_do_not_depend_on_the_image(tmp_path: Path) -> None:
    dim = radiograph().map(lambda d: d * 0 + 1.25)
    assert np.unique(dcmread(written(tmp_path, dim)).pixel_array).tolist() == [1750]


def test_clipped_pixels_are_counted_in_the_header(tmp_path: Path) -> None:
    metal = radiograph()
    metal.optical_depth[:2, :5] = 30
    path = written(tmp_path, metal)
    assert "10 pixels beyond" in dcmread(path).ContributingEquipmentSequence[0].ContributionDescription
    assert float(read_dx_radiograph(path).optical_depth[0, 0]) == pytest.approx(DEPTH_HIGH)


@pytest.mark.parametrize("beam", ["cone", "slot", "parallel"])
@pytest.mark.parametrize("angle_deg", [0.0, 30.0, 90.0, 180.0, 225.0, 270.0])
def test_the_validator_finds_no_error(tmp_path: Path, beam: str, angle_deg: float) -> None:
    source = HOSPITAL if angle_deg < 100 else SIMULATED
    path = written(tmp_path, radiograph(angle_deg, beam=beam, tilt_deg=angle_deg / 20), source=source)
    assert complaints(path) == []


def test_the_validator_finds_no_error_where_little_is_known(tmp_path: Path) -> None:
    path = written(tmp_path, radiograph(), exposure=Exposure(None, None, "", None, "", ""))
    assert complaints(path) == []


def test_the_validator_would_find_one(tmp_path: Path) -> None:
    path = written(tmp_path, radiograph())
    ds = dcmread(path)
    del ds.PositionerType
    ds.save_as(path)
    assert complaints(path)
    assert any("PositionerType" in line for line in report(path))


def test_the_marking_is_complete(tmp_path: Path) -> None:
    ds = dcmread(written(tmp_path, radiograph(), source=HOSPITAL))
    assert ds.SyntheticData == "YES"
    assert list(ds.ImageType[:2]) == ["DERIVED", "SECONDARY"]
    assert ds.SeriesDescription.startswith("SYNTHETIC")
    assert "Projected from a virtual patient" in ds.DerivationDescription
    assert "not acquired with X-rays" in ds.DerivationDescription
    made_by = ds.ContributingEquipmentSequence[0]
    purpose = made_by.PurposeOfReferenceCodeSequence[0]
    assert (purpose.CodeValue, purpose.CodingSchemeDesignator) == ("109100", "DCM")
    assert made_by.ManufacturerModelName == "spondyl"
    assert "90 kV, 20 mAs, 0.1 mm Cu" in made_by.ContributionDescription
    assert [item.ReferencedSOPInstanceUID for item in ds.SourceImageSequence] == ["1.2.3.4.5.1", "1.2.3.4.5.2"]
    assert {item.SpatialLocationsPreserved for item in ds.SourceImageSequence} == {"NO"}
    assert (ds.BurnedInAnnotation, ds.RecognizableVisualFeatures) == ("NO", "NO")


def test_the_study_and_patient_are_those_of_the_source_in_a_new_series(tmp_path: Path) -> None:
    ds = dcmread(written(tmp_path, radiograph(), source=HOSPITAL))
    for keyword, value in HOSPITAL.dicom.items():
        if keyword not in ("SeriesInstanceUID", "Modality"):
            assert str(ds[keyword].value) == value
    assert ds.SeriesInstanceUID != "1.2.3.4.5"
    assert ds.SeriesInstanceUID.startswith("2.25.")


def test_a_sources_invalid_identity_is_repeated_letter_for_letter(tmp_path: Path) -> None:
    # another spelling would be another patient to an archive
    odd = {"PatientSex": "female", "StudyInstanceUID": "1.2.03", "AccessionNumber": "N" * 20}
    path = written(tmp_path, radiograph(), source=replace(HOSPITAL, dicom={**HOSPITAL.dicom, **odd}))
    with config.disable_value_validation():
        ds = dcmread(path)
        assert (str(ds.PatientSex), str(ds.StudyInstanceUID), ds.AccessionNumber) == ("female", "1.2.03", "N" * 20)


def test_two_views_of_one_made_up_patient_share_patient_and_study(tmp_path: Path) -> None:
    a, b = (dcmread(written(tmp_path, radiograph(angle))) for angle in (0.0, 90.0))
    other = dcmread(written(tmp_path, radiograph(), source=Source(Path("case-0008"), "simulated")))
    assert str(a.PatientName).startswith("SYNTH^")
    assert (a.PatientID, a.StudyInstanceUID) == (b.PatientID, b.StudyInstanceUID)
    assert a.SOPInstanceUID != b.SOPInstanceUID
    assert a.SeriesInstanceUID != b.SeriesInstanceUID
    assert a.PatientID != other.PatientID
    assert a.StudyInstanceUID != other.StudyInstanceUID


def test_writing_twice_gives_the_same_bytes_and_another_pixel_another_instance(tmp_path: Path) -> None:
    first = written(tmp_path, radiograph()).read_bytes()
    assert written(tmp_path, radiograph()).read_bytes() == first
    changed = radiograph()
    changed.optical_depth[0, 0] += 1
    before, after = dcmread(written(tmp_path, radiograph())), dcmread(written(tmp_path, changed))
    assert before.SOPInstanceUID != after.SOPInstanceUID


@pytest.mark.parametrize(
    ("angle_deg", "orientation", "position", "code", "flipped"),
    [
        (0, ["L", "F"], "PA", "272479007", True),
        (90, ["A", "F"], "LL", "399173006", False),
        (180, ["L", "F"], "AP", "399348003", False),
        (270, ["P", "F"], "RL", "399198007", False),
        (30, ["LP", "F"], None, "399135007", True),
        (60, ["AR", "F"], None, "399135007", False),
    ],
)
def test_the_header_says_where_the_patients_sides_are(
    tmp_path: Path, angle_deg: float, orientation: list[str], position: str | None, code: str, flipped: bool
) -> None:
    sent = radiograph(angle_deg)
    ds = dcmread(written(tmp_path, sent))
    assert list(ds.PatientOrientation) == orientation
    assert ds.get("ViewPosition") == position
    assert ds.ViewCodeSequence[0].CodeValue == code
    columns = sent.optical_depth.numpy()
    np.testing.assert_allclose(ds.pixel_array * 0.001 - 0.5, columns[:, ::-1] if flipped else columns, atol=0.000501)


def test_spacing_at_the_patient_follows_the_magnification(tmp_path: Path) -> None:
    for beam, rows in (("cone", 1.2), ("slot", 1.0)):
        ds = dcmread(written(tmp_path, radiograph(beam=beam)))
        assert list(ds.ImagerPixelSpacing) == [0.31, 0.27]
        assert list(ds.PixelSpacing) == pytest.approx([0.31 / rows, 0.27 / 1.2])
        assert float(ds.EstimatedRadiographicMagnificationFactor) == pytest.approx(1.2)
        assert (ds.DistanceSourceToDetector, ds.DistanceSourceToPatient) == (1800, 1500)
        assert ds.PixelSpacingCalibrationType == "GEOMETRY"
    flat = dcmread(written(tmp_path, radiograph(beam="parallel")))
    assert list(flat.PixelSpacing) == [0.31, 0.27]
    assert "DistanceSourceToDetector" not in flat


def test_without_a_patient_plane_nothing_claims_to_be_calibrated(tmp_path: Path) -> None:
    path = written(tmp_path, radiograph(), exposure=replace(EXPOSURE, source_to_patient_mm=None))
    ds = dcmread(path)
    assert "PixelSpacingCalibrationType" not in ds
    assert "EstimatedRadiographicMagnificationFactor" not in ds
    film, _ = read_radiograph(path)
    assert (film.spacing_mm, film.spacing_kind) == ((0.31, 0.27), "detector")


def test_our_file_read_as_a_film_is_bone_bright_and_says_what_it_is(tmp_path: Path) -> None:
    sent = radiograph()
    path = written(tmp_path, sent, source=HOSPITAL)
    film, source = read_radiograph(path)
    ds = dcmread(path)
    np.testing.assert_allclose(film.grey.numpy(), apply_windowing(ds.pixel_array, ds) / (2**14 - 1), atol=1e-5)
    depth, grey = sent.optical_depth.flip(-1).flatten(), film.grey.flatten()
    assert float(torch.corrcoef(torch.stack([depth, grey]))[0, 1]) > 0.95
    assert (film.view_position, film.patient_orientation, film.spacing_kind) == ("PA", ("L", "F"), "patient")
    assert any("synthetic" in note for note in source.notes)
    assert source.dicom["StudyInstanceUID"] == "1.2.3.4"


def test_titles_and_derivations_are_fitted_or_refused(tmp_path: Path) -> None:
    long = replace(EXPOSURE, view_name="PA\\lateral\n" + "very " * 30)
    path = written(tmp_path, radiograph(), exposure=long)
    assert isinstance(dcmread(path).SeriesDescription, str)
    assert len(dcmread(path).SeriesDescription) <= 64
    for derivation, said in (("", "derivation is empty"), ("x" * 1100, "DICOM allows 1024")):
        with pytest.raises(ValueError, match=said):
            write_dx(radiograph(), tmp_path / "y.dcm", source=SIMULATED, exposure=EXPOSURE, derivation=derivation)
    assert not (tmp_path / "y.dcm").exists()


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_an_impossible_exposure_is_refused(value: float) -> None:
    for name in ("kvp", "mas", "source_to_patient_mm"):
        with pytest.raises(ValueError, match=name):
            replace(EXPOSURE, **{name: value})


def test_nonsense_is_refused_in_one_line(tmp_path: Path) -> None:
    two = Radiograph(torch.zeros(2, 48, 40), View(torch.eye(4).expand(2, 4, 4), torch.ones(2), (1.0, 1.0), (48, 40)))
    behind = replace(EXPOSURE, source_to_patient_mm=1900.0)
    for image, exposure, said in (
        (two, EXPOSURE, "batch"),
        (radiograph().map(lambda d: d * float("nan")), EXPOSURE, "NaN"),
        (radiograph(), behind, "source_to_patient_mm is 1900"),
    ):
        with pytest.raises(ValueError, match=said) as caught:
            written(tmp_path, image, exposure=exposure)
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder is wanted")
    with pytest.raises(OSError, match="cannot write") as caught:
        written(tmp_path / "taken", radiograph())
    assert "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize(
    ("error", "said"),
    [(OSError(28, "No space left on device"), "no space left on device"), (OSError("Torn\nTraceback\n"), "torn;")],
)
def test_a_failed_write_leaves_the_earlier_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, said: str
) -> None:
    path = written(tmp_path, radiograph())
    before = path.read_bytes()

    def full(*args: object, **named: object) -> None:
        raise error

    monkeypatch.setattr(Dataset, "save_as", full)
    with pytest.raises(OSError, match=said) as caught:
        written(tmp_path, radiograph(90))
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.dcm"]


def test_pydicoms_modes_are_as_before_after_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config.settings, "reading_validation_mode", config.WARN)
    monkeypatch.setattr(config.settings, "writing_validation_mode", config.IGNORE)
    written(tmp_path, radiograph())
    assert config.settings.reading_validation_mode == config.WARN
    assert config.settings.writing_validation_mode == config.IGNORE


def test_a_value_that_dicom_does_not_allow_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Invalid value|not an allowed"), strict_values():
        Dataset().PatientSex = "female"


def test_what_we_did_not_write_is_no_radiograph_of_ours(tmp_path: Path) -> None:
    text = tmp_path / "text.dcm"
    text.write_text("no DICOM")
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(written(tmp_path, radiograph()).read_bytes()[:-100])
    for path in (saved(dx(ramp()), tmp_path), text, cut):
        with pytest.raises(ValueError, match="read it as a film") as caught:
            read_dx_radiograph(path)
        assert "\n" not in str(caught.value)
