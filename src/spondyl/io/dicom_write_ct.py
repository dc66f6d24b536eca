"""A volume out: a CT Image Storage series, one file a slice, marked synthetic, the whole folder or nothing.

Slices are cut along the grid: nothing is resampled. Axes are only reordered and reversed so that slices come as close to
axial, rows to patient left and columns to posterior, as the grid allows, which is what viewers expect; the position
and orientation of every slice (PS3.3 C.7.6.2) say where each voxel lies, so the volume is the same in the world.
"""

import hashlib
import itertools
import re
import shutil
import tempfile
from dataclasses import dataclass
from os import umask
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int16
from numpy import ndarray
from pydicom import Dataset, uid
from pydicom.sr.codedict import codes

from spondyl.images import Volume
from spondyl.io.dicom_marking import (
    add_patient_and_study,
    code_item,
    content_digest,
    decimal,
    made_uid,
    mark_synthetic,
    strict_values,
    write_whole,
)
from spondyl.io.outfile import saying_where
from spondyl.io.source import Source

SERIES_NUMBER = 9002
# Two axes further from a right angle than this cosine (0.006 degrees) are sheared; float32 affines are off by 1e-6.
STRAIGHT_COSINE = 1e-4
HU_LOW, HU_HIGH = -32768, 32767
FILE_NAME = "SYNTHETIC_CT_{:05d}.dcm"
OUR_FILE = re.compile(r"SYNTHETIC_CT_\d{5}\.dcm")
# Soft tissue and bone, centre and width in HU: what readers of a spine CT look with.
WINDOWS = ((50, 400, "SOFT TISSUE"), (400, 1800, "BONE"))


@dataclass(frozen=True, eq=False)
class Slices:
    """Whole-number HU as [slice, row, column], and world LPS mm from (column, row, slice)."""

    hu: Int16[ndarray, "s r c"]
    world_from_index: Float64[ndarray, "4 4"]


def write_ct_series(volume: Volume, folder: Path, *, source: Source, derivation: str) -> list[Path]:
    """The files of a CT series, caudal slice first in a near-axial grid; the same arguments give the same bytes.

    HU are rounded to whole numbers (Rescale Slope 1, Intercept 0). A left-handed grid comes out
    right-handed, with one axis reversed.
    The series gets a Frame of Reference of its own: nothing proves that it lies registered to its source.

    Args:
        folder: made by this call. An earlier series of ours in it is replaced whole; any other content is refused.
        source: its patient and study are repeated, its instances referenced.
        derivation: one sentence on what was made from what.

    Raises:
        ValueError: for a sheared grid (gantry tilt), HU that are NaN or beyond 16 bits, a folder with other files.
        OSError: where the folder cannot be written; it is then as it was.
    """
    slices = _slices(volume)
    _refuse_foreign(folder)
    with strict_values():
        ds = _series(slices, source, derivation)
        with saying_where(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
            try:
                names = _write_slices(ds, slices, staging)
                _move(staging, folder)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    return [folder / name for name in names]


def _slices(volume: Volume) -> Slices:
    hu = volume.hu.detach().to("cpu").numpy()
    if not np.isfinite(hu).all() or hu.min() < HU_LOW - 0.5 or hu.max() > HU_HIGH + 0.49:
        raise ValueError(f"hu holds NaN or numbers beyond {HU_LOW} to {HU_HIGH}; DICOM CT has 16 bits; clip it first")
    affine = volume.world_from_voxel.detach().to("cpu").double().numpy()
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    _refuse_shear(directions)
    order = max(itertools.permutations(range(3)), key=lambda o: sum(abs(directions[row, o[row]]) for row in range(3)))
    index_from_voxel_axes = np.eye(4)[:, [*order, 3]]
    array = hu.transpose(2, 1, 0).transpose(order)
    matrix = affine @ index_from_voxel_axes
    reverse = [axis for axis in range(3) if matrix[axis, axis] < 0]
    # the order and signs nearest to LPS make any straight grid right-handed, as the stacking of DICOM slices is
    for axis in reverse:
        matrix[:3, 3] += matrix[:3, axis] * (array.shape[axis] - 1)
        matrix[:3, axis] *= -1
    whole = np.rint(np.flip(array, tuple(reverse))).astype(np.int16)
    return Slices(np.ascontiguousarray(whole.transpose(2, 1, 0)), matrix)


def _refuse_shear(directions: Float64[ndarray, "3 3"]) -> None:
    cosines = directions.T @ directions
    for one, other in ((0, 1), (0, 2), (1, 2)):
        if abs(cosines[one, other]) > STRAIGHT_COSINE:
            angle_deg = np.degrees(np.arccos(np.clip(cosines[one, other], -1, 1)))
            raise ValueError(
                f"the grid is sheared: its axes {'xyz'[one]} and {'xyz'[other]} meet at {angle_deg:.2f} degrees; wanted "
                "right angles (a tilted gantry?); resample the volume to a straight grid first"
            )


def _series(slices: Slices, source: Source, derivation: str) -> Dataset:
    """All that the slices share: CT Series, Frame of Reference, CT Image (PS3.3 C.7.3.1, C.7.4.1, C.8.2.1)."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = uid.CTImageStorage
    add_patient_and_study(ds, source)
    ds.Modality, ds.SeriesNumber, ds.ImageType = "CT", SERIES_NUMBER, ["DERIVED", "SECONDARY", "AXIAL"]
    ds.PatientPosition = source.dicom.get("PatientPosition", "")
    ds.PositionReferenceIndicator = ""
    ds.KVP, ds.AcquisitionNumber = None, None
    ds.BodyPartExamined = "SPINE"
    ds.AnatomicRegionSequence = [code_item(codes.SCT.Spine)]
    column, row, along = np.linalg.norm(slices.world_from_index[:3, :3], axis=0)
    ds.PixelSpacing = [decimal(row), decimal(column)]
    ds.SliceThickness, ds.SpacingBetweenSlices = decimal(along), decimal(along)
    directions = slices.world_from_index[:3, :2] / (column, row)
    ds.ImageOrientationPatient = [decimal(x) for x in directions.T.ravel()]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = slices.hu.shape[1:]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = decimal(1), decimal(0), "HU"
    ds.WindowCenter, ds.WindowWidth = [decimal(w[0]) for w in WINDOWS], [decimal(w[1]) for w in WINDOWS]
    ds.WindowCenterWidthExplanation = [w[2] for w in WINDOWS]
    mark_synthetic(ds, source, derivation=derivation, details="", title="CT")
    pixels = hashlib.sha256(slices.hu.tobytes()).hexdigest()
    digest = made_uid(content_digest(ds), pixels, str(slices.world_from_index.tolist()))
    ds.SeriesInstanceUID = made_uid("series", digest)
    ds.FrameOfReferenceUID = made_uid("frame", digest)
    return ds


def _write_slices(ds: Dataset, slices: Slices, staging: Path) -> list[str]:
    names = []
    matrix = slices.world_from_index
    for index, hu in enumerate(slices.hu):
        position = matrix[:3, 3] + matrix[:3, 2] * index
        ds.ImagePositionPatient = [decimal(x) for x in position]
        ds.InstanceNumber = index + 1
        ds.SOPInstanceUID = made_uid("instance", ds.SeriesInstanceUID, str(index))
        ds.PixelData = hu.astype("<i2").tobytes()
        names.append(FILE_NAME.format(index + 1))
        write_whole(ds, staging / names[-1])
    return names


def _refuse_foreign(folder: Path) -> None:
    """Only an absent or empty folder, or an earlier series of ours, may be replaced."""
    if folder.is_dir():
        foreign = sorted(entry.name for entry in folder.iterdir() if not OUR_FILE.fullmatch(entry.name))
        if foreign:
            raise ValueError(f"{folder} holds other files ({foreign[0]}); a CT series needs a folder of its own")
    elif folder.exists():
        raise OSError(f"cannot write {folder}: a file stands there; a CT series needs a folder of its own")


def _move(staging: Path, folder: Path) -> None:
    mask = umask(0)
    umask(mask)
    staging.chmod(0o777 & ~mask)  # mkdtemp makes folders private to the user
    if not folder.exists():
        staging.rename(folder)
        return
    earlier = staging.with_suffix(".old")
    folder.rename(earlier)
    try:
        staging.rename(folder)
    except OSError:
        earlier.rename(folder)
        raise
    shutil.rmtree(earlier, ignore_errors=True)
