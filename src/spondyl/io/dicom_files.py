"""Find the DICOM files of a folder, a zip or one path, with limits, and read their headers. No pixels yet."""

import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmread

from spondyl.io.dicom_attributes import text

# A zip is unpacked in memory one file at a time, and never more than this in all (a zip bomb says 100 GB in 40 kB).
MAX_FILES = 20_000
MAX_ZIP_BYTES = 4 * 2**30

# Deflate hides its size until it is unpacked, and no scanner writes it (PS3.5 A.5).
_DEFLATED = b"1.2.840.10008.1.2.1.99"


@dataclass(frozen=True, eq=False)
class DicomFile:
    """One DICOM object: its name for the user, the hash of its bytes, its header without pixels, and its bytes again."""

    name: str
    sha256: str
    header: Dataset
    content: Callable[[], bytes]

    def text(self, keyword: str) -> str:
        """An attribute as one line of text; empty where it is missing or empty."""
        return text(self.header, keyword)

    @property
    def sop_class(self) -> str:
        """The SOP class UID; from the meta group where the header ends before it."""
        meta = getattr(self.header, "file_meta", None) or Dataset()
        return self.text("SOPClassUID") or text(meta, "MediaStorageSOPClassUID")


@dataclass(frozen=True, eq=False)
class Found:
    """The DICOM files in reading order, and sentences about what else lay there."""

    files: tuple[DicomFile, ...]
    notes: tuple[str, ...]


def find_dicom(path: Path) -> Found:
    """Every DICOM file at `path`: a folder (with subfolders), a zip, or one file. DICOMDIR and hidden files are left out.

    Raises:
        ValueError: for a damaged, encrypted or oversized zip, too many files, a damaged DICOM file, none at all.
    """
    if path.is_dir():
        members = _in_folder(path)
    elif zipfile.is_zipfile(path):
        members = _in_zip(path)
    elif path.read_bytes()[:2] == b"PK":
        raise ValueError(f"{path.name} is a damaged zip (its directory is missing); copy it again")
    else:
        members = iter([(path.name, path.read_bytes)])
    files: list[DicomFile] = []
    others: list[str] = []
    for name, content in members:
        data = content()
        if _is_dicom(data):
            files.append(DicomFile(name, hashlib.sha256(data).hexdigest(), _header(name, data), content))
        else:
            others.append(name)
    if not files:
        raise ValueError(_nothing(path, others))
    if not others:
        return Found(tuple(files), ())
    some = ", ".join(sorted(others)[:3]) + (" ..." if len(others) > 3 else "")
    return Found(tuple(files), (f"{len(others)} files are not DICOM and were left out ({some})",))


def _wanted(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and parts[-1].upper() != "DICOMDIR"


def _in_folder(folder: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    names = [str((Path(root) / name).relative_to(folder)) for root, _, found in os.walk(folder) for name in found]
    wanted = sorted(name for name in names if _wanted(name) and (folder / name).is_file())
    if len(wanted) > MAX_FILES:
        raise ValueError(
            f"{folder.name} holds {len(wanted)} files; at most {MAX_FILES} are read: pass one series' folder"
        )
    for name in wanted:
        yield name, (folder / name).read_bytes


def _in_zip(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    with zipfile.ZipFile(path) as archive:
        members = sorted((m for m in archive.infolist() if not m.is_dir()), key=lambda m: m.filename)
    if len(members) > MAX_FILES:
        raise ValueError(f"{path.name} holds {len(members)} files; at most {MAX_FILES} are read: zip one series")
    total = sum(m.file_size for m in members)
    if total > MAX_ZIP_BYTES:
        raise ValueError(f"{path.name} unpacks to {total / 2**30:.1f} GB; at most {MAX_ZIP_BYTES / 2**30:.0f} are read")
    if any(m.flag_bits & 1 for m in members):
        raise ValueError(f"{path.name} is encrypted; unpack it and pass the folder")
    for member in members:
        if _wanted(member.filename):
            yield member.filename, _unpacker(path, member)


def _unpacker(path: Path, member: zipfile.ZipInfo) -> Callable[[], bytes]:
    def content() -> bytes:
        try:
            with zipfile.ZipFile(path) as archive:
                return archive.read(member)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError):
            raise ValueError(f"{member.filename} in {path.name} cannot be unpacked; make the zip again") from None

    return content


def _is_dicom(data: bytes) -> bool:
    """PS3.10 section 7.1; files of old scanners start with group 0008 at once."""
    return data[128:132] == b"DICM" or (
        data[:2] in (b"\x02\x00", b"\x08\x00") and data[3:4] == b"\x00" and len(data) > 64
    )


def _header(name: str, data: bytes) -> Dataset:
    if _DEFLATED in data[:1024]:
        raise ValueError(f"{name} is deflate-compressed DICOM, which is not read; convert it to explicit little endian")
    try:
        return dcmread(BytesIO(data), stop_before_pixels=True, force=data[128:132] != b"DICM")
    except Exception:  # the parser meets damaged bytes with struct, key, type and other errors of its own
        raise ValueError(f"{name} is a damaged DICOM file; copy or export it again") from None


def _nothing(path: Path, others: list[str]) -> str:
    if not others:
        return f"{path.name} holds no file; wanted the slices of one CT series"
    images = [n for n in others if n.lower().endswith((".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr"))]
    hint = f"pass {images[0]} itself" if images else "wanted the slices of one CT series"
    return f"{path.name} holds {len(others)} files and none is DICOM; {hint}"
