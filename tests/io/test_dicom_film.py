"""DICOM radiographs in: bits, inversion, LUTs, windows, spacing, refusals (longer than 300 lines: one kind of file a test)."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from dx_files import Attribute, dx, ramp, saved, table, view_code
from pydicom import dcmread, uid

from spondyl.io.dicom_grey import stored_range
from spondyl.io.radiograph_read import Film, read_radiograph


def film_of(tmp_path: Path, ds: object, **named: str) -> Film:
    return read_radiograph(saved(ds, tmp_path), **named)[0]


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_grey_is_the_stored_number_over_what_its_bits_hold(tmp_path: Path, bits: int) -> None:
    pixels = ramp(bits)
    film = film_of(tmp_path, dx(pixels if bits > 8 else pixels.astype(np.uint8), bits=bits))
    np.testing.assert_allclose(film.grey.numpy(), pixels / (2**bits - 1), atol=1e-7)
    assert film.bits == bits


def test_the_pictures_own_range_plays_no_part(tmp_path: Path) -> None:
    dim = np.full((40, 40), 1000, np.uint16)
    assert film_of(tmp_path, dx(dim)).grey.unique().tolist() == [pytest.approx(1000 / 4095)]


def test_signed_numbers_count_from_the_lowest(tmp_path: Path) -> None:
    pixels = np.array([-2048, 0, 2047], np.int16).repeat(32 * 32).reshape(-1, 48)
    film = film_of(tmp_path, dx(pixels, signed=True))
    assert film.grey.unique().tolist() == pytest.approx([0, 2048 / 4095, 1])


def test_bits_above_those_stored_are_cut_off(tmp_path: Path) -> None:
    pixels = ramp(12)
    overlaid = pixels | np.uint16(0x8000)
    np.testing.assert_allclose(film_of(tmp_path, dx(overlaid)).grey.numpy(), pixels / 4095, atol=1e-7)
    # the decoder may have cut them off already; ours does not rely on it
    np.testing.assert_array_equal(stored_range(dx(overlaid), overlaid).array, pixels)


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    film = film_of(tmp_path, dx(ramp(), PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_allclose(film.grey.numpy(), 1 - ramp() / 4095, atol=1e-7)
    assert film.photometric == "MONOCHROME1"


def test_a_window_is_applied_before_the_inversion(tmp_path: Path) -> None:
    ds = dx(
        ramp(), PhotometricInterpretation="MONOCHROME1", WindowCenter=1000, WindowWidth=500, VOILUTFunction="SIGMOID"
    )
    film = film_of(tmp_path, ds)
    wanted = 1 - 1 / (1 + np.exp(-4 * (ramp().astype(float) - 1000) / 500))
    np.testing.assert_allclose(film.grey.numpy(), wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        (None, lambda x: np.clip((x - 999.5) / 499 + 0.5, 0, 1)),
        ("LINEAR", lambda x: np.clip((x - 999.5) / 499 + 0.5, 0, 1)),
        ("LINEAR_EXACT", lambda x: np.clip((x - 1000) / 500 + 0.5, 0, 1)),
    ],
)
def test_linear_windows_follow_the_standard(tmp_path: Path, function: str | None, wanted: object) -> None:
    more: dict[str, Attribute] = {"VOILUTFunction": function} if function else {}
    film = film_of(tmp_path, dx(ramp(), WindowCenter=[1000, 3000], WindowWidth=[500, 10], **more))
    np.testing.assert_allclose(film.grey.numpy(), wanted(ramp().astype(float)), atol=1e-6)


def test_a_window_works_on_rescaled_numbers(tmp_path: Path) -> None:
    window: dict[str, Attribute] = {"WindowCenter": 900, "WindowWidth": 400, "VOILUTFunction": "LINEAR_EXACT"}
    film = film_of(tmp_path, dx(ramp(), RescaleSlope=2, RescaleIntercept=-100, **window))
    wanted = np.clip((ramp() * 2.0 - 100 - 900) / 400 + 0.5, 0, 1)
    np.testing.assert_allclose(film.grey.numpy(), wanted, atol=1e-6)


def test_a_negative_rescale_without_window_turns_the_picture_round(tmp_path: Path) -> None:
    film = film_of(tmp_path, dx(ramp(), RescaleSlope=-1, RescaleIntercept=4095))
    np.testing.assert_allclose(film.grey.numpy(), 1 - ramp() / 4095, atol=1e-7)


@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_modality_lut_replaces_numbers_and_holds_its_ends(tmp_path: Path, as_bytes: bool) -> None:
    entries = [5, 10, 800, 1023]
    item = table(entries, first=100, bits=10)
    if as_bytes:
        item.add_new("LUTData", "OW", np.array(entries, "<u2").tobytes())
    pixels = np.array([0, 100, 101, 102, 103, 4000], np.uint16).repeat(8 * 40).reshape(-1, 40)
    film = film_of(tmp_path, dx(pixels, ModalityLUTSequence=[item]))
    assert film.grey[::8, 0].tolist() == pytest.approx([n / 1023 for n in (5, 5, 10, 800, 1023, 1023)])


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_voi_lut_comes_before_any_window(tmp_path: Path, bits: int) -> None:
    square = (np.linspace(0, 1, 4096) ** 2 * (2**bits - 1)).round().astype(int)
    item = table(square.tolist(), first=0, bits=bits)
    film = film_of(tmp_path, dx(ramp(), VOILUTSequence=[item], WindowCenter=10, WindowWidth=2))
    np.testing.assert_allclose(film.grey.numpy(), (ramp() / 4095) ** 2, atol=0.6 / (2**bits - 1))


@pytest.mark.parametrize("first", [-2, 65534])  # rightly SS, or the same bits written as US
def test_a_lut_of_signed_numbers_starts_below_zero(tmp_path: Path, first: int) -> None:
    pixels = np.array([-2, -1, 0, 1], np.int16).repeat(12 * 40).reshape(-1, 40)
    item = table([0, 1, 2, 3], first=first, bits=2)
    film = film_of(tmp_path, dx(pixels, signed=True, VOILUTSequence=[item]))
    assert film.grey[::12, 0].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_stored_grey_ignores_every_lut(tmp_path: Path) -> None:
    ds = dx(ramp(), RescaleSlope=3, RescaleIntercept=1, WindowCenter=10, WindowWidth=2)
    np.testing.assert_allclose(film_of(tmp_path, ds, lut="stored").grey.numpy(), ramp() / 4095, atol=1e-7)


@pytest.mark.parametrize(("centre", "width"), [(90000, 100), (1000, 0), (1000, -5)])
def test_a_window_that_shows_nothing_is_left_out_and_said(tmp_path: Path, centre: int, width: int) -> None:
    film, source = read_radiograph(saved(dx(ramp(), WindowCenter=centre, WindowWidth=width), tmp_path))
    np.testing.assert_allclose(film.grey.numpy(), ramp() / 4095, atol=1e-7)
    assert any("stored bits is used instead" in note for note in source.notes)


def test_padding_is_black_in_both_photometric_interpretations(tmp_path: Path) -> None:
    pixels = ramp()
    pixels[:5] = 4095
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        film = film_of(tmp_path, dx(pixels, PhotometricInterpretation=photometric, PixelPaddingValue=4095))
        assert float(film.grey[:5].max()) == 0
        assert float(film.grey[5:-1].max()) > 0.8


def test_an_unprocessed_image_with_dark_bone_is_turned_round_by_its_sign(tmp_path: Path) -> None:
    raw = dx(ramp(), PresentationIntentType="FOR PROCESSING", PixelIntensityRelationshipSign=1)
    film, source = read_radiograph(saved(raw, tmp_path))
    np.testing.assert_allclose(film.grey.numpy(), 1 - ramp() / 4095, atol=1e-7)
    assert any("dark bone" in note for note in source.notes)
    shown = dx(ramp(), PresentationIntentType="FOR PRESENTATION", PixelIntensityRelationshipSign=1)
    film, source = read_radiograph(saved(shown, tmp_path))
    np.testing.assert_allclose(film.grey.numpy(), ramp() / 4095, atol=1e-7)
    assert any("look at it" in note for note in source.notes)


SPACINGS: list[tuple[dict[str, Attribute], tuple[float, float] | None, str]] = [
    ({}, (0.2, 0.1), "detector"),
    ({"PixelSpacing": [0.2, 0.1]}, (0.2, 0.1), "detector"),
    ({"PixelSpacing": [0.16, 0.08], "PixelSpacingCalibrationType": "GEOMETRY"}, (0.16, 0.08), "patient"),
    ({"PixelSpacing": [0.16, 0.08], "PixelSpacingCalibrationType": "FIDUCIAL"}, (0.16, 0.08), "patient"),
    ({"PixelSpacing": [0.16, 0.08]}, (0.16, 0.08), "patient"),
    ({"ImagerPixelSpacing": None, "PixelSpacing": [0.3, 0.3]}, (0.3, 0.3), "unknown"),
    (
        {"ImagerPixelSpacing": None, "PixelSpacing": [0.3, 0.3], "PixelSpacingCalibrationType": "FIDUCIAL"},
        (0.3, 0.3),
        "patient",
    ),
    ({"ImagerPixelSpacing": None, "NominalScannedPixelSpacing": [0.17, 0.17]}, (0.17, 0.17), "detector"),
    ({"ImagerPixelSpacing": None}, None, "unknown"),
    ({"ImagerPixelSpacing": [0, 0]}, None, "unknown"),
    ({"ImagerPixelSpacing": [-0.1, 0.1]}, None, "unknown"),
]


@pytest.mark.parametrize(("attributes", "wanted", "kind"), SPACINGS)
def test_what_spacing_means_is_kept(
    tmp_path: Path, attributes: dict[str, Attribute], wanted: tuple[float, float] | None, kind: str
) -> None:
    film = film_of(tmp_path, dx(ramp(), **attributes))
    assert (film.spacing_mm, film.spacing_kind) == (wanted, kind)


def test_zero_spacing_is_one_sentence_and_no_length(tmp_path: Path) -> None:
    film, source = read_radiograph(saved(dx(ramp(), ImagerPixelSpacing=[0, 0]), tmp_path))
    assert film.spacing_mm is None
    assert [note for note in source.notes if "which cannot be" in note and "\n" not in note]


@pytest.mark.parametrize(
    ("attributes", "position"),
    [
        ({"ViewPosition": "PA"}, "PA"), ({"ViewPosition": "LL"}, "LL"), ({"ViewPosition": "LLO"}, ""), ({}, ""),
        ({"ViewCodeSequence": [view_code("272479007")]}, "PA"), ({"ViewCodeSequence": [view_code("R-10236")]}, "LL"),
        ({"ViewCodeSequence": [view_code("399135007")]}, ""),
    ],
)  # fmt: skip
def test_the_view_is_what_the_header_names(tmp_path: Path, attributes: dict[str, Attribute], position: str) -> None:
    assert film_of(tmp_path, dx(ramp(), **attributes)).view_position == position


def test_identity_orientation_and_reference_travel_with_the_film(tmp_path: Path) -> None:
    ds = dx(ramp(), PatientOrientation=["L", "F"], SpecificCharacterSet="ISO_IR 192", PatientName="Müller^脊")
    film, source = read_radiograph(saved(ds, tmp_path))
    assert film.patient_orientation == ("L", "F")
    assert (source.kind, source.dicom["PatientID"], source.dicom["StudyInstanceUID"]) == ("dicom", "P7", "1.2.3")
    assert source.dicom["PatientName"] == "Müller^脊"
    assert source.instances == ((uid.DigitalXRayImageStorageForPresentation, "1.2.3.4"),)
    assert len(source.sha256) == 64


@pytest.mark.parametrize("sop_class", [uid.ComputedRadiographyImageStorage, uid.SecondaryCaptureImageStorage])
def test_cr_and_secondary_capture_are_read(tmp_path: Path, sop_class: str) -> None:
    assert film_of(tmp_path, dx(ramp(), SOPClassUID=sop_class)).bits == 12


def test_grey_saved_as_colour_is_read(tmp_path: Path) -> None:
    grey = (ramp(8)).astype(np.uint8)
    film = film_of(tmp_path, dx(np.stack([grey] * 3, axis=-1), bits=8, SOPClassUID=uid.SecondaryCaptureImageStorage))
    np.testing.assert_allclose(film.grey.numpy(), grey / 255, atol=1e-6)


def test_run_length_encoding_changes_nothing(tmp_path: Path) -> None:
    ds = dx(ramp(12))
    ds.compress(uid.RLELossless, generate_instance_uid=False)
    np.testing.assert_allclose(film_of(tmp_path, ds).grey.numpy(), ramp(12) / 4095, atol=1e-7)


@pytest.mark.parametrize("syntax", ["JPEGLosslessProcess14_1", "JPEG2000Lossless", "JPEGLSLossless"])
def test_lossless_compression_by_another_program_changes_nothing(tmp_path: Path, syntax: str) -> None:
    gdcm = pytest.importorskip("gdcm")
    reader = gdcm.ImageReader()
    reader.SetFileName(str(saved(dx(ramp(12)), tmp_path)))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(tmp_path / "compressed.dcm"))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    assert dcmread(tmp_path / "compressed.dcm").file_meta.TransferSyntaxUID.is_compressed
    film, _ = read_radiograph(tmp_path / "compressed.dcm")
    np.testing.assert_allclose(film.grey.numpy(), ramp(12) / 4095, atol=1e-7)


def test_a_file_without_preamble_and_meta_is_read(tmp_path: Path) -> None:
    path = saved(dx(ramp(), WindowCenter=1000, WindowWidth=500), tmp_path)
    bare = tmp_path / "bare"
    ds = dcmread(path)
    ds.file_meta.clear()
    ds.preamble = None
    ds.save_as(bare, implicit_vr=True, little_endian=True)
    assert bare.read_bytes()[128:132] != b"DICM"
    np.testing.assert_array_equal(read_radiograph(bare)[0].grey, read_radiograph(path)[0].grey)


def test_a_ct_localizer_is_a_radiograph_and_a_ct_slice_is_not(tmp_path: Path) -> None:
    scout = dx(ramp(), SOPClassUID=uid.CTImageStorage, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    assert film_of(tmp_path, scout).bits == 12
    with pytest.raises(ValueError, match="a CT slice"):
        film_of(tmp_path, dx(ramp(), SOPClassUID=uid.CTImageStorage, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"]))


def with_syntax(syntax: str) -> object:
    ds = dx(ramp())
    ds.file_meta.TransferSyntaxUID = syntax
    return ds


COLOUR = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
REFUSED = {
    "a cine": (dx(np.stack([ramp()] * 3).reshape(-1, 40), Rows=48, NumberOfFrames=3), "3 frames"),
    "no pixel data": (dx(ramp(), PixelData=None, Modality="SR"), "no pixel data"),
    "a colour photograph": (dx(COLOUR, bits=8), "in colour"),
    "an icon": (dx(ramp(8, (20, 20))), "20 x 20 pixels"),
    "a header without bits": (dx(ramp(), BitsStored=None), "lacks BitsStored"),
    "too few pixels": (dx(ramp(), Rows=480), "pixel data .* is damaged or cut short"),
    "an odd photometric interpretation": (dx(ramp(), PhotometricInterpretation="SPECTRAL"), "SPECTRAL|damaged"),
    "a torn table": (dx(ramp(), VOILUTSequence=[table([1], first=0, bits=40)]), "lookup table"),
    "an MR slice": (dx(ramp(), SOPClassUID=uid.MRImageStorage), "an MR slice"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_still_grey_radiograph_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    ds, said = REFUSED[name]
    path = saved(ds, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=said) as caught:
            read_radiograph(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_unknown_transfer_syntax_is_refused_in_one_line(tmp_path: Path) -> None:
    path = saved(dx(ramp()), tmp_path)
    known, unknown = uid.ExplicitVRLittleEndian.encode() + b"\0", b"1.2.840.113.7.9.1.99"
    assert len(known) == len(unknown)
    path.write_bytes(path.read_bytes().replace(known, unknown))
    with pytest.raises(ValueError, match=r"transfer syntax 1\.2\.840\.113\.7\.9\.1\.99 is not known") as caught:
        read_radiograph(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", [140, 300, 500, 900, 2000, 3000])
def test_a_cut_file_is_refused_in_one_line_wherever_it_was_cut(tmp_path: Path, kept: int) -> None:
    path = saved(dx(ramp()), tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"cut short|lacks") as caught:
            read_radiograph(path)
    assert "\n" not in str(caught.value)
