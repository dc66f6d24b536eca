"""DICOM CT folders and multi-frame files: the voxel of every pixel must lie where the standard says."""

from pathlib import Path

import gdcm
import numpy as np
import pytest
from made_series import (
    AXIAL,
    INTERCEPT,
    SLOPE,
    ct_slice,
    enhanced_ct,
    even_positions,
    field_hu,
    normal,
    save,
    set_pixels,
    stored_values,
    write_series,
)
from pydicom import Dataset, dcmread
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from spondyl.images import Volume
from spondyl.io.source import Source
from spondyl.io.volumes import read_ct

ORIENTATIONS = {
    "axial": AXIAL,
    "feet first, shown from above": (-1, 0, 0, 0, 1, 0),
    "prone": (-1, 0, 0, 0, -1, 0),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "coronal": (1, 0, 0, 0, 0, -1),
    "oblique": (0.8, 0.6, 0, -0.36, 0.48, 0.8),
}


def assert_is_field(volume: Volume, within_hu: float = SLOPE / 2 + 1e-3) -> None:
    """Every voxel holds the HU that the field has where the affine says it lies."""
    z, y, x = np.indices(volume.hu.shape)
    m = volume.world_from_voxel.double().numpy()
    points = np.stack([x, y, z], axis=-1) @ m[:3, :3].T + m[:3, 3]
    assert np.abs(volume.hu.numpy() - field_hu(points)).max() <= within_hu


def read(path: Path) -> tuple[Volume, Source]:
    return read_ct(path)


def refused(path: Path, *words: str) -> str:
    """The one-line refusal, which must name these words."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the words below are the match)
        read_ct(path)
    text = str(caught.value)
    assert "\n" not in text
    assert all(word in text for word in words), text
    return text


def notes(path: Path) -> str:
    return " | ".join(read_ct(path)[1].notes)


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_every_voxel_lies_where_position_and_orientation_say(tmp_path: Path, name: str) -> None:
    orientation = ORIENTATIONS[name]
    folder = write_series(tmp_path / "s", even_positions(orientation=orientation), orientation=orientation)
    volume, _ = read(folder)
    assert volume.hu.shape == (12, 8, 8)
    assert_is_field(volume)


def test_slices_are_sorted_by_position_and_not_by_name_or_number(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s")
    names = sorted(p.name for p in folder.iterdir())
    heights = [float(dcmread(folder / n).ImagePositionPatient[2]) for n in names]
    assert heights != sorted(heights), "the test must scramble the names"
    volume, _ = read(folder)
    assert_is_field(volume)


def test_non_square_pixels_and_grids_keep_their_axes(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", spacing=(0.5, 2.0), size=(6, 9))
    volume, _ = read(folder)
    assert volume.hu.shape == (12, 6, 9)
    assert volume.spacing_mm == pytest.approx((2.0, 0.5, 2.5))
    assert_is_field(volume)


def test_a_tilted_gantry_gives_a_sheared_affine_exactly(tmp_path: Path) -> None:
    lean = np.array([0.0, 2.5 * np.tan(np.radians(15)), 2.5])
    folder = write_series(tmp_path / "s", [np.array([1.0, 2.0, 3.0]) + lean * k for k in range(12)])
    volume, source = read(folder)
    assert_is_field(volume)
    assert volume.world_from_voxel[:3, 2].tolist() == pytest.approx(lean.tolist())
    assert "sheared by 15.0 degrees" in " ".join(source.notes)


def test_positions_rounded_to_a_tenth_of_a_millimetre_are_an_even_stack(tmp_path: Path) -> None:
    places = [np.array([0.0, 0.0, round(0.625 * k, 1)]) for k in range(16)]
    volume, source = read(write_series(tmp_path / "s", places))
    assert volume.spacing_mm[2] == pytest.approx(0.625, abs=0.003)
    assert "jitter" in " ".join(source.notes)


def test_a_missing_slice_is_refused_and_its_place_named(tmp_path: Path) -> None:
    places = even_positions()
    refused(write_series(tmp_path / "s", places[:4] + places[6:]), "2 slices are missing", "23.0, 25.5")


def test_uneven_slices_are_refused(tmp_path: Path) -> None:
    heights = [0, 2, 4, 6, 9, 12, 15, 18, 20, 22, 24.0]
    refused(write_series(tmp_path / "s", [np.array([0.0, 0.0, h]) for h in heights]), "unevenly", "2 to 3 mm")


def test_copies_at_one_place_are_dropped_with_a_note(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s")
    copy = dcmread(sorted(folder.iterdir())[0])
    copy.SOPInstanceUID = generate_uid()
    save(copy, folder / "copy.dcm")
    volume, source = read(folder)
    assert volume.hu.shape[0] == len(source.instances) == 12
    assert "1 slices are copies" in " ".join(source.notes)
    assert_is_field(volume)


def test_one_object_stored_twice_is_read_once(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s")
    first = sorted(folder.iterdir())[0]
    (folder / "again.dcm").write_bytes(first.read_bytes())
    volume, source = read(folder)
    assert volume.hu.shape[0] == 12
    assert source.notes == ("1 files are copies of others, byte for byte; dropped",)


def test_two_phases_in_one_series_are_refused(tmp_path: Path) -> None:
    def phase(k: int, ds: Dataset) -> None:
        ds.AcquisitionNumber = 1 + k // 12
        if k >= 12:
            set_pixels(ds, stored_values(ds) + 80)

    refused(
        write_series(tmp_path / "s", even_positions() * 2, change=phase),
        "12 of 12 slice positions",
        "AcquisitionNumber",
        "pass a folder with one",
    )


def test_each_slice_has_its_own_rescale(tmp_path: Path) -> None:
    def vary(k: int, ds: Dataset) -> None:
        hu = stored_values(ds) * SLOPE + INTERCEPT
        ds.RescaleSlope, ds.RescaleIntercept = 0.125 + 0.0625 * (k % 3), -1000 - k
        set_pixels(ds, np.round((hu - ds.RescaleIntercept) / ds.RescaleSlope))

    volume, source = read(write_series(tmp_path / "s", change=vary))
    assert_is_field(volume, 0.2)
    assert "differ between slices" in " ".join(source.notes)


def test_a_missing_rescale_takes_stored_values_as_hu_and_says_so(tmp_path: Path) -> None:
    def bare(k: int, ds: Dataset) -> None:
        del ds.RescaleSlope, ds.RescaleIntercept
        set_pixels(ds, np.full((8, 8), 40 - 1000 * (k == 0)))

    volume, source = read(write_series(tmp_path / "s", change=bare))
    assert sorted(set(volume.hu.unique().tolist())) == [-960.0, 40.0]
    assert "12 slices have no RescaleSlope" in " ".join(source.notes)


def test_a_rescale_slope_of_zero_is_refused(tmp_path: Path) -> None:
    refused(write_series(tmp_path / "s", change=lambda k, ds: setattr(ds, "RescaleSlope", 0)), "RescaleSlope 0")


def test_a_rescale_that_is_not_hu_is_noted(tmp_path: Path) -> None:
    assert "RescaleType is US" in notes(
        write_series(tmp_path / "s", change=lambda k, ds: setattr(ds, "RescaleType", "US"))
    )


def test_padding_is_air_even_where_its_vr_forgot_the_sign(tmp_path: Path) -> None:
    def pad(k: int, ds: Dataset) -> None:
        stored = stored_values(ds).copy()
        stored[0, :4] = -2000
        set_pixels(ds, stored)
        ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
        ds.add_new("PixelPaddingValue", "US", 65536 - 2000)

    volume, source = read(write_series(tmp_path / "s", change=pad))
    assert volume.hu[:, 0, :4].unique().tolist() == [-1000.0]
    assert "48 voxels (6.2 %) are marked as padding" in " ".join(source.notes)


def test_a_padding_range_is_air_from_end_to_end(tmp_path: Path) -> None:
    def pad(k: int, ds: Dataset) -> None:
        stored = stored_values(ds).copy()
        stored[0, :4] = (-32768, -32000, -31000, -20000)
        set_pixels(ds, stored)
        ds.add_new("PixelPaddingValue", "SS", -32768)
        ds.add_new("PixelPaddingRangeLimit", "SS", -31000)

    text = notes(write_series(tmp_path / "s", change=pad))
    assert "36 voxels" in text
    assert "12 voxels (1.6 %) lie below -1500 HU" in text


def test_a_padding_value_that_would_be_tissue_is_not_believed(tmp_path: Path) -> None:
    def pad(k: int, ds: Dataset) -> None:
        ds.add_new("PixelPaddingValue", "SS", int((40 - INTERCEPT) / SLOPE))

    volume, source = read(write_series(tmp_path / "s", change=pad))
    assert "would be 40 HU, which is tissue" in " ".join(source.notes)
    assert_is_field(volume)


def test_unused_high_bits_do_not_reach_the_hu(tmp_path: Path) -> None:
    def overlay(k: int, ds: Dataset) -> None:
        stored = stored_values(ds).astype(np.int32) // 4 + 1024
        set_pixels(ds, stored | 0xF000, signed=False)
        ds.BitsStored, ds.HighBit, ds.RescaleSlope, ds.RescaleIntercept = 12, 11, 0.5, -1024 - 512

    assert_is_field(read(write_series(tmp_path / "s", change=overlay))[0], 0.6)


SYNTAXES = {
    "JPEGLosslessProcess14": "1.2.840.10008.1.2.4.57",
    "JPEGLosslessProcess14_1": "1.2.840.10008.1.2.4.70",
    "JPEGLSLossless": "1.2.840.10008.1.2.4.80",
    "JPEG2000Lossless": "1.2.840.10008.1.2.4.90",
    "RLELossless": "1.2.840.10008.1.2.5",
    "ExplicitVRBigEndian": "1.2.840.10008.1.2.2",
    "ImplicitVRLittleEndian": "1.2.840.10008.1.2",
}


def recompress(folder: Path, name: str) -> None:
    for path in folder.iterdir():
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(path))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, name)))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()


@pytest.mark.parametrize("name", SYNTAXES)
def test_lossless_transfer_syntaxes_give_the_same_hu(tmp_path: Path, name: str) -> None:
    folder = write_series(tmp_path / "s")
    plain = read(folder)[0]
    recompress(folder, name)
    assert {str(dcmread(p).file_meta.TransferSyntaxUID) for p in folder.iterdir()} == {SYNTAXES[name]}
    assert bool((read(folder)[0].hu == plain.hu).all())


def test_a_missing_decoder_is_named_in_one_line(tmp_path: Path) -> None:
    def high_throughput(k: int, ds: Dataset) -> None:
        from pydicom.encaps import encapsulate

        ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.201"
        ds.PixelData = encapsulate([b"\xff\x4f\xff\x51" + bytes(64)])
        ds["PixelData"].VR = "OB"

    refused(write_series(tmp_path / "s", change=high_throughput), "no decoder for", "High-Throughput", "pip install")


def test_damaged_compressed_pixels_are_refused_in_one_line(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s")
    recompress(folder, "JPEGLosslessProcess14_1")
    path = sorted(folder.iterdir())[5]
    path.write_bytes(path.read_bytes()[:-60])
    refused(folder, path.name, "cannot be read")


def test_an_unknown_transfer_syntax_is_refused(tmp_path: Path) -> None:
    def unknown(k: int, ds: Dataset) -> None:
        ds.file_meta.TransferSyntaxUID = "1.2.3.4.5"

    folder = tmp_path / "s"
    folder.mkdir()
    for k, position in enumerate(even_positions()):
        ds = ct_slice(position)
        unknown(k, ds)
        ds.save_as(folder / f"{k}.dcm", implicit_vr=False, little_endian=True, enforce_file_format=True)
    refused(folder, "cannot be read")


def test_a_file_without_preamble_and_meta_group_is_read(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    for k, position in enumerate(even_positions()):
        ds = ct_slice(position)
        del ds.file_meta
        ds.save_as(tmp_path / "s" / f"{k}", implicit_vr=True, little_endian=True)
    assert_is_field(read(tmp_path / "s")[0])


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_a_slice_without_its_place_is_refused(tmp_path: Path, keyword: str) -> None:
    refused(write_series(tmp_path / "s", change=lambda k, ds: delattr(ds, keyword)), f"has no {keyword}")


@pytest.mark.parametrize(
    ("keyword", "value", "word"),
    [
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0], "perpendicular"),
        ("ImageOrientationPatient", [0, 0, 0, 0, 0, 0], "perpendicular"),
        ("PixelSpacing", [0, 1], "positive"),
        ("ImagePositionPatient", [0, 0], "wanted 3 finite numbers"),
    ],
)
def test_a_slice_with_a_nonsense_place_is_refused(tmp_path: Path, keyword: str, value: list[float], word: str) -> None:
    refused(write_series(tmp_path / "s", change=lambda k, ds: setattr(ds, keyword, value)), keyword, word)


def test_colour_images_are_refused(tmp_path: Path) -> None:
    def colour(k: int, ds: Dataset) -> None:
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
        ds.BitsAllocated = ds.BitsStored = 8
        ds.HighBit, ds.PixelRepresentation, ds.PixelData = 7, 0, bytes(8 * 8 * 3)

    refused(write_series(tmp_path / "s", change=colour), "colour")


def test_a_truncated_slice_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s")
    path = sorted(folder.iterdir())[3]
    path.write_bytes(path.read_bytes()[:-50])
    refused(folder, path.name)


@pytest.mark.parametrize("length", [340, 420, 500, 700, 900])
def test_a_slice_cut_in_its_header_is_refused_by_name(tmp_path: Path, length: int) -> None:
    folder = write_series(tmp_path / "s")
    path = sorted(folder.iterdir())[3]
    path.write_bytes(path.read_bytes()[:length])
    refused(folder, path.name)


def test_enhanced_multi_frame_ct_takes_place_and_rescale_from_each_frame(tmp_path: Path) -> None:
    places = even_positions()
    path = save(enhanced_ct([places[k] for k in (3, 0, 2, 1, 5, 4, 7, 6, 9, 8, 11, 10)]), tmp_path / "multi.dcm")
    volume, source = read(path)
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
    volume, source = read(tmp_path / "s")
    assert_is_field(volume)
    text = " ".join(source.notes)
    assert "'scout' (CT localizer, 2 images" in text
    assert "'dose' (CT screenshot, 11 images" in text
    assert "1 DICOM objects without pixels (SR)" in text


def test_other_modalities_are_refused(tmp_path: Path) -> None:
    refused(write_series(tmp_path / "s", change=lambda k, ds: setattr(ds, "Modality", "MR")), "no CT slices", "(MR")


def test_the_source_repeats_identity_and_names_every_instance(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s")
    _, source = read(folder)
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
    before = read(folder)[1].sha256
    for k, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"other{k}")
    assert read(folder)[1].sha256 == before
    assert len(before) == 64


def test_lossy_compression_is_noted(tmp_path: Path) -> None:
    assert "with loss" in notes(
        write_series(tmp_path / "s", change=lambda k, ds: setattr(ds, "LossyImageCompression", "01"))
    )


def test_slices_of_different_pixel_grids_at_one_orientation_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "s", even_positions(12))
    places = [p + normal(AXIAL) * 30 for p in even_positions(12)]
    write_series(tmp_path / "s" / "b", places, spacing=(2.0, 2.0))
    refused(tmp_path / "s", "2 stacks")


def test_uncompressed_syntaxes_of_the_test_series_are_what_they_say() -> None:
    ds = ct_slice(np.zeros(3))
    assert ds.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian != ImplicitVRLittleEndian
