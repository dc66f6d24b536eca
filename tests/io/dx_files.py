"""Small DICOM radiographs with chosen attributes, built by pydicom alone, for the tests of the reader."""

from pathlib import Path

import numpy as np
from pydicom import Dataset, uid
from pydicom.dataset import FileDataset, FileMetaDataset

Attribute = str | int | float | None | list[str] | list[int] | list[float] | list[Dataset] | bytes


def ramp(bits: int = 12, shape: tuple[int, int] = (48, 40)) -> np.ndarray:
    """Every stored number of a bit depth from lowest to highest, evenly, row by row."""
    return np.linspace(0, 2**bits - 1, shape[0] * shape[1]).round().astype(np.uint16).reshape(shape)


def dx(pixels: np.ndarray, *, bits: int = 12, signed: bool = False, **attributes: Attribute) -> FileDataset:
    """A DX image of the given stored numbers; attributes by keyword replace the defaults, None removes one."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = uid.DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    ds = FileDataset("x.dcm", {}, file_meta=meta, preamble=bytes(128))
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3.4"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3", "1.2.3.1"
    ds.PatientID, ds.PatientName, ds.Modality = "P7", "Curve^Test", "DX"
    ds.PhotometricInterpretation, ds.SamplesPerPixel = "MONOCHROME2", 1 if pixels.ndim == 2 else 3
    if pixels.ndim == 3:
        ds.PlanarConfiguration, ds.PhotometricInterpretation = 0, "RGB"
    ds.Rows, ds.Columns = pixels.shape[:2]
    ds.BitsAllocated = 8 * pixels.dtype.itemsize
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = bits, bits - 1, int(signed)
    ds.ImagerPixelSpacing = [0.2, 0.1]
    ds.PixelData = pixels.tobytes()
    for keyword, value in attributes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def saved(ds: FileDataset, folder: Path) -> Path:
    """The file of a dataset, and where it lies."""
    path = folder / "film.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path


def table(entries: list[int], *, first: int, bits: int) -> Dataset:
    """One item of a Modality or VOI LUT sequence."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    return item


def view_code(value: str) -> Dataset:
    """One item of a View Code Sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", "a view"
    return item
