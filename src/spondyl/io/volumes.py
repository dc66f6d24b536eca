"""The front door for CT: a path the user named becomes a Volume and the Source that outputs must repeat.

What a file is, is decided by its content: a misnamed file is read, a well-named one that is something else is refused.
"""

import gzip
import zlib
from pathlib import Path

import torch

from spondyl.images import Volume
from spondyl.io.grid import Grid
from spondyl.io.hounsfield import to_hounsfield
from spondyl.io.label_grid import onto_grid
from spondyl.io.labels import map_labels
from spondyl.io.orientation import flip_warnings
from spondyl.io.source import Source

_PICTURES = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"II*\x00": "TIFF", b"MM\x00*": "TIFF", b"BM": "BMP"}
_WANTED = "wanted a DICOM folder, a zip of one, a multi-frame DICOM file, NIfTI, MetaImage or NRRD"


def read_ct(path: Path) -> tuple[Volume, Source]:
    """The CT at `path`, in HU and world LPS mm.

    Args:
        path: a folder of DICOM slices, a zip of one, a multi-frame DICOM file, .nii, .nii.gz, .mha, .mhd, .nrrd or .nhdr;
            told apart by content.

    Returns:
        The volume (hu float32, world_from_voxel float64) and its source. `Source.notes` holds what was odd and what was
        done, the warnings of `flip_warnings` among them.

    Raises:
        ValueError: for a file that is no CT volume or is damaged, in one line.
        OSError: where the path does not exist or cannot be opened.
    """
    grid = _read_grid(path)
    volume, source = _as_volume(grid)
    return volume, source.noting(*flip_warnings(volume))


def read_labelled(ct: Path, labels: Path, scheme: str = "auto") -> tuple[Volume, Source]:
    """The CT at `ct` with the label map at `labels` in our own numbering (STRUCTURE_LABELS).

    A label map on another grid is carried to the CT's by nearest neighbour, and noted. `scheme` is a name from
    `labels.SCHEMES`, or "auto". The source is the CT's, with notes about both.

    Raises:
        ValueError: as `read_ct`; for label maps that are not whole numbers, that lie elsewhere or that have the CT's
            affine and another shape; for an unknown scheme or one that cannot be guessed.
    """
    volume, source = _as_volume(_read_grid(ct))
    named = _read_grid(labels)
    if named.source.kind == "dicom":
        raise ValueError(f"{labels.name} is DICOM; label maps are read as NIfTI, MetaImage or NRRD: convert it first")
    mapped = map_labels(named.values, named.world_from_voxel, scheme, labels.name)
    affine = volume.world_from_voxel.numpy()
    shape = (volume.hu.shape[0], volume.hu.shape[1], volume.hu.shape[2])
    placed, notes = onto_grid(mapped.labels, named.world_from_voxel, shape, affine, labels.name)
    labelled = Volume(volume.hu, volume.world_from_voxel, torch.from_numpy(placed))
    notes = (*named.source.notes, *mapped.notes, *notes, *flip_warnings(labelled))
    return labelled, source.noting(*dict.fromkeys(n for n in notes if n not in source.notes))


def _as_volume(grid: Grid) -> tuple[Volume, Source]:
    hu, notes = to_hounsfield(grid.values)
    return Volume(torch.from_numpy(hu), torch.from_numpy(grid.world_from_voxel)), grid.source.noting(*notes)


def _read_grid(path: Path) -> Grid:
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; {_WANTED}")
    kind = "dicom" if path.is_dir() else _kind(path)
    if kind == "nifti":
        from spondyl.io.nifti import read_nifti

        return read_nifti(path)
    if kind in ("metaimage", "nrrd"):
        from spondyl.io.itk import read_itk

        return read_itk(path)
    try:
        from spondyl.io.dicom_read import read_dicom
    except ModuleNotFoundError as error:
        if error.name not in ("pydicom", None):
            raise
        raise ValueError(f"{path.name} is DICOM, and pydicom is not installed: pip install 'spondyl[dicom]'") from None
    return read_dicom(path)


def _kind(path: Path) -> str:
    """The kind: "dicom" (zips included), "nifti", "metaimage" or "nrrd". Raises ValueError for anything else."""
    head = _head(path)
    if not head:
        raise ValueError(f"{path.name} is empty (or damaged gzip); {_WANTED}")
    if head[:4] == b"PK\x03\x04" or head[:4] == b"PK\x05\x06" or _is_dicom(head):
        return "dicom"
    if head[344:347] in (b"n+1", b"ni1") or head[4:7] in (b"n+2", b"ni2"):
        return "nifti"
    if head[:4] == b"NRRD":
        return "nrrd"
    if b"NDims" in head and b"DimSize" in head:
        return "metaimage"
    for magic, name in _PICTURES.items():
        if head.startswith(magic):
            raise ValueError(f"{path.name} is a {name} picture, not a CT; {_WANTED}")
    if head[:4] in (b"\x5c\x01\x00\x00", b"\x00\x00\x01\x5c"):
        raise ValueError(f"{path.name} is ANALYZE 7.5, which does not say left from right; convert it to NIfTI")
    raise ValueError(f"{path.name} is of no kind that is read here; {_WANTED}")


def _head(path: Path) -> bytes:
    """The first bytes, through gzip where the file is gzip."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head[:2] != b"\x1f\x8b":
        return head
    try:
        with gzip.open(path) as file:
            return file.read(4096)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return b""


def _is_dicom(head: bytes) -> bool:
    """PS3.10 section 7.1: "DICM" after 128 bytes; without a preamble, group 0002 or 0008 in front."""
    return head[128:132] == b"DICM" or (head[:2] in (b"\x02\x00", b"\x08\x00") and head[3:4] == b"\x00")
