"""Radiographs out: Digital X-Ray Image For Presentation, marked synthetic, and the way back to optical depth.

Pixels. Stored 0 ... 16383 (14 bits) = (optical depth + 0.5) / 0.001, one scale for all images; depths outside -0.5 ...
15.883 are clipped and the header says how many. DX forbids any Rescale but the identity (PS3.3 C.8.11.3), so the scale
stands in the Real World Value Mapping Sequence (C.7.6.16.2.11), and again with the exact view in a private
block: group 0075, creator SPONDYL, element 01 (UT, JSON; see `PictureRecord`).
Display. Bone white (MONOCHROME2), SIGMOID window, columns as a radiology workstation wants them.
"""

from pathlib import Path

import numpy as np
from jaxtyping import UInt16
from numpy import ndarray
from pydicom import Dataset, dcmread, uid
from pydicom.errors import InvalidDicomError
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from spondyl.geometry import View
from spondyl.images import Radiograph
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
from spondyl.io.display import spine_window
from spondyl.io.exposure import Exposure
from spondyl.io.film import VIEW_POSITIONS
from spondyl.io.film_orientation import flips_for_pacs, image_orientation, projection
from spondyl.io.outfile import output_file
from spondyl.io.record import PictureRecord, record_from_text
from spondyl.io.source import Source

__all__ = ["Exposure", "read_dx_radiograph", "write_dx"]

BITS = 14
TOP = 2**BITS - 1
# 0.001 is a twentieth of the quantum noise of a good exposure; -0.5 leaves room for noise and scatter in the open field.
DEPTH_LOW, DEPTH_STEP = -0.5, 0.001
DEPTH_HIGH = DEPTH_LOW + TOP * DEPTH_STEP
PRIVATE_GROUP, PRIVATE_CREATOR, PRIVATE_RECORD = 0x0075, "SPONDYL", 0x01
SERIES_NUMBER = 9001  # far from the numbers that scanners give
NO_UNITS = Code("1", "UCUM", "no units")


def write_dx(radiograph: Radiograph, path: Path, *, source: Source, exposure: Exposure, derivation: str) -> None:
    """One radiograph as a DX Image For Presentation file; the same arguments give the same bytes.

    Args:
        source: its patient and study are repeated and its instances referenced; a made-up patient where it has none.
        exposure: the simulated exposure; `source_to_patient_mm` decides Pixel Spacing and the magnification factor.
        derivation: one sentence on what was made from what; stands in the header with the marking.

    Raises:
        ValueError: for a batch, NaN, a patient plane behind the detector, text that DICOM does not allow.
        OSError: where the file cannot be written; nothing is left behind.
    """
    view = radiograph.view
    if view.batch_shape:
        raise ValueError(f"the radiograph is a batch of {tuple(view.batch_shape)}; write its images one by one")
    record = PictureRecord(view, DEPTH_LOW, DEPTH_HIGH, TOP, columns_flipped=flips_for_pacs(view))
    stored = record.stored(radiograph)
    details = f"{exposure.sentence()} {_clipped(radiograph)}"
    title = f"{exposure.view_name} radiograph {exposure.geometry_name}"
    with strict_values():
        ds = Dataset()
        ds.SpecificCharacterSet = "ISO_IR 192"
        ds.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
        add_patient_and_study(ds, source)
        _add_image(ds, stored)
        _add_display(ds, radiograph)
        _add_anatomy_and_view(ds, record)
        _add_geometry(ds, view, exposure)
        _add_depth_scale(ds, record)
        mark_synthetic(ds, source, derivation=derivation, details=details, title=title)
        digest = content_digest(ds)
        ds.SeriesInstanceUID = made_uid("series", digest)
        ds.SOPInstanceUID = made_uid("instance", digest)
    with output_file(path) as part:
        write_whole(ds, part)


def read_dx_radiograph(path: Path) -> Radiograph:
    """The radiograph of `write_dx`: the view exactly, optical depth within half of 0.001 where it was not clipped.

    Raises:
        ValueError: for any other file (read those with `read_radiograph`).
        OSError: where it cannot be read.
    """
    try:
        ds = dcmread(path)
        text = str(ds.private_block(PRIVATE_GROUP, PRIVATE_CREATOR)[PRIVATE_RECORD].value)
        stored = np.asarray(ds.pixel_array)
    except (InvalidDicomError, KeyError, AttributeError, ValueError, EOFError, RuntimeError):  # NotImplementedError too
        raise ValueError(
            f"{path} is not a whole DICOM radiograph with spondyl's geometry; read it as a film with read_radiograph"
        ) from None
    if str(ds.get("LossyImageCompression") or "00") != "00" or stored.dtype != np.uint16:
        raise ValueError(f"{path} was changed with loss after spondyl wrote it; its optical depth is gone")
    return record_from_text(text).radiograph(stored)


def _clipped(radiograph: Radiograph) -> str:
    depth = radiograph.optical_depth
    count = int(((depth < DEPTH_LOW) | (depth > DEPTH_HIGH)).sum())
    return f"{count} pixels beyond optical depth {DEPTH_LOW} to {DEPTH_HIGH:.3f} were clipped." if count else ""


def _add_image(ds: Dataset, stored: UInt16[ndarray, "h w"]) -> None:
    """DX Series, General Image, Image Pixel, DX Image (PS3.3 C.8.11.1, C.7.6.1, C.7.6.3, C.8.11.3)."""
    ds.Modality, ds.PresentationIntentType = "DX", "FOR PRESENTATION"
    ds.SeriesNumber, ds.InstanceNumber = SERIES_NUMBER, 1
    ds.ImageType = ["DERIVED", "SECONDARY", ""]
    ds.AcquisitionContextSequence = []
    ds.Rows, ds.Columns = stored.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, BITS, BITS - 1, 0
    # sign -1: higher numbers mean less beam
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", -1
    ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = decimal(1), decimal(0), "US"
    ds.LossyImageCompression = "00"
    ds.PixelData = stored.astype("<u2").tobytes()


def _add_display(ds: Dataset, radiograph: Radiograph) -> None:
    """VOI LUT and Presentation LUT Shape (PS3.3 C.11.2, C.11.6)."""
    low, high = spine_window(radiograph.optical_depth)
    ds.WindowCenter = decimal(round(((low + high) / 2 - DEPTH_LOW) / DEPTH_STEP))
    ds.WindowWidth = decimal(round((high - low) / DEPTH_STEP))
    ds.WindowCenterWidthExplanation = "SPINE"
    ds.VOILUTFunction = "SIGMOID"
    ds.PresentationLUTShape = "IDENTITY"


def _add_anatomy_and_view(ds: Dataset, record: PictureRecord) -> None:
    """DX Anatomy Imaged and the view of DX Positioning (PS3.3 C.8.11.2, C.8.11.5)."""
    shown = projection(record.view)
    ds.BodyPartExamined = "SPINE"
    ds.AnatomicRegionSequence = [code_item(codes.SCT.Spine)]
    ds.ImageLaterality = "U"
    ds.PatientOrientation = list(image_orientation(record.view, columns_flipped=record.columns_flipped))
    if shown.position in VIEW_POSITIONS:  # obliques have no term of their own; the code below names them
        ds.ViewPosition = shown.position
    seen = code_item(Code(shown.code, "SCT", shown.meaning))
    seen.ViewModifierCodeSequence = []
    ds.ViewCodeSequence = [seen]


def _add_geometry(ds: Dataset, view: View, exposure: Exposure) -> None:
    """Distances and spacings of DX Detector and DX Positioning (PS3.3 C.8.11.4, C.8.11.5, 10.7)."""
    dv, du = view.pixel_spacing_mm
    ds.DetectorType, ds.PositionerType = "", "NONE"
    ds.ImagerPixelSpacing = [decimal(dv), decimal(du)]
    ds.PixelSpacing = [decimal(dv), decimal(du)]
    if exposure.kvp is not None:
        ds.KVP = decimal(exposure.kvp)
    if exposure.mas is not None:
        ds.Exposure, ds.ExposureInuAs = round(exposure.mas), round(exposure.mas * 1000)
    magnification = _magnification(ds, view, exposure)
    if magnification is None:  # Pixel Spacing equal to that of the detector says just that
        return
    height = magnification if view.beam == "cone" else 1.0
    ds.PixelSpacing = [decimal(dv / height), decimal(du / magnification)]
    ds.PixelSpacingCalibrationType = "GEOMETRY"
    how = "parallel beam" if view.beam == "parallel" else "simulated geometry, plane at Distance Source to Patient"
    ds.PixelSpacingCalibrationDescription = f"{how}{'; slot: rows not magnified' if view.beam == 'slot' else ''}"[:64]
    ds.EstimatedRadiographicMagnificationFactor = decimal(magnification)


def _magnification(ds: Dataset, view: View, exposure: Exposure) -> float | None:
    if view.beam == "parallel":  # no source, so no distances
        return 1.0
    to_detector, to_patient = float(view.source_to_detector_mm), exposure.source_to_patient_mm
    ds.DistanceSourceToDetector = decimal(to_detector)
    if to_patient is None:
        return None
    if to_patient > to_detector:
        raise ValueError(
            f"source_to_patient_mm is {to_patient:g}, the detector only {to_detector:g} mm from the source; wanted less"
        )
    ds.DistanceSourceToPatient = decimal(to_patient)
    return to_detector / to_patient


def _add_depth_scale(ds: Dataset, record: PictureRecord) -> None:
    """Optical depth of stored numbers for any reader (PS3.3 C.7.6.16.2.11), and the exact view for ours."""
    scale = Dataset()
    scale.LUTExplanation, scale.LUTLabel = "optical depth, -ln(transmission)", "OPTICAL DEPTH"
    scale.RealWorldValueFirstValueMapped, scale.RealWorldValueLastValueMapped = 0, record.top
    scale.RealWorldValueIntercept, scale.RealWorldValueSlope = record.depth_low, record.step
    scale.MeasurementUnitsCodeSequence = [code_item(NO_UNITS)]
    ds.RealWorldValueMappingSequence = [scale]
    ds.private_block(PRIVATE_GROUP, PRIVATE_CREATOR, create=True).add_new(PRIVATE_RECORD, "UT", record.text())
