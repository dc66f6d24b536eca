"""Radiographs in: DICOM (DX, CR, secondary capture and kin), PNG, JPEG, TIFF, told apart by their first bytes."""

from pathlib import Path
from typing import Literal

from spondyl.io.film import Film
from spondyl.io.source import Source

__all__ = ["Film", "Lut", "read_radiograph"]

# "display": as the file asks to be shown. "stored": the stored numbers alone.
Lut = Literal["display", "stored"]

SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"II+\x00", "tiff"),
    (b"MM\x00+", "tiff"),
)
# DICOM without its preamble begins with group 0002 or 0008, little endian, the element number far below 0x2000.
BARE_DICOM_GROUPS = (b"\x02\x00", b"\x08\x00")
HEAD_BYTES = 132


def read_radiograph(path: Path, *, lut: Lut = "display") -> tuple[Film, Source]:
    """One radiograph as grey with what the file says about scale and orientation.

    Grey of DICOM, "display": stored -> Modality LUT or Rescale -> the first VOI LUT, else the first window (LINEAR,
    LINEAR_EXACT, SIGMOID) -> [0, 1] of that step's own output range. Where the file has neither (or one that shows
    nothing), the range is what the stored bits can hold, taken through the Modality step. "stored": stored / (2^bits
    - 1), signed numbers counted from their lowest. In both, MONOCHROME1 is inverted last, padding pixels are 0, and a
    For Processing image whose Pixel Intensity Relationship Sign makes bone dark is inverted.
    Grey of other files: stored / (2^bits - 1). Colour that is grey in fact becomes its luminance.

    Raises:
        ValueError: one sentence for a file that is not one still grey radiograph of at least 32 x 32 pixels.
        OSError: where it is not there or cannot be read.
    """
    if lut not in ("display", "stored"):
        raise ValueError(f"lut is {lut!r}; wanted 'display' or 'stored'")
    kind = _kind(path)
    try:
        if kind == "dicom":
            from spondyl.io.dicom_film import read_dicom_film

            return read_dicom_film(path, display=lut == "display")
        from spondyl.io.raster_film import read_raster_film

        return read_raster_film(path, kind)
    except ValueError as error:
        # a damaged header may bring control characters into the sentence
        said = "".join(c if c.isprintable() else "?" for c in str(error))
        raise ValueError(f"{path}: {said}") from None


def _kind(path: Path) -> str:
    """What a file is, by content; its name is not asked."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder; wanted one radiograph file (a CT series is read as a volume)")
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise OSError(f"cannot read {path}: {(error.strerror or 'unknown reason').lower()}") from error
    if not head:
        raise ValueError(f"{path} is empty (0 bytes); copy or export it again")
    if head[128:132] == b"DICM" or (head[:2] in BARE_DICOM_GROUPS and head[3:4] in (b"\x00", b"\x01")):
        return "dicom"
    for signature, kind in SIGNATURES:
        if head.startswith(signature):
            return kind
    raise ValueError(f"{path} is none of DICOM, PNG, JPEG, TIFF by its content; export the radiograph as one of them")
