# mypy: disallow-untyped-calls=False
# (nibabel is annotated in part)
"""NIfTI to words and back. RAS exists in this file only (and inside nibabel); every word is LPS."""

import gzip
import hashlib
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import IOBase
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Num

from spondyl.images import Volume
from spondyl.io.atomic import whole_file
from spondyl.io.grid import LPS_FROM_RAS, Grid, check_size, corners_mm
from spondyl.io.source import Source

if TYPE_CHECKING:
    import nibabel as nib

# xyzt_units & 7 of NIfTI-1: 0 nothing said, 1 metre, 2 millimetre, 3 micrometre.
_MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
_UNIT_NAMES = {1: "metres", 3: "micrometres"}


def read_nifti(path: Path) -> Grid:
    """The numbers and the place of a NIfTI-1 or NIfTI-2 file, gzipped or not, in LPS mm; scl_slope is applied.

    Raises:
        ValueError: for a damaged or truncated file, two or four dimensions (one volume in 4-D is taken), colour or
            complex numbers, an affine that is zero, NaN or flat.
    """
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        with _quiet_nibabel(), _opened(path) as file:
            image = _image(file, path.name)
            affine, notes = _lps_affine(image.header, path.name)
            values = _values(image, path.name)
            # gzip checks its sum at the end of the file only, which nibabel does not reach
            file.read(2**20)
    except (ImageFileError, HeaderDataError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(
            f"{path.name} is no whole NIfTI file ({_first_line(error)}); copy or export it again"
        ) from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise ValueError(f"{path.name} is cut short ({_first_line(error)}); copy or export it again") from None
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Grid(values, affine, Source(path, "nifti", digest, notes))


def write_nifti(
    volume: Volume, path: Path, *, sidecar: Mapping[str, str | float | list[str]], labels: bool = False
) -> None:
    """Write a volume's HU (or its labels) as NIfTI-1 with a JSON file beside it, each whole or not at all.

    HU that are whole numbers in the range of int16 are stored as int16 and read back exactly; others as float32. The
    affine is stored as sform in RAS (float32 in NIfTI-1), and as qform too unless it is sheared.

    Args:
        path: ends in .nii or .nii.gz; the sidecar takes its place with .json.
        sidecar: written as it is; the place to mark synthetic data ({"SyntheticData": "YES", ...}).
        labels: write `volume.labels` instead of `volume.hu`.

    Raises:
        ValueError: for another ending, labels that are not there or beyond int16, HU that are NaN or infinite.
    """
    stem = next((path.name.removesuffix(s) for s in (".nii.gz", ".nii") if path.name.endswith(s)), "")
    if not stem:
        raise ValueError(f"{path.name} does not end in .nii or .nii.gz; name the output so")
    import nibabel as nib

    values = _label_values(volume) if labels else _hu_values(volume)
    ras = LPS_FROM_RAS @ volume.world_from_voxel.double().cpu().numpy()
    image = nib.Nifti1Image(values.T, ras)
    image.set_sform(ras, code=1)
    columns = ras[:3, :3] / np.linalg.norm(ras[:3, :3], axis=0)
    sheared = bool(np.abs(columns.T @ columns - np.eye(3)).max() > 1e-5)
    image.set_qform(None if sheared else ras, code=0 if sheared else 1)
    image.header.set_xyzt_units("mm")
    content = image.to_bytes()
    if path.name.endswith(".gz"):
        content = gzip.compress(content, compresslevel=6, mtime=0)
    # the sidecar first: an image without its mark must never exist
    with whole_file(path.with_name(f"{stem}.json")) as part:
        part.write_text(json.dumps(dict(sidecar), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    with whole_file(path) as part:
        part.write_bytes(content)


def _hu_values(volume: Volume) -> Num[np.ndarray, "z y x"]:
    hu = volume.hu.detach().cpu().numpy()
    if not bool(np.isfinite(hu).all()):
        raise ValueError("hu holds NaN or infinite numbers; wanted finite HU to write")
    whole = bool((hu == np.round(hu)).all()) and hu.min() >= -32768 and hu.max() <= 32767
    return hu.astype(np.int16 if whole else np.float32)


def _label_values(volume: Volume) -> Num[np.ndarray, "z y x"]:
    if volume.labels is None:
        raise ValueError("the volume has no labels; write its HU, or give it labels")
    values = volume.labels.cpu().numpy()
    if values.min() < 0 or values.max() > 32767:
        raise ValueError(f"labels run from {values.min()} to {values.max()}; wanted 0 to 32767")
    return values.astype(np.uint8 if values.max() < 256 else np.int16)


@contextmanager
def _quiet_nibabel() -> Iterator[None]:
    """nibabel logs each header field that it mends; what matters is refused or noted here."""
    from nibabel.imageglobals import logger

    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _opened(path: Path) -> IOBase:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if zipped else path.open("rb")


def _image(file: IOBase, name: str) -> "nib.Nifti1Image":
    import nibabel as nib

    head = file.read(348)
    file.seek(0)
    if head[344:347] == b"ni1" or head[4:7] == b"ni2":
        raise ValueError(f"{name} is the header of a two-file NIfTI; convert the pair to one .nii.gz")
    kind = nib.Nifti1Image if head[344:347] == b"n+1" else nib.Nifti2Image
    image: nib.Nifti1Image = kind.from_stream(file)
    return image


def _values(image: "nib.Nifti1Image", name: str) -> Num[np.ndarray, "z y x"]:
    from nibabel.arrayproxy import ArrayProxy

    shape = tuple(int(n) for n in image.header.get_data_shape())
    if len(shape) > 3 and any(n != 1 for n in shape[3:]):
        raise ValueError(f"{name} holds {math.prod(shape[3:])} volumes ({shape}); wanted one: extract it first")
    check_size(name, shape[:3])
    if image.get_data_dtype().kind not in "iuf":
        raise ValueError(f"{name} stores {image.get_data_dtype()} (colour or complex); wanted one real number a voxel")
    stored = image.dataobj
    scaled = isinstance(stored, ArrayProxy) and (stored.slope != 1 or stored.inter != 0)
    data = image.get_fdata(dtype=np.float32, caching="unchanged") if scaled else np.asanyarray(stored)
    if isinstance(data, np.memmap):
        # a file that is replaced later must not change (or kill) a volume in use
        data = np.array(data)
    values: Num[np.ndarray, "z y x"] = data.reshape(shape[:3], order="F").T
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _lps_affine(header: "nib.Nifti1Header", name: str) -> tuple[Float[np.ndarray, "4 4"], tuple[str, ...]]:
    """The grid's place in LPS mm and what was odd about it: sform first, qform where that is absent or broken."""
    forms = [
        (kind, np.asarray(form(), dtype=np.float64))
        for kind, code, form in (
            ("sform", int(header["sform_code"]), header.get_sform),
            ("qform", int(header["qform_code"]), header.get_qform),
        )
        if code > 0
    ]
    notes: list[str] = []
    if not forms:
        # NIfTI-1 "method 1": spacing only. Its axes are said to be RAS, and old converters did not care.
        forms = [("pixdim", np.diag([*(float(s) for s in header["pixdim"][1:4]), 1.0]))]
        notes.append("the header has no orientation (qform and sform codes are 0): axes taken as left-to-right, "
                     "back-to-front, feet-to-head; left and right are not certain")  # fmt: skip
    usable = [(kind, m) for kind, m in forms if _invertible(m)]
    if not usable:
        raise ValueError(
            f"{name} has an affine that is zero, NaN or flat; wanted the grid's place in mm: repair the header"
        )
    kind, ras = usable[0]
    if kind != forms[0][0]:
        notes.append(f"the {forms[0][0]} is zero, NaN or flat; the {kind} was used")
    shape = [max(2, int(n)) for n in header.get_data_shape()[:3]]
    size = (shape[-1], shape[1] if len(shape) > 1 else 2, shape[0])
    if len(usable) == 2:
        apart = float(np.abs(corners_mm(size, ras) - corners_mm(size, usable[1][1])).max())
        if apart > 0.5 * float(np.linalg.norm(ras[:3, :3], axis=0).min()):
            notes.append(f"sform and qform disagree by up to {apart:.3g}; the sform was used")
    unit = int(header["xyzt_units"]) & 7
    scale = _MM_PER_UNIT.get(unit, 1.0)
    if unit in _UNIT_NAMES:
        notes.append(f"the header is in {_UNIT_NAMES[unit]}; converted to millimetres")
    lps = np.diag([scale, scale, scale, 1.0]) @ LPS_FROM_RAS @ ras
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    if spacing.min() < 0.02 or spacing.max() > 25.0:
        notes.append(f"voxels of {' x '.join(f'{s:.3g}' for s in spacing)} mm are no CT's: check the header's unit")
    return lps, tuple(notes)


def _invertible(m: Float[np.ndarray, "4 4"]) -> bool:
    return bool(np.isfinite(m).all()) and abs(float(np.linalg.det(m[:3, :3]))) > 1e-15


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip().rstrip(".")[:160] if lines else type(error).__name__
