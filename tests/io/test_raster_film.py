"""PNG, JPEG and TIFF in: told apart by content, grey by bits, scale never trusted, nonsense refused in one line."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from spondyl.io.film import Film
from spondyl.io.radiograph_read import read_radiograph

EIGHT = np.arange(48 * 40, dtype=np.uint16).reshape(48, 40).astype(np.uint8)
SIXTEEN = (np.arange(48 * 40, dtype=np.uint32) * 34).astype(np.uint16).reshape(48, 40)
COLOUR = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)


@pytest.mark.parametrize(("pixels", "bits"), [(EIGHT, 8), (SIXTEEN, 16)])
@pytest.mark.parametrize("name", ["x.png", "x.tiff", "named_wrongly.jpg.png"])
def test_lossless_files_keep_every_number(tmp_path: Path, pixels: np.ndarray, bits: int, name: str) -> None:
    path = tmp_path / name
    Image.fromarray(pixels).save(path, format="TIFF" if "tiff" in name else "PNG")
    film, source = read_radiograph(path)
    np.testing.assert_allclose(film.grey.numpy(), pixels / (2**bits - 1), atol=1e-7)
    assert film.bits == bits
    assert (film.view_position, film.patient_orientation, film.spacing_kind) == ("", ("", ""), "unknown")
    assert source.kind == ("tiff" if "tiff" in name else "png")
    assert len(source.sha256) == 64


def test_a_tiff_is_read_as_an_independent_writer_stored_it(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    for photometric in ("minisblack", "miniswhite"):
        for pixels, most in ((EIGHT, 255), (SIXTEEN, 65535)):
            # Pillow does not know 16-bit white-is-zero in big endian
            for order in "<" if photometric == "miniswhite" and most == 65535 else "<>":
                path = tmp_path / "x.tif"
                tifffile.imwrite(path, pixels, photometric=photometric, byteorder=order)
                grey = read_radiograph(path)[0].grey.numpy()
                wanted = pixels / most if photometric == "minisblack" else 1 - pixels / most
                np.testing.assert_allclose(grey, wanted, atol=1e-6)


def test_a_grey_jpeg_saved_in_colour_is_a_film(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(80), np.arange(80)).astype(np.uint8)
    Image.fromarray(np.stack([smooth] * 3, axis=-1)).save(tmp_path / "x.jpg", quality=90)
    film, source = read_radiograph(tmp_path / "x.jpg")
    np.testing.assert_allclose(film.grey.numpy(), smooth / 255, atol=0.02)
    assert (source.kind, film.photometric, film.bits) == ("jpeg", "RGB", 8)


def test_a_small_coloured_marker_does_not_make_a_film_a_photograph(tmp_path: Path) -> None:
    rgb = np.stack([np.full((100, 100), 120, np.uint8)] * 3, axis=-1)
    rgb[:8, :8] = (255, 255, 0)
    Image.fromarray(rgb).save(tmp_path / "x.png")
    assert float(read_radiograph(tmp_path / "x.png")[0].grey[50, 50]) == pytest.approx(120 / 255)


@pytest.mark.parametrize(("kind", "name"), [("PNG", "x.png"), ("JPEG", "x.jpg"), ("TIFF", "x.tif")])
def test_dots_per_inch_are_kept_as_an_unknown_scale(tmp_path: Path, kind: str, name: str) -> None:
    Image.fromarray(EIGHT).save(tmp_path / name, format=kind, dpi=(254, 127))
    film, source = read_radiograph(tmp_path / name)
    assert film.spacing_mm == pytest.approx((0.2, 0.1), rel=1e-3)
    assert film.spacing_kind == "unknown"
    assert any("printing resolution" in note for note in source.notes)


def test_a_picture_without_any_scale_says_so(tmp_path: Path) -> None:
    Image.fromarray(EIGHT).save(tmp_path / "x.png")
    film, source = read_radiograph(tmp_path / "x.png")
    assert film.spacing_mm is None
    assert any("no pixel spacing" in note for note in source.notes)


def test_a_picture_on_its_side_is_turned_upright_and_said(tmp_path: Path) -> None:
    image = Image.fromarray(EIGHT)
    exif = image.getexif()
    exif[274] = 6  # the camera was turned; upright is a quarter turn clockwise
    image.save(tmp_path / "x.png", exif=exif)
    film, source = read_radiograph(tmp_path / "x.png")
    np.testing.assert_allclose(film.grey.numpy(), np.rot90(EIGHT, -1) / 255, atol=1e-7)
    assert any("upright" in note for note in source.notes)


def two_pages(path: Path) -> None:
    Image.fromarray(EIGHT).save(path, format="TIFF", save_all=True, append_images=[Image.fromarray(EIGHT)])


def cut(path: Path) -> None:
    Image.fromarray(SIXTEEN).save(path, format="PNG")
    path.write_bytes(path.read_bytes()[:300])


REFUSED = {
    "text called png": (lambda p: p.write_text("Dear colleague, the film follows by post. " * 9), "none of DICOM, PNG, JPEG, TIFF"),
    "empty": (lambda p: p.write_bytes(b""), r"empty \(0 bytes\)"),
    "a colour photograph": (lambda p: Image.fromarray(COLOUR).save(p), "in colour"),
    "two pages": (two_pages, "2 pictures"),
    "an icon": (lambda p: Image.fromarray(EIGHT[:16, :16]).save(p), "16 x 16 pixels"),
    "a cut file": (cut, "damaged, cut short"),
    "only a signature": (lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n"), "damaged or of a rare kind"),
    "floating point": (lambda p: Image.fromarray(EIGHT.astype(np.float32)).save(p, format="TIFF"), "mode F"),
    "a folder": (lambda p: p.mkdir(), "is a folder"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_radiograph_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    make, said = REFUSED[name]
    path = tmp_path / "x.png"
    make(path)
    with pytest.raises(ValueError, match=said) as caught:
        read_radiograph(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"cannot read .*no such file") as caught:
        read_radiograph(tmp_path / "x.png")
    assert "\n" not in str(caught.value)


def test_a_film_is_never_made_of_nonsense() -> None:
    with pytest.raises(ValueError, match="grey runs"):
        Film(torch.full((40, 40), 2.0), None, "unknown", "L", "", ("", ""), 8)
    with pytest.raises(ValueError, match="spacing_mm"):
        Film(torch.zeros(40, 40), (0.0, 1.0), "unknown", "L", "", ("", ""), 8)


def test_real_films_are_read(data: Path) -> None:
    for path in sorted((data / "xray").rglob("*.jpg"))[::25]:
        film, _ = read_radiograph(path)
        assert film.spacing_kind == "unknown"
        assert float(film.grey.std()) > 0.05
