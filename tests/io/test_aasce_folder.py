"""Folders of annotated films: read whole, and refused with the line that is wrong."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from spondyl.io.aasce import ANGLES, LEVELS, POINTS, is_aasce, read_aasce

COLUMNS = ("image", "width", "height", *ANGLES, *(f"{v}_{p}_{c}" for v in LEVELS for p in POINTS for c in "xy"))


def write(folder: Path, **changes: str) -> Path:
    """Two films of 60 x 40 pixels, the later name first; `changes` are cells of the second row."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for name in ("b.jpg", "a.jpg"):
        Image.fromarray(np.full((60, 40), 200, np.uint8)).save(folder / "images" / name)
        numbers = {c: str(i) for i, c in enumerate(COLUMNS)}
        rows.append({**numbers, "image": name, "width": "40", "height": "60"})
    rows[1] |= changes
    with (folder / "annotations.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_films_come_in_the_order_of_their_names_with_rows_before_columns(tmp_path: Path) -> None:
    films = read_aasce(write(tmp_path / "x"))
    assert [film.path.name for film in films] == ["a.jpg", "b.jpg"]
    first = films[0]
    assert first.angles_deg == (3, 4, 5)
    assert first.corners.levels == LEVELS
    x, y = COLUMNS.index("T1_TR_x"), COLUMNS.index("T1_TR_y")
    assert first.corners.corners_px[0, 1].equal(torch.tensor([float(y), float(x)]))
    assert first.film().grey.shape == (60, 40)


def test_a_folder_without_table_or_pictures_is_not_one(tmp_path: Path) -> None:
    assert is_aasce(write(tmp_path / "x"))
    assert not is_aasce(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image": "c.jpg"}, "line 3: there is no picture c.jpg"),
        ({"image": "../annotations.csv"}, "line 3: there is no picture annotations.csv"),
        ({"T4_BL_x": "left"}, "line 3: T4_BL_x is 'left'; wanted a number"),
        ({"cobb_1_max": "nan"}, "line 3: cobb_1_max is 'nan'; wanted a number"),
        ({"height": ""}, "line 3: height is ''; wanted a number"),
    ],
)
def test_a_wrong_row_is_named(changes: dict[str, str], words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        read_aasce(write(tmp_path / "x", **changes))
    assert "\n" not in str(caught.value)


def test_a_picture_of_another_size_is_refused_when_it_is_asked_for(tmp_path: Path) -> None:
    films = read_aasce(write(tmp_path / "x", height="61"))
    with pytest.raises(ValueError, match=r"a\.jpg is \(60, 40\) pixels, annotations.csv says \(61, 40\)"):
        films[0].film()


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "x")
    (folder / "annotations.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is no table"):
        read_aasce(folder)
    (folder / "annotations.csv").write_text("image\n")
    with pytest.raises(ValueError, match="holds no film"):
        read_aasce(folder)
