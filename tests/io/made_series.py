"""Makes small DICOM CT series whose HU are a known linear field of the world, so that any wrong place shows as a wrong HU."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

from spondyl.images import Volume

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
ORIENTATIONS = {
    "axial": AXIAL,
    "feet first, shown from above": (-1, 0, 0, 0, 1, 0),
    "prone": (-1, 0, 0, 0, -1, 0),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "coronal": (1, 0, 0, 0, 0, -1),
    "oblique": (0.8, 0.6, 0, -0.36, 0.48, 0.8),
}
# HU at the world's origin and its change per mm along x, y and z.
FIELD_HU, FIELD_HU_PER_MM = -200.0, np.array([3.0, -5.0, 7.0])
SLOPE, INTERCEPT = 0.125, -1024.0
Change = Callable[[int, Dataset], None]


def field_hu(points_mm: np.ndarray) -> np.ndarray:
    """The linear field at world points (..., 3), HU."""
    return FIELD_HU + points_mm @ FIELD_HU_PER_MM


def pixel_points_mm(
    position: np.ndarray, orientation: Sequence[float], spacing: tuple[float, float], n: tuple[int, int]
):
    """World position of every pixel (v, u) of a slice, by the equation of PS3.3 C.7.6.2.1.1."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    v, u = np.mgrid[: n[0], : n[1]]
    return position + row * (u * spacing[1])[..., None] + column * (v * spacing[0])[..., None]


def normal(orientation: Sequence[float]) -> np.ndarray:
    """Unit normal of a slice."""
    return np.cross(orientation[:3], orientation[3:])


def even_positions(count: int = 12, step_mm: float = 2.5, orientation: Sequence[float] = AXIAL) -> list[np.ndarray]:
    """Positions of an even stack along its normal, some way off the origin."""
    return [np.array([-11.0, -7.0, 13.0]) + normal(orientation) * step_mm * k for k in range(count)]


def ct_slice(
    position: np.ndarray,
    orientation: Sequence[float] = AXIAL,
    spacing: tuple[float, float] = (1.5, 1.5),
    size: tuple[int, int] = (8, 8),
    series: str = "1.2.3.1",
) -> Dataset:
    """One CT Image Storage slice of the field, uncompressed, signed 16 bit."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    ds.PatientName, ds.PatientID, ds.PatientPosition = "Made^Series", "MADE", "HFS"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = "1.2.3", series, "1.2.9"
    ds.Modality, ds.SeriesDescription, ds.ImageType = "CT", "made", ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.AccessionNumber, ds.StudyDate = "A1", "20240102"
    ds.ImagePositionPatient = [float(p) for p in position]
    ds.ImageOrientationPatient = [float(o) for o in orientation]
    ds.PixelSpacing = list(spacing)
    ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = SLOPE, INTERCEPT, "HU"
    hu = field_hu(pixel_points_mm(np.asarray(position), orientation, spacing, size))
    set_pixels(ds, np.round((hu - INTERCEPT) / SLOPE))
    return ds


def set_pixels(ds: Dataset, stored: np.ndarray, signed: bool = True) -> None:
    """Put stored values into a slice as 16 bit."""
    ds.Rows, ds.Columns = stored.shape[-2:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, int(signed)
    ds.PixelData = stored.astype("<i2" if signed else "<u2").tobytes()
    ds["PixelData"].VR = "OW"


def stored_values(ds: Dataset) -> np.ndarray:
    """The stored values of a made slice."""
    return np.frombuffer(ds.PixelData, "<i2" if ds.PixelRepresentation else "<u2").reshape(ds.Rows, ds.Columns)


def save(ds: Dataset, path: Path) -> Path:
    """Write a made object as a DICOM file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


def write_series(
    folder: Path,
    positions: Sequence[np.ndarray] | None = None,
    *,
    change: Change | None = None,
    orientation: Sequence[float] = AXIAL,
    spacing: tuple[float, float] = (1.5, 1.5),
    size: tuple[int, int] = (8, 8),
    series: str = "1.2.3.1",
) -> Path:
    """A folder of slices at `positions`, named and numbered in a scrambled order; `change` edits slice k before it is saved."""
    places = even_positions(orientation=orientation) if positions is None else list(positions)
    for k, position in enumerate(places):
        ds = ct_slice(position, orientation, spacing, size, series)
        scrambled = (k * 7 + 3) % max(1, len(places))
        ds.InstanceNumber = scrambled + 1
        if change is not None:
            change(k, ds)
        save(ds, folder / f"{series}-{scrambled:03d}-{k:03d}.dcm")
    return folder


def enhanced_ct(positions: Sequence[np.ndarray], orientation: Sequence[float] = AXIAL) -> Dataset:
    """One enhanced multi-frame CT of the field: place and rescale per frame, spacing and orientation shared."""
    slices = [ct_slice(p, orientation) for p in positions]
    ds = slices[0]
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = EnhancedCTImageStorage
    ds.NumberOfFrames = len(slices)
    shared, measures, plane = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, plane.ImageOrientationPatient = [1.5, 1.5], list(orientation)
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    frames, planes = [], []
    for k, s in enumerate(slices):
        frame, place, scale = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = list(s.ImagePositionPatient)
        # every frame has an offset of its own: only a per-frame rescale gives the field
        scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = SLOPE, INTERCEPT + k, "HU"
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [place], [scale]
        frames.append(frame)
        planes.append(stored_values(s) - int(k / SLOPE))
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "RescaleSlope",
        "RescaleIntercept",
    ):
        del ds[keyword]
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = [shared], frames
    set_pixels(ds, np.stack(planes))
    return ds


def assert_is_field(volume: Volume, within_hu: float = SLOPE / 2 + 1e-3) -> None:
    """Assert that every voxel holds the HU that the field has where the affine says it lies."""
    z, y, x = np.indices(volume.hu.shape)
    m = volume.world_from_voxel.double().numpy()
    points = np.stack([x, y, z], axis=-1) @ m[:3, :3].T + m[:3, 3]
    assert np.abs(volume.hu.numpy() - field_hu(points)).max() <= within_hu
