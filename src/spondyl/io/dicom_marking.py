"""What every DICOM object of ours carries: the marking as synthetic, its patient and study, its own UIDs.

The marking has no switch. The UIDs are made from the content, so that the same input gives the same file byte for byte.
"""

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom import Dataset, FileDataset, config, uid
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.valuerep import DSfloat

from spondyl import __version__
from spondyl.io.source import Source

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:spondyl:dicom")
SOFTWARE = "spondyl"
NOTICE = "not acquired with X-rays; research use only, not for diagnosis"
SHORT_TEXT = 1024  # most characters of a DICOM ST value, PS3.5 table 6.2-1
LONG_STRING = 64  # of LO
PATIENT = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex")
STUDY = (
    "StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip


def made_uid(*parts: str) -> uid.UID:
    """A UID under 2.25 (PS3.5 B.2) that depends on the parts alone."""
    return uid.UID(f"2.25.{uuid.uuid5(NAMESPACE, chr(31).join(parts)).int}")


def code_item(code: Code) -> Dataset:
    """One item of a code sequence (PS3.3 table 8.8-1)."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    return item


def decimal(number: float) -> DSfloat:
    """A Decimal String of at most 16 characters; rounding noise below 1e-12 is written as 0."""
    return DSfloat(0.0 if abs(number) < 1e-12 else float(number), auto_format=True)


@contextmanager
def strict_values() -> Iterator[None]:
    """Any value that DICOM does not allow raises ValueError while the block builds a dataset."""
    # pydicom keeps its modes in one place for all; the block restores them
    reading, writing = config.settings.reading_validation_mode, config.settings.writing_validation_mode
    config.settings.reading_validation_mode = config.RAISE
    config.settings.writing_validation_mode = config.RAISE
    try:
        yield
    finally:
        config.settings.reading_validation_mode = reading
        config.settings.writing_validation_mode = writing


def add_patient_and_study(ds: Dataset, source: Source) -> None:
    """Patient and study: those of the source, letter for letter, or a made-up patient named SYNTH^...

    What the source has is written as it is, valid or not: another spelling would be another patient to a PACS.
    """
    origin = source.sha256 or f"{source.kind}:{source.path}"
    known = bool(source.dicom.get("PatientID") or source.dicom.get("StudyInstanceUID"))
    with config.disable_value_validation():
        for keyword in (*PATIENT, *STUDY):
            setattr(ds, keyword, source.dicom.get(keyword, ""))
    if not known:
        short = uuid.uuid5(NAMESPACE, origin).hex[:12].upper()
        ds.PatientID, ds.PatientName = f"SYNTH-{short}", f"SYNTH^{short}"
    if not ds.StudyInstanceUID:
        ds.StudyInstanceUID = made_uid("study", origin)
        ds.StudyID = ds.StudyID or "SYNTHETIC"


def mark_synthetic(ds: Dataset, source: Source, *, derivation: str, details: str, title: str) -> None:
    """Write the marking: Synthetic Data, derivation, sources, contributing equipment, and SYNTHETIC in the series' name.

    DICOM PS3.3 C.12.1 (SOP Common), C.7.6.1 (General Image), C.7.5.1 (General Equipment).

    Args:
        derivation: what was made from what, by which system; one sentence.
        details: how (exposure, weights, seed): goes to the contribution's description; may be empty.
        title: what the series shows; the header's Series Description is "SYNTHETIC " and this, 64 characters at most.

    Raises:
        ValueError: for an empty derivation, or text longer than DICOM's 1024 characters.
    """
    said = " ".join(derivation.split()).rstrip(".")
    if not said:
        raise ValueError("the derivation is empty; wanted a sentence that says what was made from what")
    ds.SyntheticData = "YES"
    ds.DerivationDescription = _short(f"SYNTHETIC: {said}; {NOTICE}.")
    ds.ImageComments = f"SYNTHETIC IMAGE, {NOTICE}."
    ds.BurnedInAnnotation = "NO"
    ds.RecognizableVisualFeatures = "NO"
    named = " ".join(title.replace("\\", "/").split())  # a backslash would part the value
    ds.SeriesDescription = f"SYNTHETIC {named}"[:LONG_STRING].strip()
    ds.Manufacturer, ds.ManufacturerModelName, ds.SoftwareVersions = SOFTWARE, SOFTWARE, __version__
    made_by = Dataset()
    made_by.PurposeOfReferenceCodeSequence = [code_item(codes.DCM.SynthesizingEquipment)]
    made_by.Manufacturer, made_by.ManufacturerModelName, made_by.SoftwareVersions = SOFTWARE, SOFTWARE, __version__
    made_by.ContributionDescription = _short(" ".join(f"{said}. {details}".split()))
    ds.ContributingEquipmentSequence = [made_by]
    if source.instances:
        ds.SourceImageSequence = [_reference(sop_class, instance) for sop_class, instance in source.instances]


def content_digest(ds: Dataset) -> str:
    """A name for all that a dataset holds: an encoding in explicit little endian, hashed."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, ds)
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def write_whole(ds: Dataset, part: Path) -> None:
    """A DICOM file (PS3.10), Explicit VR Little Endian, of a finished dataset. The caller sees to wholeness."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    meta.ImplementationClassUID = made_uid("implementation", SOFTWARE)
    meta.ImplementationVersionName = f"SPONDYL_{__version__}"[:16]
    file = FileDataset(str(part), ds, file_meta=meta, preamble=bytes(128))
    file.save_as(part, enforce_file_format=True)


def _reference(sop_class: str, instance: str) -> Dataset:
    item = Dataset()
    with config.disable_value_validation():  # the source's own UIDs, as they are
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
    item.PurposeOfReferenceCodeSequence = [code_item(codes.DCM.SourceImageForImageProcessingOperation)]
    item.SpatialLocationsPreserved = "NO"
    return item


def _short(text: str) -> str:
    if len(text) > SHORT_TEXT:
        raise ValueError(f"the derivation is {len(text)} characters long with its marking; DICOM allows {SHORT_TEXT}")
    return text
