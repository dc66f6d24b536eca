"""A folder of films as the AASCE 2019 challenge's data are passed on: images/ and annotations.csv, 17 vertebrae and three angles.

Columns of annotations.csv: image, width, height, cobb_1_max, cobb_2_upper, cobb_3_lower, then T1_TL_x, T1_TL_y, T1_TR_x, ...
L5_BR_y: corners in pixels, x along columns. The pixel size of these films is not known.
"""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from spondyl.io.film import Film
from spondyl.io.radiograph_read import read_radiograph
from spondyl.spine import Corners

TABLE, IMAGES = "annotations.csv", "images"
LEVELS: tuple[str, ...] = (*(f"T{i}" for i in range(1, 13)), *(f"L{i}" for i in range(1, 6)))
POINTS = ("TL", "TR", "BL", "BR")
ANGLES = ("cobb_1_max", "cobb_2_upper", "cobb_3_lower")


@dataclass(frozen=True, eq=False)
class AasceFilm:
    """One annotated film; the picture is read when it is asked for.

    Args:
        path: of the picture.
        shape_px: rows and columns, as the table says.
        corners: T1 to L5 in the order of `Corners`, without a view.
        angles_deg: main, upper and lower angle of the label file.
    """

    path: Path
    shape_px: tuple[int, int]
    corners: Corners
    angles_deg: tuple[float, float, float]

    def film(self) -> Film:
        """The picture.

        Raises:
            ValueError: where it is no radiograph, or of another size than the table says.
            OSError: where it cannot be read.
        """
        film, _ = read_radiograph(self.path)
        if tuple(film.grey.shape) != self.shape_px:
            raise ValueError(
                f"{self.path} is {tuple(film.grey.shape)} pixels, {TABLE} says {self.shape_px}; get it again"
            )
        return film


def is_aasce(folder: Path) -> bool:
    """Whether a folder has this layout."""
    return (folder / TABLE).is_file() and (folder / IMAGES).is_dir()


def read_aasce(folder: Path) -> tuple[AasceFilm, ...]:
    """All films of such a folder in the order of their names; no picture is opened.

    Raises:
        ValueError: where the table lacks a column, a number is none, or a picture is not there.
        OSError: where the table cannot be read.
    """
    try:
        with (folder / TABLE).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise OSError(f"cannot read {folder / TABLE}: {(error.strerror or 'unknown reason').lower()}") from error
    except (UnicodeDecodeError, csv.Error):
        raise ValueError(f"{folder / TABLE} is no table of comma-separated text; get it again") from None
    if not rows:
        raise ValueError(f"{folder / TABLE} holds no film; wanted one row a film")
    return tuple(
        sorted((_film(folder, row, i) for i, row in enumerate(rows, start=2)), key=lambda film: film.path.name)
    )


def _film(folder: Path, row: Mapping[str, str | None], line: int) -> AasceFilm:
    path = folder / IMAGES / Path(row.get("image") or "").name
    if not path.is_file():
        raise ValueError(f"{folder / TABLE} line {line}: there is no picture {path.name or '(no name)'} in {IMAGES}/")
    points = [[[_number(row, f"{v}_{p}_{c}", folder, line) for c in ("y", "x")] for p in POINTS] for v in LEVELS]
    main, upper, lower = (_number(row, name, folder, line) for name in ANGLES)
    size = (int(_number(row, "height", folder, line)), int(_number(row, "width", folder, line)))
    corners = Corners(LEVELS, torch.tensor(points), torch.ones(len(LEVELS)))
    return AasceFilm(path, size, corners, (main, upper, lower))


def _number(row: Mapping[str, str | None], name: str, folder: Path, line: int) -> float:
    said = row.get(name)
    try:
        value = float(said or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{folder / TABLE} line {line}: {name} is {said!r}; wanted a number")
    return value
