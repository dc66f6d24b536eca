"""Radiographs as 16-bit grey PNG: a fixed window of optical depth, marked synthetic, with the view inside.

The picture is linear in optical depth (no display curve), so that it can be read back. Text chunks carry the marking and
the geometry; a JSON file beside it says the same to programs that do not read them.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, PngImagePlugin

from spondyl import __version__
from spondyl.images import Radiograph
from spondyl.io.film_orientation import flips_for_pacs, image_orientation, projection
from spondyl.io.outfile import output_file
from spondyl.io.record import PictureRecord, record_from_text

Display = Literal["behind", "pacs"]
DISPLAYS: tuple[Display, ...] = ("behind", "pacs")
TOP = 65535
MARK_KEY, MARK = "spondyl", "synthetic"
RECORD_KEY = "spondyl-geometry"
MM_PER_INCH = 25.4


def write_png(
    radiograph: Radiograph,
    path: Path,
    *,
    window: tuple[float, float],
    text: Mapping[str, str],
    display: Display = "behind",
) -> None:
    """A 16-bit PNG of one radiograph and `<name>.json` beside it, both whole or not at all.

    Stored number = round((optical depth - low) / (high - low) * 65535), clipped; the image's own range plays no part.

    Args:
        window: (low, high) optical depth shown black and white; the same for every image that shall be compared.
        text: further text chunks, keyword -> text (any language); provenance. Keywords that begin with "spondyl" are
            taken: the marking cannot be replaced.
        display: "behind": rows and columns of the view. "pacs": columns reversed where a radiology workstation would.

    Raises:
        ValueError: for NaN, a batch, a window that is not low < high, a text keyword that PNG does not allow.
        OSError: where a file cannot be written.
    """
    if display not in DISPLAYS:
        raise ValueError(f"display is {display!r}; wanted one of {', '.join(DISPLAYS)}")
    record = _record(radiograph, window, display)
    stored = record.stored(radiograph)
    chunks = PngImagePlugin.PngInfo()
    for keyword, words in {**_checked(text), MARK_KEY: MARK, RECORD_KEY: record.text()}.items():
        chunks.add_itxt(keyword, words)
    spacing_v, spacing_u = radiograph.view.pixel_spacing_mm
    with output_file(path) as part, output_file(sidecar_path(path)) as side:
        resolution = (MM_PER_INCH / spacing_u, MM_PER_INCH / spacing_v)
        Image.fromarray(stored).save(part, format="PNG", pnginfo=chunks, dpi=resolution)
        digest = hashlib.sha256(part.read_bytes()).hexdigest()
        side.write_text(_sidecar(record, path.name, digest, text, display), encoding="utf-8")


def read_png_radiograph(path: Path) -> Radiograph:
    """The radiograph of `write_png`: the view exactly, optical depth within half a step where it was not clipped.

    Raises:
        ValueError: for a file that is not such a PNG (read other pictures with `read_radiograph`).
        OSError: where it cannot be read.
    """
    record, stored = _opened(path)
    if record is None:
        raise ValueError(f"{path} holds no geometry of spondyl; read it as a film with read_radiograph")
    if stored.dtype != np.uint16:
        raise ValueError(f"{path} is no longer a 16-bit grey PNG; it was changed after spondyl wrote it")
    return record.radiograph(stored)


def sidecar_path(path: Path) -> Path:
    """Where the JSON beside a PNG lies."""
    return path.with_suffix(".json")


def png_record(image: Image.Image) -> PictureRecord | None:
    """The geometry in an opened PNG that spondyl wrote; None for any other picture."""
    if not isinstance(image, PngImagePlugin.PngImageFile):
        return None
    words = image.text.get(RECORD_KEY)
    return None if words is None else record_from_text(str(words))


def _opened(path: Path) -> tuple[PictureRecord | None, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    try:
        with path.open("rb") as file, Image.open(file, formats=["PNG"]) as image:
            return png_record(image), np.asarray(image)
    except (SyntaxError, OSError) as error:  # Pillow raises both for damaged files
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"{path} is not a whole PNG file; export it again") from None


def _record(radiograph: Radiograph, window: tuple[float, float], display: Display) -> PictureRecord:
    low, high = float(window[0]), float(window[1])
    flipped = display == "pacs" and flips_for_pacs(radiograph.view)
    return PictureRecord(radiograph.view, low, high, TOP, columns_flipped=flipped)


def _checked(text: Mapping[str, str]) -> dict[str, str]:
    """Keywords as PNG (ISO/IEC 15948, 11.3.4.2) wants them: 1 to 79 printable Latin-1 characters."""
    for keyword in text:
        if keyword.lower().startswith(MARK_KEY):
            raise ValueError(f"text keyword {keyword!r} is taken by the marking of synthetic images; choose another")
        latin = all(" " <= c <= "~" or "\xa1" <= c <= "\xff" for c in keyword)
        if not 1 <= len(keyword) <= 79 or not latin or keyword != keyword.strip():
            raise ValueError(f"text keyword {keyword!r} is not 1 to 79 printable Latin characters; PNG wants that")
    return dict(text)


def _sidecar(record: PictureRecord, name: str, digest: str, text: Mapping[str, str], display: Display) -> str:
    view = record.view
    row, column = image_orientation(view, columns_flipped=record.columns_flipped)
    content = {
        "synthetic": True,
        "notice": "Synthetic image, not acquired with X-rays; for research, not for diagnosis.",
        "software": f"spondyl {__version__}",
        "file": name,
        "sha256": digest,
        "display": display,
        "view_position": projection(view).position,
        "patient_orientation": [row, column],
        "optical_depth_window": [record.depth_low, record.depth_high],
        "pixel_spacing_mm": list(view.pixel_spacing_mm),
        "geometry": json.loads(record.text()),
        "text": dict(text),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
