"""MetaImage and NRRD: the same voxel at the same LPS point as their own library says."""

import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from one_line import refused

from spondyl.io.itk import read_itk
from spondyl.io.volumes import read_ct

OBLIQUE = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, -1.0)


def image(shape: tuple[int, ...] = (4, 5, 6)) -> sitk.Image:
    out = sitk.GetImageFromArray((np.arange(np.prod(shape)).reshape(shape) * 7 - 1000).astype(np.int16))
    if len(shape) == 3:
        out.SetSpacing((1.5, 1.25, 2.0))
        out.SetOrigin((10.0, -20.0, 30.0))
        out.SetDirection(OBLIQUE)
    return out


@pytest.mark.parametrize("name", ["a.mha", "a.mhd", "a.nrrd", "a.nhdr"])
def test_a_voxel_keeps_its_lps_point(tmp_path: Path, name: str) -> None:
    truth = image()
    sitk.WriteImage(truth, str(tmp_path / name))
    volume, source = read_ct(tmp_path / name)
    assert volume.hu[3, 2, 1] == truth.GetPixel(1, 2, 3)
    point = (volume.world_from_voxel.numpy() @ [1, 2, 3, 1])[:3]
    assert point == pytest.approx(truth.TransformIndexToPhysicalPoint((1, 2, 3)))
    assert source.kind == "itk"
    assert source.notes == ()
    assert len(source.sha256) == 64


@pytest.mark.parametrize(("name", "other"), [("a.mha", "a.xyz"), ("a.nrrd", "a.mha")])
def test_content_decides_and_not_the_name(tmp_path: Path, name: str, other: str) -> None:
    sitk.WriteImage(image(), str(tmp_path / name))
    (tmp_path / name).rename(tmp_path / other)
    assert read_ct(tmp_path / other)[0].hu.shape == (4, 5, 6)


def test_ras_nrrd_is_turned_to_lps(tmp_path: Path) -> None:
    header = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: right-anterior-superior\nsizes: 2 3 4\n"
        "space directions: (2,0,0) (0,3,0) (0,0,4)\nkinds: domain domain domain\nendian: little\n"
        "encoding: raw\nspace origin: (10,20,30)\n\n"
    )
    (tmp_path / "a.nrrd").write_bytes(header.encode() + np.arange(24, dtype="<i2").tobytes())
    grid = read_itk(tmp_path / "a.nrrd")
    assert np.allclose(grid.world_from_voxel[:3, 3], [-10, -20, 30])
    assert np.allclose(np.diag(grid.world_from_voxel), [-2, -3, 4, 1])
    assert grid.source.notes == ()


def test_nrrd_without_a_space_is_noted(tmp_path: Path) -> None:
    header = "NRRD0004\ntype: short\ndimension: 3\nsizes: 2 3 4\nendian: little\nencoding: raw\nspacings: 2 3 4\n\n"
    (tmp_path / "a.nrrd").write_bytes(header.encode() + np.arange(24, dtype="<i2").tobytes())
    grid = read_itk(tmp_path / "a.nrrd")
    assert np.allclose(np.diag(grid.world_from_voxel), [2, 3, 4, 1])
    assert "names no space" in grid.source.notes[0]


def test_the_hash_of_a_detached_header_covers_its_data(tmp_path: Path) -> None:
    sitk.WriteImage(image(), str(tmp_path / "a.mhd"))
    before = read_itk(tmp_path / "a.mhd").source.sha256
    data = bytearray((tmp_path / "a.raw").read_bytes())
    data[0] ^= 1
    (tmp_path / "a.raw").write_bytes(bytes(data))
    assert read_itk(tmp_path / "a.mhd").source.sha256 != before


def test_a_detached_header_without_its_data_is_refused(tmp_path: Path) -> None:
    sitk.WriteImage(image(), str(tmp_path / "a.mhd"))
    (tmp_path / "a.raw").unlink()
    refused(tmp_path / "a.mhd", "a.raw, which is not there")


@pytest.mark.parametrize("target", ["../secret.raw", "/etc/hostname"])
def test_a_header_may_not_open_files_elsewhere(tmp_path: Path, target: str) -> None:
    folder = tmp_path / "upload"
    folder.mkdir()
    sitk.WriteImage(image(), str(folder / "a.mhd"))
    (folder / "a.raw").rename(tmp_path / "secret.raw")
    text = (folder / "a.mhd").read_text().replace("a.raw", target)
    (folder / "a.mhd").write_text(text)
    refused(folder / "a.mhd", "outside its folder")


def test_data_spread_over_many_files_is_refused(tmp_path: Path) -> None:
    sitk.WriteImage(image(), str(tmp_path / "a.mhd"))
    (tmp_path / "a.mhd").write_text((tmp_path / "a.mhd").read_text().replace("a.raw", "a%03d.raw 0 3 1"))
    refused(tmp_path / "a.mhd", "spread over many files")


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
@pytest.mark.parametrize("keep", [0.6, 0.95])
def test_a_file_cut_short_is_refused(tmp_path: Path, name: str, keep: float) -> None:
    noise = sitk.GetImageFromArray(np.random.default_rng(0).integers(-999, 999, (12, 12, 12)).astype(np.int16))
    sitk.WriteImage(noise, str(tmp_path / name))
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(keep * len(data))])
    refused(tmp_path / name, name)


def test_pictures_and_vectors_are_refused(tmp_path: Path) -> None:
    sitk.WriteImage(image((5, 6)), str(tmp_path / "a.mha"))
    refused(tmp_path / "a.mha", "wanted a volume")
    vectors = sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.float32), isVector=True)
    sitk.WriteImage(vectors, str(tmp_path / "b.mha"))
    refused(tmp_path / "b.mha", "3 numbers a voxel")


def test_several_volumes_are_refused(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((3, 4, 5, 6), np.int16), isVector=False), str(tmp_path / "a.mha"))
    refused(tmp_path / "a.mha", "holds 3 volumes")


def test_without_simpleitk_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sitk.WriteImage(image(), str(tmp_path / "a.mha"))
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    refused(tmp_path / "a.mha", "pip install 'spondyl[itk]'")
