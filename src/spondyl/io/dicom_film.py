"""Films from DICOM: DX, CR, secondary capture, RF and XA stills, CT localizers; what is refused, and in which words."""

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Shaped
from numpy import ndarray
from pydicom import Dataset, FileDataset, dcmread, uid
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array

from spondyl.io.dicom_grey import Grey, first_number, grey_of
from spondyl.io.film import VIEW_POSITIONS, Film, SpacingKind
from spondyl.io.raster_film import MOST_PIXELS, grey_of_colour
from spondyl.io.source import Source

# What a derived object repeats of its source.
REPEATED = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID", "StudyDate", "StudyTime",
    "AccessionNumber", "ReferringPhysicianName", "SeriesInstanceUID", "FrameOfReferenceUID", "PatientPosition", "Modality",
)  # fmt: skip
# Without these, pixel data is a row of bytes.
NEEDED = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation", "PhotometricInterpretation")
# Pictures that are no projection radiographs, and where they belong.
NOT_RADIOGRAPHS: dict[str, str] = {
    uid.CTImageStorage: "a CT slice; give the folder of its series as a volume",
    uid.EnhancedCTImageStorage: "a CT volume; read it as a volume",
    uid.MRImageStorage: "an MR slice",
    uid.EnhancedMRImageStorage: "an MR volume",
    uid.UltrasoundImageStorage: "an ultrasound image",
    uid.UltrasoundMultiFrameImageStorage: "an ultrasound clip",
    uid.PositronEmissionTomographyImageStorage: "a PET slice",
    uid.NuclearMedicineImageStorage: "a nuclear medicine image",
    uid.SegmentationStorage: "a segmentation",
}
# View Code Sequence (0054,0220): SNOMED CT of CID 4010, and the older SRT codes (pydicom's table; R-10214 is CID 4010 of 2011).
VIEW_CODES: dict[str, str] = {
    "272479007": "PA", "399348003": "AP", "399173006": "LL", "399198007": "RL",
    "R-10214": "PA", "R-40888": "PA", "R-10206": "AP", "R-10236": "LL", "R-10232": "RL",
}  # fmt: skip


@dataclass(frozen=True)
class Spacing:
    """Pixel spacing (v, u) in mm, where it holds, and what was odd about it."""

    mm: tuple[float, float] | None
    kind: SpacingKind
    note: str = ""


def read_dicom_film(path: Path, *, display: bool) -> tuple[Film, Source]:
    """The film and its source. Raises ValueError with a sentence that does not name the file (the caller does)."""
    data = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of every oddity of a header; those that matter are noted here
        ds = _parsed(data)
        try:
            film, notes = _film(ds, display=display)
            return film, _source(path, data, ds, notes)
        except ValueError:  # ours
            raise
        except Exception:  # values are decoded when first used; damaged ones fail in many ways
            raise ValueError("the DICOM header holds values that cannot be read; export the file again") from None


def _film(ds: FileDataset, *, display: bool) -> tuple[Film, tuple[str, ...]]:
    _refuse_other_than_one_still(ds)
    shown = _shown(ds, _decoded(ds), display=display)
    spacing = spacing_of(ds)
    film = Film(
        grey=torch.from_numpy(shown.grey),
        spacing_mm=spacing.mm,
        spacing_kind=spacing.kind,
        photometric=str(ds.PhotometricInterpretation),
        view_position=view_position_of(ds),
        patient_orientation=_orientation(ds),
        bits=int(ds.BitsStored),
    )
    return film, (*shown.notes, *([spacing.note] if spacing.note else []))


def spacing_of(ds: Dataset) -> Spacing:
    """Spacing by DICOM PS3.3 10.7.1.3: which attribute there is, and whether it was calibrated, decides its meaning."""
    at_detector, detector_note = _pair(ds, "ImagerPixelSpacing")
    if at_detector is None and "NominalScannedPixelSpacing" in ds:  # a digitised sheet of film
        at_detector, detector_note = _pair(ds, "NominalScannedPixelSpacing")
    at_patient, patient_note = _pair(ds, "PixelSpacing")
    note = detector_note or patient_note
    if at_patient is None:
        missing = note or ("" if at_detector else "The file has no pixel spacing; lengths in mm are unknown.")
        return Spacing(at_detector, "detector" if at_detector else "unknown", missing)
    if str(ds.get("PixelSpacingCalibrationType") or "") in ("GEOMETRY", "FIDUCIAL"):
        return Spacing(at_patient, "patient", note)
    if at_detector is None:
        plain = "Pixel Spacing without calibration type: the file does not say at which plane it holds."
        return Spacing(at_patient, "unknown", note or plain)
    if np.allclose(at_detector, at_patient, rtol=1e-4):
        return Spacing(at_detector, "detector", note)
    return Spacing(
        at_patient, "patient", "Pixel Spacing differs from that of the detector without saying how it was found."
    )


def view_position_of(ds: Dataset) -> str:
    """ "PA", "AP", "LL" or "RL" by View Position (0018,5101), else by View Code Sequence (0054,0220); "" otherwise."""
    position = str(ds.get("ViewPosition") or "").strip().upper()
    if position:
        return position if position in VIEW_POSITIONS else ""
    codes = ds.get("ViewCodeSequence") or []
    return VIEW_CODES.get(str(codes[0].get("CodeValue") or ""), "") if len(codes) else ""


def _parsed(data: bytes) -> FileDataset:
    try:
        ds = dcmread(io.BytesIO(data), force=data[128:132] != b"DICM")
        if "TransferSyntaxUID" not in ds.file_meta:
            ds.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian  # PS3.10: what files without meta mostly are
        return ds
    except Exception:  # a damaged header fails in many ways, struct.error and KeyError among them
        raise ValueError("the DICOM header is damaged or cut short; export the file again") from None


def _refuse_other_than_one_still(ds: FileDataset) -> None:
    kind = NOT_RADIOGRAPHS.get(str(ds.get("SOPClassUID") or ""))
    if kind and "LOCALIZER" not in [str(part) for part in _listed(ds.get("ImageType"))]:
        raise ValueError(f"the file is {kind}; wanted a radiograph")
    if "PixelData" not in ds:
        what = str(ds.get("Modality") or "unknown modality")[:16]
        raise ValueError(f"the DICOM file has no pixel data ({what}) or was cut short before it; wanted an image")
    frames = int(first_number(ds, "NumberOfFrames") or 1)
    if frames > 1:
        raise ValueError(f"the file holds {frames} frames; wanted one still radiograph; export a single frame")
    lacking = [keyword for keyword in NEEDED if ds.get(keyword) in (None, "")]
    if lacking:
        raise ValueError(
            f"the DICOM header lacks {', '.join(lacking)}; without it pixels mean nothing; export it again"
        )
    if int(ds.Rows) * int(ds.Columns) > MOST_PIXELS:
        raise ValueError(f"the picture is {ds.Columns} x {ds.Rows} pixels, more than {MOST_PIXELS}; export it smaller")


def _decoded(ds: FileDataset) -> Shaped[ndarray, "h w *c"]:
    syntax = uid.UID(str(ds.file_meta.TransferSyntaxUID))
    try:
        if not get_decoder(syntax).is_available:
            raise ValueError(f"no installed package decodes {syntax.name}; run pip install 'spondyl[dicom]'")
    except NotImplementedError:
        raise ValueError(
            f"the transfer syntax {syntax} is not known; export the file uncompressed (Explicit VR Little Endian)"
        ) from None
    try:
        return np.asarray(pixel_array(ds))
    except Exception:  # decoders fail in many ways; a user can do one thing about all of them
        raise ValueError(f"the pixel data ({syntax.name}) is damaged or cut short; export the file again") from None


def _shown(ds: FileDataset, pixels: Shaped[ndarray, "h w *c"], *, display: bool) -> Grey:
    photometric = str(ds.PhotometricInterpretation)
    if photometric == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, ds)
    if pixels.ndim == 3:
        most = 2.0 ** (8 * pixels.dtype.itemsize if photometric == "PALETTE COLOR" else int(ds.BitsStored)) - 1
        return Grey(grey_of_colour(pixels.astype(np.float32) / most), ("The colour file is grey in fact.",))
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise ValueError(f"the pixels are {photometric}; wanted MONOCHROME1, MONOCHROME2 or grey in RGB")
    grey = grey_of(ds, pixels, display=display)
    marked = str(ds.get("SyntheticData") or "") == "YES"
    return Grey(grey.grey, (*grey.notes, *(["The file is marked as synthetic."] if marked else [])))


def _pair(ds: Dataset, keyword: str) -> tuple[tuple[float, float] | None, str]:
    """Two positive numbers of an attribute, or None with a sentence where it is there but impossible."""
    values = [str(part) for part in _listed(ds.get(keyword))]
    if not values or values == [""]:
        return None, ""
    try:
        v, u = (float(part) for part in values)
    except ValueError:
        v, u = 0.0, 0.0
    if not (np.isfinite([v, u]).all() and v > 0 and u > 0):
        return None, f"{keyword} is {' x '.join(values)} mm, which cannot be; lengths in mm are unknown."
    return (v, u), ""


def _orientation(ds: Dataset) -> tuple[str, str]:
    values = [str(part) for part in _listed(ds.get("PatientOrientation"))]
    return (values[0], values[1]) if len(values) == 2 else ("", "")


def _listed(value: object) -> list[object]:
    if value is None:
        return []
    return list(value) if hasattr(value, "__iter__") and not isinstance(value, str | bytes) else [value]


def _source(path: Path, data: bytes, ds: FileDataset, notes: tuple[str, ...]) -> Source:
    instance = (str(ds.get("SOPClassUID") or ""), str(ds.get("SOPInstanceUID") or ""))
    return Source(
        path,
        "dicom",
        hashlib.sha256(data).hexdigest(),
        notes,
        {keyword: str(ds[keyword].value or "") for keyword in REPEATED if keyword in ds},
        (instance,) if all(instance) else (),
    )
