"""Which images make up the CT, multi-frame files, and what the source repeats of them."""

from pathlib import Path

import numpy as np
from made_series import (
    AXIAL,
    ORIENTATIONS,
    SLOPE,
    assert_is_field,
    ct_slice,
    enhanced_ct,
    even_positions,
    normal,
    save,
    write_series,
)
from one_line import refused
from pydicom import Dataset, dcmread
from pydicom.uid import SecondaryCaptureImageStorage

from spondyl.io.volumes import read_ct


def test_enhanced_multi_frame_ct_takes_place_and_rescale_from_each_frame(tmp_path: Path) -> None:
    places = even_positions()
    path = save(enhanced_ct([places[k] for k in (3, 0, 2, 1, 5, 4, 7, 6, 9, 8, 11, 10)]), tmp_path / "multi.dcm")
    volume, source = read_ct(path)
    assert_is_field(volume, SLOPE)
    assert len(source.instances) == 1


def test_multi_frame_without_places_is_refused(tmp_path: Path) -> None:
    ds = enhanced_ct(even_positions())
    del ds.PerFrameFunctionalGroupsSequence
    refused(save(ds, tmp_path / "multi.dcm"), "12 frames and no place")


def test_multi_frame_with_too_few_places_is_refused(tmp_path: Path) -> None:
    ds = enhanced_ct(even_positions())
    ds.PerFrameFunctionalGroupsSequence = ds.PerFrameFunctionalGroupsSequence[:7]
    refused(save(ds, tmp_path / "multi.dcm"), "12 frames and 7 places")


def test_one_slice_is_no_volume(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s")
    refused(sorted(folder.iterdir())[0], "one CT slice", "whole series")


def test_two_series_are_refused_with_a_list(tmp_path: Path) -> None:
    write_series(tmp_path / "s", series="1.2.3.11")
    write_series(
        tmp_path / "s",
        even_positions(15),
        series="1.2.3.22",
        change=lambda k, ds: setattr(ds, "SeriesDescription", "bone"),
    )
    refused(tmp_path / "s", "2 stacks", "'bone' (CT, 15 images", "'made' (CT, 12 images", "pass a folder with one")


def test_axial_and_coronal_slices_under_one_series_are_told_apart(tmp_path: Path) -> None:
    write_series(tmp_path / "s")
    coronal = ORIENTATIONS["coronal"]
    write_series(tmp_path / "s" / "c", even_positions(14, orientation=coronal), orientation=coronal)
    refused(tmp_path / "s", "2 stacks", "14 images", "12 images")


def test_scouts_screenshots_and_reports_beside_one_series_are_left_out_with_a_note(tmp_path: Path) -> None:
    write_series(tmp_path / "s")

    def scout(k: int, ds: Dataset) -> None:
        ds.ImageType, ds.SeriesDescription = ["ORIGINAL", "PRIMARY", "LOCALIZER"], "scout"

    def screenshot(k: int, ds: Dataset) -> None:
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
        ds.SeriesDescription = "dose"

    write_series(tmp_path / "s", even_positions(2), series="1.2.3.5", change=scout)
    write_series(tmp_path / "s", even_positions(11), series="1.2.3.6", change=screenshot)
    report = ct_slice(np.zeros(3), series="1.2.3.7")
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    report.Modality = "SR"
    for keyword in ("Rows", "Columns", "PixelData"):
        del report[keyword]
    save(report, tmp_path / "s" / "report.dcm")
    volume, source = read_ct(tmp_path / "s")
    assert_is_field(volume)
    text = " ".join(source.notes)
    assert "'scout' (CT localizer, 2 images" in text
    assert "'dose' (CT screenshot, 11 images" in text
    assert "1 DICOM objects without pixels (SR)" in text


def test_other_modalities_are_refused(tmp_path: Path) -> None:
    refused(write_series(tmp_path / "s", change=lambda k, ds: setattr(ds, "Modality", "MR")), "no CT slices", "(MR")


def test_the_source_repeats_identity_and_names_every_instance(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s")
    _, source = read_ct(folder)
    assert source.kind == "dicom"
    assert source.dicom["PatientID"] == "MADE"
    assert source.dicom["PatientName"] == "Made^Series"
    assert source.dicom["FrameOfReferenceUID"] == "1.2.9"
    assert "StudyTime" not in source.dicom, "what the files do not say is not there"
    uids = {str(dcmread(p).SOPInstanceUID) for p in folder.iterdir()}
    assert {uid for _, uid in source.instances} == uids
    assert {cls for cls, _ in source.instances} == {"1.2.840.10008.5.1.4.1.1.2"}


def test_the_hash_is_the_content_s_and_not_the_names(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s")
    before = read_ct(folder)[1].sha256
    for k, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"other{k}")
    assert read_ct(folder)[1].sha256 == before
    assert len(before) == 64


def test_slices_of_different_pixel_grids_at_one_orientation_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "s", even_positions(12))
    places = [p + normal(AXIAL) * 30 for p in even_positions(12)]
    write_series(tmp_path / "s" / "b", places, spacing=(2.0, 2.0))
    refused(tmp_path / "s", "2 stacks")
