# mypy: disallow-untyped-calls=False
# (SimpleITK is not annotated)
"""MetaImage (.mha, .mhd) and NRRD (.nrrd, .nhdr) through SimpleITK, whose world is LPS mm like ours."""

import hashlib
from pathlib import Path

import numpy as np

from spondyl.io.grid import Grid, check_size
from spondyl.io.source import Source


def read_itk(path: Path) -> Grid:
    """The numbers and the place of a MetaImage or NRRD file, in LPS mm.

    Raises:
        ValueError: where SimpleITK is not installed; for a damaged file, a file that points outside its own folder,
            several numbers a voxel, two dimensions, or four with more than one volume.
    """
    with path.open("rb") as file:
        head = file.read(4096)
    parts = (path, *_data_files(path, head))
    values, affine, notes = _read(path, "NrrdImageIO" if head[:4] == b"NRRD" else "MetaImageIO")
    return Grid(values, affine, Source(path, "itk", _sha256(parts), notes))


def _read(path: Path, image_io: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    try:
        import SimpleITK as sitk  # noqa: N813 (its own custom)
    except ModuleNotFoundError:
        raise ValueError(f"{path.name} needs SimpleITK to be read: pip install 'spondyl[itk]'") from None

    reader = sitk.ImageFileReader()
    reader.SetImageIO(image_io)
    reader.SetFileName(str(path))
    loud = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.GlobalWarningDisplayOff()
    try:
        reader.ReadImageInformation()
        size = tuple(int(n) for n in reader.GetSize())
        if len(size) > 3 and any(n != 1 for n in size[3:]):
            raise ValueError(f"{path.name} holds {int(np.prod(size[3:]))} volumes; wanted one: extract it first")
        check_size(path.name, size[:3])
        if reader.GetNumberOfComponents() != 1:
            raise ValueError(f"{path.name} has {reader.GetNumberOfComponents()} numbers a voxel; wanted one")
        image = reader.Execute()
    except RuntimeError as error:
        raise ValueError(f"{path.name} cannot be read ({_last_line(error)}); copy or export it again") from None
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(loud)
    n = image.GetDimension()
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(n, n)[:3, :3] * np.array(image.GetSpacing())[:3]
    affine[:3, 3] = image.GetOrigin()[:3]
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise ValueError(f"{path.name} has axes that are NaN or flat; wanted the grid's place in mm: repair the header")
    values = sitk.GetArrayFromImage(image)
    keys = reader.GetMetaDataKeys()
    notes: tuple[str, ...] = ()
    if image_io == "NrrdImageIO" and "NRRD_space" not in keys:
        notes = ("the NRRD header names no space: axes taken as LPS; left and right are not certain",)
    return values.reshape(values.shape[-3:]), affine, notes


def _data_files(path: Path, head: bytes) -> tuple[Path, ...]:
    """The file that a detached header names, checked to lie beside it: a header must not open any file it likes."""
    for line in head.decode("latin-1").splitlines():
        key, _, value = line.replace("=", ":", 1).partition(":")
        if key.strip().lower() not in ("elementdatafile", "data file", "datafile"):
            continue
        name = value.strip()
        if name.upper() == "LOCAL":
            return ()
        if name.upper().startswith("LIST") or "%" in name:
            raise ValueError(f"{path.name} is spread over many files; convert it to one .mha or .nrrd")
        inside = (path.parent / name).resolve()
        if not inside.is_relative_to(path.parent.resolve()):
            raise ValueError(f"{path.name} points to data outside its folder ({name}); put both into one folder")
        if not inside.is_file():
            raise ValueError(f"{path.name} names its data {name}, which is not there; put both into one folder")
        return (inside,)
    return ()


def _sha256(parts: tuple[Path, ...]) -> str:
    digests = []
    for part in parts:
        with part.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".!")[-160:] if lines else type(error).__name__
