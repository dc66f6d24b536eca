"""PNG out and back: depth within half a step, the view bit for bit, the marking always there."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from spondyl.geometry import View
from spondyl.images import Radiograph
from spondyl.io.png import read_png_radiograph, sidecar_path, write_png
from spondyl.io.radiograph_read import read_radiograph
from spondyl.io.record import record_from_text

WINDOW = (0.0, 8.0)


def radiograph(angle_deg: float = 0.0, *, beam: str = "cone", seed: int = 0) -> Radiograph:
    view = View.around(
        (3, -7, 111), angle_deg=angle_deg, tilt_deg=4.0, beam=beam, shape_px=(48, 40), pixel_spacing_mm=(0.31, 0.27)
    )
    return Radiograph(torch.rand(48, 40, generator=torch.Generator().manual_seed(seed)) * 8, view)


def same_view(a: View, b: View) -> bool:
    same_tensors = torch.equal(a.world_from_detector, b.world_from_detector) and torch.equal(
        a.source_to_detector_mm, b.source_to_detector_mm
    )
    return same_tensors and (a.pixel_spacing_mm, a.shape_px, a.beam) == (b.pixel_spacing_mm, b.shape_px, b.beam)


@settings(max_examples=20, deadline=None)
@given(
    angle_deg=st.floats(-720, 720),
    beam=st.sampled_from(["cone", "slot", "parallel"]),
    display=st.sampled_from(["behind", "pacs"]),
)
def test_depth_and_view_come_back(angle_deg: float, beam: str, display: str) -> None:
    sent = radiograph(angle_deg, beam=beam)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.png"
        write_png(sent, path, window=WINDOW, text={}, display=display)
        back = read_png_radiograph(path)
    assert same_view(back.view, sent.view)
    assert float((back.optical_depth - sent.optical_depth).abs().max()) <= 0.5 * 8 / 65535 + 5e-7


def test_a_view_in_double_precision_comes_back_in_it(tmp_path: Path) -> None:
    sent = radiograph(17.3)
    sent = replace(sent, view=sent.view.to(dtype=torch.float64))
    write_png(sent, tmp_path / "x.png", window=WINDOW, text={})
    assert same_view(read_png_radiograph(tmp_path / "x.png").view, sent.view)


def test_stored_numbers_follow_the_window_and_not_the_image(tmp_path: Path) -> None:
    flat = Radiograph(torch.full((40, 40), 2.0), View.around((0, 0, 0), shape_px=(40, 40)))
    write_png(flat, tmp_path / "x.png", window=(0, 8), text={})
    with Image.open(tmp_path / "x.png") as image:
        assert image.mode == "I;16"
        assert np.unique(np.asarray(image)).tolist() == [round(2 / 8 * 65535)]


def test_depth_outside_the_window_is_clipped_to_its_ends(tmp_path: Path) -> None:
    sent = radiograph()
    write_png(sent, tmp_path / "x.png", window=(2, 3), text={})
    back = read_png_radiograph(tmp_path / "x.png").optical_depth
    torch.testing.assert_close(back, sent.optical_depth.clamp(2, 3), atol=1e-5, rtol=0)


def test_pacs_display_reverses_the_columns_of_a_pa_and_of_nothing_else(tmp_path: Path) -> None:
    for angle_deg, reversed_there in ((0, True), (90, False), (180, False)):
        sent = radiograph(angle_deg)
        pictures = []
        for display in ("behind", "pacs"):
            write_png(sent, tmp_path / "x.png", window=WINDOW, text={}, display=display)
            with Image.open(tmp_path / "x.png") as image:
                pictures.append(np.asarray(image))
        wanted = pictures[0][:, ::-1] if reversed_there else pictures[0]
        np.testing.assert_array_equal(pictures[1], wanted)


def test_the_marking_and_the_users_words_are_in_the_file_and_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "patient.png"
    write_png(radiograph(), path, window=WINDOW, text={"Seed": "7", "Urheber": "Müller 脊柱"})
    with Image.open(path) as image:
        words = dict(image.text)
        assert image.info["dpi"] == pytest.approx((25.4 / 0.27, 25.4 / 0.31), rel=1e-3)
    assert words["spondyl"] == "synthetic"
    assert (words["Seed"], words["Urheber"]) == ("7", "Müller 脊柱")
    assert record_from_text(words["spondyl-geometry"]).depth_high == 8
    beside = json.loads(sidecar_path(path).read_text(encoding="utf-8"))
    assert beside["synthetic"] is True
    assert beside["pixel_spacing_mm"] == [0.31, 0.27]
    assert beside["optical_depth_window"] == [0, 8]
    assert beside["view_position"] == "PA"
    assert beside["text"]["Seed"] == "7"
    assert len(beside["geometry"]["world_from_detector"]) == 16


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_png(radiograph(), tmp_path / name / "x.png", window=WINDOW, text={"Seed": "7"})
    for file in ("x.png", "x.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_our_png_read_as_a_film_knows_its_scale_and_view(tmp_path: Path) -> None:
    write_png(radiograph(), tmp_path / "x.png", window=WINDOW, text={}, display="pacs")
    film, source = read_radiograph(tmp_path / "x.png")
    assert (film.spacing_mm, film.spacing_kind) == ((0.31, 0.27), "detector")
    assert (film.view_position, film.patient_orientation, film.bits) == ("PA", ("L", "FP"), 16)  # tilted 4 degrees
    assert any("synthetic" in note for note in source.notes)


@pytest.mark.parametrize(
    ("window", "text", "said"),
    [
        ((3.0, 3.0), {}, "window of optical depth"),
        ((0.0, float("inf")), {}, "window of optical depth"),
        (WINDOW, {"spondyl": "real"}, "taken by the marking"),
        (WINDOW, {"Spondyl-geometry": "{}"}, "taken by the marking"),
        (WINDOW, {"": "x"}, "printable Latin"),
        (WINDOW, {"脊": "x"}, "printable Latin"),
        (WINDOW, {"k" * 80: "x"}, "printable Latin"),
    ],
)
def test_nonsense_is_refused_in_one_line(
    tmp_path: Path, window: tuple[float, float], text: dict[str, str], said: str
) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        write_png(radiograph(), tmp_path / "x.png", window=window, text=text)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_nan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="NaN"):
        write_png(radiograph().map(lambda d: d / 0 * 0), tmp_path / "x.png", window=WINDOW, text={})


def test_a_place_that_cannot_be_written_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder is wanted")
    with pytest.raises(OSError, match="cannot write") as caught:
        write_png(radiograph(), tmp_path / "taken" / "x.png", window=WINDOW, text={})
    assert "\n" not in str(caught.value)


def test_a_full_disk_leaves_the_earlier_picture_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.png"
    write_png(radiograph(), path, window=WINDOW, text={})
    before = {entry: entry.read_bytes() for entry in tmp_path.iterdir()}

    def full(*args: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="no space left on device"):
        write_png(radiograph(seed=1), path, window=WINDOW, text={})
    assert {entry: entry.read_bytes() for entry in tmp_path.iterdir()} == before


def test_a_foreign_png_is_no_radiograph_of_ours(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((40, 40), np.uint16)).save(tmp_path / "x.png")
    with pytest.raises(ValueError, match="no geometry of spondyl"):
        read_png_radiograph(tmp_path / "x.png")


def test_a_cut_png_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    write_png(radiograph(), path, window=WINDOW, text={})
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(ValueError, match="not a whole PNG"):
        read_png_radiograph(path)


def test_a_png_cropped_by_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    write_png(radiograph(), path, window=WINDOW, text={})
    with Image.open(path) as image:
        kept = PngInfo()
        kept.add_text("spondyl-geometry", image.text["spondyl-geometry"])
        image.crop((0, 0, 33, 33)).save(path, pnginfo=kept)
    with pytest.raises(ValueError, match="changed alone"):
        read_png_radiograph(path)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": 2}', '{"format": 1, "beam": "cone", "dtype": "int8"}'])
def test_a_damaged_record_is_one_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="damaged or of a newer version"):
        record_from_text(text)
