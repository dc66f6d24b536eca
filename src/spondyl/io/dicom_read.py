"""DICOM CT to a grid of HU in LPS mm: a folder, a zip or a multi-frame file, chosen, sorted and decoded."""

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spondyl.io.dicom_files import DicomFile, find_dicom
from spondyl.io.dicom_multiframe import frame_slices
from spondyl.io.dicom_pixels import read_hu, stored_pixels
from spondyl.io.dicom_series import choose_stack, is_multi_frame
from spondyl.io.dicom_slices import Slice, in_order, repeated, single_slice, stack_affine
from spondyl.io.grid import Grid, check_size
from spondyl.io.source import Source

# What a derived object repeats of its source: patient, study, frame of reference (see Source.dicom).
REPEATED = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "PatientPosition",
    "Modality",
)


def read_dicom(path: Path) -> Grid:
    """The CT at `path` (a folder, a zip of one, one multi-frame file) in HU, [z, y, x] float32, and its place.

    Slices are sorted by their position along their normal; z grows along it. Feet-first, prone, oblique and tilted stacks
    keep the frame of their Image Position and Orientation, which is the patient's.

    Raises:
        ValueError: in one line, for everything that is not one whole CT stack; see the files beside this one.
    """
    with warnings.catch_warnings():
        # pydicom warns about every value that breaks its rules; what matters is refused or noted here
        warnings.simplefilter("ignore")
        return _read(path)


def _read(path: Path) -> Grid:
    found = find_dicom(path)
    stack, notes = choose_stack(found.files, path.name)
    slices = [s for f in stack.files for s in (frame_slices(f) if is_multi_frame(f) else [single_slice(f)])]
    ordered, repeats = _without_repeats(in_order(slices))
    check_size(path.name, (len(ordered), *ordered[0].shape_px))
    affine, placing = stack_affine(ordered)
    hu, pixels = read_hu(ordered)
    used = list({id(s.file): s.file for s in ordered}.values())
    lossy = any(f.text("LossyImageCompression") == "01" for f in used)
    source = Source(
        path=path,
        kind="dicom",
        sha256=hashlib.sha256("".join(sorted(f.sha256 for f in used)).encode()).hexdigest(),
        notes=(
            *found.notes,
            *notes,
            *repeats,
            *placing,
            *pixels,
            *(("the series was compressed with loss (LossyImageCompression 01)",) if lossy else ()),
        ),
        dicom={key: used[0].text(key) for key in REPEATED if used[0].text(key)},
        instances=tuple((f.text("SOPClassUID"), f.text("SOPInstanceUID")) for f in used),
    )
    return Grid(hu, affine, source)


def _without_repeats(ordered: Sequence[Slice]) -> tuple[list[Slice], tuple[str, ...]]:
    """One slice a place. Raises ValueError where slices of one place differ: phases or reconstructions, not copies."""
    kept, dropped = [], 0
    for group in repeated(ordered):
        kept.append(group[0])
        for other in group[1:]:
            if not _alike(group[0], other):
                raise ValueError(_phases(ordered, group[0].file, other.file))
            dropped += 1
    return kept, ((f"{dropped} slices are copies of others at the same place; dropped",) if dropped else ())


def _alike(a: Slice, b: Slice) -> bool:
    if (a.slope, a.intercept, a.shape_px) != (b.slope, b.intercept, b.shape_px):
        return False
    one, two = stored_pixels(a.file, [a.frame])[0], stored_pixels(b.file, [b.frame])[0]
    return bool(np.array_equal(one, two))


def _phases(ordered: Sequence[Slice], a: DicomFile, b: DicomFile) -> str:
    groups = repeated(ordered)
    several = sum(len(g) > 1 for g in groups)
    keys = ("AcquisitionNumber", "TemporalPositionIdentifier", "ConvolutionKernel", "AcquisitionTime", "ImageType")
    told = next((f", told apart by {k} {a.text(k)} and {b.text(k)}" for k in keys if a.text(k) != b.text(k)), "")
    return (
        f"{several} of {len(groups)} slice positions hold different images ({a.name} and {b.name}{told}): several phases or "
        "reconstructions; pass a folder with one of them"
    )
