"""Stored values to HU: rescale, padding, bits and compression, and one line for damaged pixels."""

from pathlib import Path

import gdcm
import numpy as np
import pytest
from made_series import (
    INTERCEPT,
    SLOPE,
    assert_is_field,
    ct_slice,
    even_positions,
    set_pixels,
    stored_values,
    write_series,
)
from one_line import notes, refused
from pydicom import Dataset, dcmread

from spondyl.io.volumes import read_ct


def test_each_slice_has_its_own_rescale(tmp_path: Path) -> None:
    def vary(k: int, ds: Dataset) -> None:
        hu = stored_values(ds) * SLOPE + INTERCEPT
        ds.RescaleSlope, ds.RescaleIntercept = 0.125 + 0.0625 * (k % 3), -1000 - k
        set_pixels(ds, np.round((hu - ds.RescaleIntercept) / ds.RescaleSlope))

    volume, source = read_ct(write_series(tmp_path / "s", change=vary))
    assert_is_field(volume, 0.2)
    assert "differ between slices" in " ".join(source.notes)


def test_a_missing_rescale_takes_stored_values_as_hu_and_says_so(tmp_path: Path) -> None:
    def bare(k: int, ds: Dataset) -> None:
        del ds.RescaleSlope, ds.RescaleIntercept
        set_pixels(ds, np.full((8, 8), 40 - 1000 * (k == 0)))

    volume, source = read_ct(write_series(tmp_path / "s", change=bare))
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

    volume, source = read_ct(write_series(tmp_path / "s", change=pad))
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

    volume, source = read_ct(write_series(tmp_path / "s", change=pad))
    assert "would be 40 HU, which is tissue" in " ".join(source.notes)
    assert_is_field(volume)


def test_unused_high_bits_do_not_reach_the_hu(tmp_path: Path) -> None:
    def overlay(k: int, ds: Dataset) -> None:
        stored = stored_values(ds).astype(np.int32) // 4 + 1024
        set_pixels(ds, stored | 0xF000, signed=False)
        ds.BitsStored, ds.HighBit, ds.RescaleSlope, ds.RescaleIntercept = 12, 11, 0.5, -1024 - 512

    assert_is_field(read_ct(write_series(tmp_path / "s", change=overlay))[0], 0.6)


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
    plain = read_ct(folder)[0]
    recompress(folder, name)
    assert {str(dcmread(p).file_meta.TransferSyntaxUID) for p in folder.iterdir()} == {SYNTAXES[name]}
    assert bool((read_ct(folder)[0].hu == plain.hu).all())


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


def test_lossy_compression_is_noted(tmp_path: Path) -> None:
    assert "with loss" in notes(
        write_series(tmp_path / "s", change=lambda k, ds: setattr(ds, "LossyImageCompression", "01"))
    )
