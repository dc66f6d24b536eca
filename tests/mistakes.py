"""What users get wrong, laid down as files and command lines: the cases of test_malformed."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

SHAPE = (24, 20, 16)


@dataclass(frozen=True)
class Mistake:
    """A wrong command line: how to lay down its files, and a word that the error must say.

    `prepare` writes into the folder and returns the arguments; the output is always `folder/out`.
    """

    name: str
    prepare: Callable[[Path], list[str]]
    says: str


def nifti(path: Path, values: np.ndarray, affine: np.ndarray | None = None) -> Path:
    nib.save(nib.Nifti1Image(values, np.eye(4) * [2, 2, 3, 1] if affine is None else affine), path)
    return path


def trunk(path: Path) -> Path:
    """A CT of a block of water with a column of bone in it, in air."""
    hu = np.full(SHAPE, -1000, dtype=np.int16)
    hu[3:-3, 3:-3, :] = 40
    hu[10:14, 8:12, :] = 500
    return nifti(path, hu)


def header_changed(path: Path, **fields: object) -> Path:
    """A NIfTI file whose header was broken after it was written, as a faulty converter would."""
    trunk(path)
    image = nib.load(path)
    header = image.header.copy()
    for name, value in fields.items():
        header[name] = value
    raw = bytearray(image.to_bytes())
    raw[:348] = header.binaryblock
    path.write_bytes(bytes(raw))
    return path


def dicom_series(folder: Path, series: str, slices: int = 8) -> list[Path]:
    """A small axial CT series, one file a slice."""
    from pydicom import Dataset, FileMetaDataset, uid

    folder.mkdir(exist_ok=True)
    files = []
    for k in range(slices):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = uid.CTImageStorage
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{series}.{k + 1}"
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = "1.2.3", series, "1.2.3.9"
        ds.Modality, ds.PatientPosition, ds.InstanceNumber = "CT", "HFS", k + 1
        ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, 3 * k], [1, 0, 0, 0, 1, 0]
        ds.PixelSpacing, ds.SliceThickness = [2, 2], 3
        ds.Rows, ds.Columns, ds.SamplesPerPixel = SHAPE[1], SHAPE[0], 1
        ds.PhotometricInterpretation, ds.PixelRepresentation = "MONOCHROME2", 1
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
        ds.RescaleSlope, ds.RescaleIntercept = 1, 0
        ds.PixelData = np.full((SHAPE[1], SHAPE[0]), 40, dtype=np.int16).tobytes()
        files.append(folder / f"{series}.{k}.dcm")
        ds.save_as(files[-1], enforce_file_format=True)
    return files


def truncated_dicom(folder: Path) -> list[str]:
    for file in dicom_series(folder / "ct", "1.2.3.4"):
        file.write_bytes(file.read_bytes()[:700])
    return ["project", str(folder / "ct")]


def empty_folder(folder: Path) -> list[str]:
    (folder / "ct").mkdir()
    return ["project", str(folder / "ct")]


def two_series(folder: Path) -> list[str]:
    dicom_series(folder / "ct", "1.2.3.4")
    dicom_series(folder / "ct", "1.2.3.5")
    return ["project", str(folder / "ct")]


def nan_affine(folder: Path) -> list[str]:
    broken = header_changed(folder / "ct.nii", srow_x=[np.nan] * 4, qform_code=0)
    return ["project", str(broken)]


def zero_spacing(folder: Path) -> list[str]:
    broken = header_changed(folder / "ct.nii", srow_y=[0, 0, 0, 0], qform_code=0)
    return ["project", str(broken)]


def flat_file(folder: Path) -> list[str]:
    return ["project", str(nifti(folder / "ct.nii.gz", np.zeros((30, 40), dtype=np.int16)))]


def labels_of_another_shape(folder: Path) -> list[str]:
    labels = np.zeros((24, 20, 12), dtype=np.uint8)
    labels[10:14, 8:12, 2:6] = 20
    ct = trunk(folder / "ct.nii.gz")
    return ["measure", str(ct), "--labels", str(nifti(folder / "labels.nii.gz", labels))]


def labels_without_a_vertebra(folder: Path) -> list[str]:
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[10:14, 8:12, 2:14] = 31
    ct = trunk(folder / "ct.nii.gz")
    arguments = ["measure", str(ct), "--labels", str(nifti(folder / "labels.nii.gz", labels))]
    return [*arguments, "--label-scheme", "spondyl"]


def missing_file(folder: Path) -> list[str]:
    return ["project", str(folder / "nothing.nii.gz")]


def text_as_nifti(folder: Path) -> list[str]:
    (folder / "ct.nii.gz").write_text("this is no volume\n" * 50)
    return ["project", str(folder / "ct.nii.gz")]


def unknown_kind(folder: Path) -> list[str]:
    (folder / "ct.xyz").write_bytes(bytes(range(256)) * 8)
    return ["project", str(folder / "ct.xyz")]


def zip_without_dicom(folder: Path) -> list[str]:
    with zipfile.ZipFile(folder / "ct.zip", "w") as archive:
        archive.writestr("readme.txt", "no pictures here")
    return ["project", str(folder / "ct.zip")]


def on_a_good_ct(*arguments: str) -> Callable[[Path], list[str]]:
    def prepare(folder: Path) -> list[str]:
        return ["project", str(trunk(folder / "ct.nii.gz")), *arguments]

    return prepare


def output_is_a_file(folder: Path) -> list[str]:
    (folder / "out").write_text("mine")
    return ["project", str(trunk(folder / "ct.nii.gz"))]


def unknown_scheme(folder: Path) -> list[str]:
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[10:14, 8:12, 2:6] = 20
    ct = trunk(folder / "ct.nii.gz")
    return ["measure", str(ct), "--labels", str(nifti(folder / "l.nii.gz", labels)), "--label-scheme", "mine"]


def cut_gzip(folder: Path) -> list[str]:
    path = trunk(folder / "ct.nii.gz")
    path.write_bytes(path.read_bytes()[:-300])
    return ["project", str(path)]


def garbled_gzip(folder: Path) -> list[str]:
    path = trunk(folder / "ct.nii.gz")
    raw = bytearray(path.read_bytes())
    raw[40:80] = bytes(40)
    path.write_bytes(bytes(raw))
    return ["project", str(path)]


def nothing_but_air(folder: Path) -> list[str]:
    return ["project", str(nifti(folder / "ct.nii.gz", np.full(SHAPE, -1000, dtype=np.int16)))]


def several_volumes(folder: Path) -> list[str]:
    return ["project", str(nifti(folder / "ct.nii.gz", np.zeros((*SHAPE, 3), dtype=np.int16)))]


def picture_for_a_ct(folder: Path) -> list[str]:
    (folder / "ct.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))
    return ["project", str(folder / "ct.png")]


MISTAKES = (
    Mistake("truncated DICOM", truncated_dicom, ""),
    Mistake("empty folder", empty_folder, "no file"),
    Mistake("two series in one folder", two_series, "series"),
    Mistake("NaN affine", nan_affine, "affine"),
    Mistake("zero spacing", zero_spacing, "affine"),
    Mistake("two-dimensional file", flat_file, ""),
    Mistake("labels of another shape", labels_of_another_shape, "labels.nii.gz"),
    Mistake("labels without a vertebra", labels_without_a_vertebra, "vertebra"),
    Mistake("missing file", missing_file, "does not exist"),
    Mistake("text called nii.gz", text_as_nifti, "ct.nii.gz"),
    Mistake("unknown kind of file", unknown_kind, "ct.xyz"),
    Mistake("zip without DICOM", zip_without_dicom, "DICOM"),
    Mistake("unknown view", on_a_good_ct("--views", "pa,sideways"), "sideways"),
    Mistake("no view", on_a_good_ct("--views", " , "), "views"),
    Mistake("the same view twice", on_a_good_ct("--views", "lateral,90"), "once"),
    Mistake("unknown format", on_a_good_ct("--format", "dicom,bmp"), "bmp"),
    Mistake("unknown beam", on_a_good_ct("--beam", "laser"), "laser"),
    Mistake("negative kvp", on_a_good_ct("--kvp", "-90"), "kvp"),
    Mistake("kvp of 500", on_a_good_ct("--kvp", "500"), "kvp"),
    Mistake("negative spacing", on_a_good_ct("--spacing", "-1"), "spacing"),
    Mistake("spacing too fine to fit", on_a_good_ct("--spacing", "0.001"), "3000"),
    Mistake("output is a file", output_is_a_file, "is a file"),
    Mistake("unknown label scheme", unknown_scheme, "mine"),
    Mistake("gzip that is cut short", cut_gzip, "ct.nii.gz"),
    Mistake("gzip that is garbled", garbled_gzip, "ct.nii.gz"),
    Mistake("nothing but air", nothing_but_air, ""),
    Mistake("several volumes in one file", several_volumes, "3"),
    Mistake("picture for a CT", picture_for_a_ct, "PNG"),
)
