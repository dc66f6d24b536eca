"""The front door: what a path is, is decided by content; every refusal is one line."""

import gzip
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import torch
from made_series import enhanced_ct, even_positions, save, write_series
from made_spine import made_spine, mirrored
from one_line import refused

from spondyl.io.volumes import read_ct, read_labelled

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_lps(path: Path, values: np.ndarray, affine: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(values.T, LPS_TO_RAS @ affine), path)
    return path


def spine_ct(labels: np.ndarray) -> np.ndarray:
    return np.where(labels > 0, 300, -1000).astype(np.int16)


def test_a_volume_is_float32_hu_with_a_float64_affine(tmp_path: Path) -> None:
    labels, affine = made_spine((20, 21))
    volume, source = read_ct(write_lps(tmp_path / "a.nii.gz", spine_ct(labels), affine))
    assert volume.hu.dtype == torch.float32
    assert volume.world_from_voxel.dtype == torch.float64
    assert volume.labels is None
    assert np.allclose(volume.world_from_voxel, affine)
    assert source.path == tmp_path / "a.nii.gz"
    assert source.dicom == {}


def test_misnamed_files_are_read_by_their_content(tmp_path: Path) -> None:
    labels, affine = made_spine((20, 21))
    write_lps(tmp_path / "a.nii.gz", spine_ct(labels), affine).rename(tmp_path / "scan.dcm")
    sitk.WriteImage(sitk.GetImageFromArray(spine_ct(labels)), str(tmp_path / "b.mha"))
    (tmp_path / "b.mha").rename(tmp_path / "b.nii")
    save(enhanced_ct(even_positions()), tmp_path / "c.nii.gz")
    kinds = [read_ct(tmp_path / name)[1].kind for name in ("scan.dcm", "b.nii", "c.nii.gz")]
    assert kinds == ["nifti", "itk", "dicom"]


def test_the_same_scan_in_three_formats_is_the_same_volume(tmp_path: Path) -> None:
    from spondyl.io.nifti import write_nifti

    first, _ = read_ct(write_series(tmp_path / "s"))
    write_nifti(first, tmp_path / "a.nii.gz", sidecar={})
    image = sitk.ReadImage(str(tmp_path / "a.nii.gz"))
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    for name in ("a.nii.gz", "a.nrrd"):
        other, _ = read_ct(tmp_path / name)
        assert bool((other.hu == first.hu).all())
        assert np.allclose(other.world_from_voxel, first.world_from_voxel, atol=1e-4)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG picture"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "JPEG picture"),
        (b"II*\x00" + bytes(100), "TIFF picture"),
        (b"", "is empty"),
        (b"hello world" * 100, "of no kind that is read here"),
        ((348).to_bytes(4, "little") + bytes(400), "ANALYZE 7.5"),
        (gzip.compress(b"hello world" * 100), "of no kind that is read here"),
        (b"\x1f\x8b" + bytes(50), "damaged gzip"),
        (b"PK\x03\x04" + bytes(50), "damaged zip"),
    ],
)
def test_what_is_no_ct_is_refused_by_its_name(tmp_path: Path, content: bytes, word: str) -> None:
    (tmp_path / "thing.nii.gz").write_bytes(content)
    refused(tmp_path / "thing.nii.gz", "thing.nii.gz", word)


def test_a_path_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_ct(tmp_path / "nothing.nii.gz")


def test_an_8_bit_volume_is_read_and_loudly_noted(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 231, (9, 9, 9)).astype(np.float32)
    volume, source = read_ct(write_lps(tmp_path / "a.nii.gz", grey, np.diag([2.0, 2, 2, 1])))
    assert source.kind == "nifti"
    assert "not Hounsfield units: grey values 0..230, physics will be wrong" in source.notes
    assert np.array_equal(volume.hu, grey)


def test_labels_are_mapped_and_carried_beside_the_hu(tmp_path: Path) -> None:
    labels, affine = made_spine((33, 32, 31, 30))
    ct = write_lps(tmp_path / "ct.nii.gz", spine_ct(labels), affine)
    seg = write_lps(tmp_path / "seg.nii.gz", labels, affine)
    volume, source = read_labelled(ct, seg)
    assert volume.labels is not None
    assert np.array_equal(volume.labels.numpy(), np.select([labels == v for v in (33, 32, 31, 30)], [18, 19, 20, 21]))
    assert source.path == ct
    assert any("labels read as totalsegmentator" in note for note in source.notes)


def test_labels_in_another_file_format_and_axis_order_fall_on_the_same_voxels(tmp_path: Path) -> None:
    labels, affine = made_spine((19, 20, 21, 22))
    ct = write_lps(tmp_path / "ct.nii.gz", spine_ct(labels), affine)
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing((2.0, 2.0, 2.0))
    image.SetOrigin(affine[:3, 3].tolist())
    sitk.WriteImage(sitk.PermuteAxes(image, (2, 0, 1)), str(tmp_path / "seg.nrrd"))
    volume, source = read_labelled(ct, tmp_path / "seg.nrrd", "verse")
    assert volume.labels is not None
    assert np.array_equal(volume.labels.numpy(), labels)
    assert any("another grid" in note for note in source.notes)


def test_labels_of_a_wrong_shape_or_place_are_refused(tmp_path: Path) -> None:
    labels, affine = made_spine((19, 20, 21, 22))
    ct = write_lps(tmp_path / "ct.nii.gz", spine_ct(labels), affine)
    cut = write_lps(tmp_path / "cut.nii.gz", labels[:-5], affine)
    with pytest.raises(ValueError, match="wanted the same grid"):
        read_labelled(ct, cut)
    away = affine.copy()
    away[1, 3] -= 3000
    with pytest.raises(ValueError, match="lies inside the CT"):
        read_labelled(ct, write_lps(tmp_path / "away.nii.gz", labels, away))


def test_dicom_labels_and_unknown_schemes_are_refused(tmp_path: Path) -> None:
    labels, affine = made_spine((19, 20, 21, 22))
    ct = write_lps(tmp_path / "ct.nii.gz", spine_ct(labels), affine)
    with pytest.raises(ValueError, match="label maps are read as NIfTI"):
        read_labelled(ct, write_series(tmp_path / "s"))
    with pytest.raises(ValueError, match="wanted auto or one of"):
        read_labelled(ct, ct, "nonsense")


def test_a_mirrored_pair_is_read_with_a_warning(tmp_path: Path) -> None:
    labels, affine = made_spine((17, 18, 19, 20, 21, 22))
    flipped = mirrored(affine, 1)
    ct = write_lps(tmp_path / "ct.nii.gz", spine_ct(labels), flipped)
    _, source = read_labelled(ct, write_lps(tmp_path / "seg.nii.gz", labels, flipped))
    assert any("front and back are exchanged" in note for note in source.notes)


def test_importing_the_front_door_loads_no_file_library() -> None:
    code = (
        "import sys, spondyl.io.volumes\n"
        "assert not {'pydicom', 'nibabel', 'SimpleITK'} & set(sys.modules), sorted(sys.modules)"
    )
    source = Path(__file__).resolve().parents[2] / "src"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(source), "PATH": ""})
