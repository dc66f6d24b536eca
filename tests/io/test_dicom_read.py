"""DICOM CT folders: the voxel of every pixel must lie where the standard says, or the stack is refused."""

from pathlib import Path

import numpy as np
import pytest
from made_series import (
    ORIENTATIONS,
    assert_is_field,
    ct_slice,
    even_positions,
    save,
    set_pixels,
    stored_values,
    write_series,
)
from one_line import refused
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from spondyl.io.volumes import read_ct


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_every_voxel_lies_where_position_and_orientation_say(tmp_path: Path, name: str) -> None:
    orientation = ORIENTATIONS[name]
    folder = write_series(tmp_path / "s", even_positions(orientation=orientation), orientation=orientation)
    volume, _ = read_ct(folder)
    assert volume.hu.shape == (12, 8, 8)
    assert_is_field(volume)


def test_slices_are_sorted_by_position_and_not_by_name_or_number(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s")
    names = sorted(p.name for p in folder.iterdir())
    heights = [float(dcmread(folder / n).ImagePositionPatient[2]) for n in names]
    assert heights != sorted(heights), "the test must scramble the names"
    volume, _ = read_ct(folder)
    assert_is_field(volume)


def test_non_square_pixels_and_grids_keep_their_axes(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s", spacing=(0.5, 2.0), size=(6, 9))
    volume, _ = read_ct(folder)
    assert volume.hu.shape == (12, 6, 9)
    assert volume.spacing_mm == pytest.approx((2.0, 0.5, 2.5))
    assert_is_field(volume)


def test_a_tilted_gantry_gives_a_sheared_affine_exactly(tmp_path: Path) -> None:
    lean = np.array([0.0, 2.5 * np.tan(np.radians(15)), 2.5])
    folder = write_series(tmp_path / "s", [np.array([1.0, 2.0, 3.0]) + lean * k for k in range(12)])
    volume, source = read_ct(folder)
    assert_is_field(volume)
    assert volume.world_from_voxel[:3, 2].tolist() == pytest.approx(lean.tolist())
    assert "sheared by 15.0 degrees" in " ".join(source.notes)


def test_positions_rounded_to_a_tenth_of_a_millimetre_are_an_even_stack(tmp_path: Path) -> None:
    places = [np.array([0.0, 0.0, round(0.625 * k, 1)]) for k in range(16)]
    volume, source = read_ct(write_series(tmp_path / "s", places))
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
    volume, source = read_ct(folder)
    assert volume.hu.shape[0] == len(source.instances) == 12
    assert "1 slices are copies" in " ".join(source.notes)
    assert_is_field(volume)


def test_one_object_stored_twice_is_read_once(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s")
    first = sorted(folder.iterdir())[0]
    (folder / "again.dcm").write_bytes(first.read_bytes())
    volume, source = read_ct(folder)
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


def test_a_file_without_preamble_and_meta_group_is_read(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    for k, position in enumerate(even_positions()):
        ds = ct_slice(position)
        del ds.file_meta
        ds.save_as(tmp_path / "s" / f"{k}", implicit_vr=True, little_endian=True)
    assert_is_field(read_ct(tmp_path / "s")[0])


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
