"""Which of the images in a folder make up the CT: one stack, or a refusal that lists what is there."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydicom import uid

from spondyl.io.dicom_attributes import numbers
from spondyl.io.dicom_files import DicomFile

_CT_CLASSES = (uid.CTImageStorage, uid.EnhancedCTImageStorage, uid.LegacyConvertedEnhancedCTImageStorage)
_MULTI_FRAME = (uid.EnhancedCTImageStorage, uid.LegacyConvertedEnhancedCTImageStorage)
# Beside a real series, fewer images than this are a scout, a bolus check or a sample.
_FEW = 10


@dataclass(frozen=True, eq=False)
class Stack:
    """Images of one series that share class, grid and orientation."""

    files: tuple[DicomFile, ...]

    @property
    def images(self) -> int:
        """How many slices, frames counted one by one."""
        return sum(int(f.text("NumberOfFrames") or 1) if f.text("NumberOfFrames").isdigit() else 1 for f in self.files)

    @property
    def is_ct(self) -> bool:
        """CT slices that belong together: no scout, no screenshot of a CT."""
        first = self.files[0]
        scout = "LOCALIZER" in first.text("ImageType").upper()
        return first.text("Modality") == "CT" and first.text("SOPClassUID") in _CT_CLASSES and not scout

    def __str__(self) -> str:
        first = self.files[0]
        title = first.text("SeriesDescription") or "no description"
        sort = " localizer" if "LOCALIZER" in first.text("ImageType").upper() else ""
        if first.text("SOPClassUID") == uid.SecondaryCaptureImageStorage:
            sort = " screenshot"
        series = first.text("SeriesInstanceUID")[-8:]
        return f"'{title}' ({first.text('Modality') or '?'}{sort}, {self.images} images, series ..{series})"


def choose_stack(files: Sequence[DicomFile], name: str) -> tuple[Stack, tuple[str, ...]]:
    """The one CT stack among `files`, and a note where others were left out.

    Raises:
        ValueError: listing the series, where there is no CT, one slice only, or no telling which is meant.
    """
    images = list({f.sha256: f for f in files if f.text("Rows")}.values())
    cut = [f.name for f in files if f.sop_class in _CT_CLASSES and not f.text("Rows")]
    if cut:
        raise ValueError(f"{cut[0]} is cut short (a CT slice without an image); copy or export it again")
    stacks = _stacks(images)
    if not stacks:
        raise ValueError(f"{name} holds {len(files)} DICOM objects and no image; wanted the slices of one CT series")
    ct = [s for s in stacks if s.is_ct]
    if not ct:
        raise ValueError(f"{name} holds no CT slices but {_listed(stacks)}; wanted one CT series")
    full = [s for s in ct if s.images >= _FEW]
    if len(ct) > 1 and len(full) != 1:
        raise ValueError(
            f"{name} holds {len(stacks)} stacks of images: {_listed(stacks)}; pass a folder with one of them"
        )
    chosen = ct[0] if len(ct) == 1 else full[0]
    if chosen.images < 2:
        raise ValueError(f"{name} holds one CT slice ({chosen}); wanted a volume: pass the folder of the whole series")
    rest = [s for s in stacks if s is not chosen]
    notes = [f"took {chosen} and left out {_listed(rest)}"] if rest else []
    blind = [f.text("Modality") or "?" for f in files if not f.text("Rows")]
    if blind:
        notes.append(f"{len(blind)} DICOM objects without pixels ({', '.join(sorted(set(blind)))}) were left out")
    if copies := len(files) - len(blind) - len(images):
        notes.append(f"{copies} files are copies of others, byte for byte; dropped")
    return chosen, tuple(notes)


def is_multi_frame(file: DicomFile) -> bool:
    """Enhanced CT, or anything with more than one frame."""
    return file.text("SOPClassUID") in _MULTI_FRAME or file.text("NumberOfFrames") not in ("", "1")


def _stacks(images: Sequence[DicomFile]) -> list[Stack]:
    groups: dict[tuple[str, ...], list[list[DicomFile]]] = {}
    keys = ("SeriesInstanceUID", "Modality", "SOPClassUID", "Rows", "Columns")
    for file in images:
        scout = "scout" if "LOCALIZER" in file.text("ImageType").upper() else ""
        clusters = groups.setdefault((*(file.text(k) for k in keys), _spacing(file), scout), [])
        axes = _axes(file)
        for cluster in clusters:
            if np.abs(_axes(cluster[0]) - axes).max() < 0.01:
                cluster.append(file)
                break
        else:
            clusters.append([file])
    return [Stack(tuple(c)) for clusters in groups.values() for c in clusters]


def _spacing(file: DicomFile) -> str:
    """Pixel Spacing for telling stacks apart, whatever its number of decimals; empty where it is missing."""
    try:
        return " ".join(f"{s:.3f}" for s in numbers(file.header, "PixelSpacing", 2, file.name))
    except ValueError:
        return ""


def _axes(file: DicomFile) -> np.ndarray:
    """Image Orientation for telling stacks apart; zeros where it is missing (the slice reader will say so)."""
    try:
        six = numbers(file.header, "ImageOrientationPatient", 6, file.name)
    except ValueError:
        return np.zeros(6)
    return six


def _listed(stacks: Sequence[Stack]) -> str:
    largest = sorted(stacks, key=lambda s: -s.images)
    return ", ".join(str(s) for s in largest[:6]) + (f" and {len(stacks) - 6} more" if len(stacks) > 6 else "")
