"""Where an image came from: what later outputs must repeat (identity, references) and what the reader noticed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """The origin of one image word.

    Args:
        path: the file, folder or archive as the user named it.
        kind: "dicom", "nifti", "itk", "png", "jpeg", "tiff", "simulated".
        sha256: of the file, or of the sorted files' hashes for a series; hex.
        notes: sentences for the user: what was odd and what was done about it. Empty where nothing was.
        dicom: attributes that a derived object repeats, keyword -> text (PatientID, PatientName, PatientBirthDate,
            PatientSex, StudyInstanceUID, StudyID, StudyDate, StudyTime, AccessionNumber, ReferringPhysicianName,
            SeriesInstanceUID, FrameOfReferenceUID, PatientPosition, Modality). Empty for other kinds.
        instances: (SOP class UID, SOP instance UID) of every source object, for Source Image Sequence.
    """

    path: Path
    kind: str
    sha256: str = ""
    notes: tuple[str, ...] = ()
    dicom: Mapping[str, str] = field(default_factory=dict)
    instances: tuple[tuple[str, str], ...] = ()

    def noting(self, *sentences: str) -> "Source":
        """The same source with more notes."""
        return replace(self, notes=(*self.notes, *sentences))
