"""Folders and zips: what is taken, what is left out, and what is refused before it can do harm."""

import sys
import zipfile
from pathlib import Path

import pytest
from made_series import assert_is_field, even_positions, save, write_series
from one_line import refused
from pydicom import dcmread

from spondyl.io import dicom_files
from spondyl.io.volumes import read_ct


def zipped(folder: Path, target: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, f"{prefix}{path.relative_to(folder)}")
    return target


def test_a_zip_of_a_series_is_the_series(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s")
    from_zip, from_folder = read_ct(zipped(folder, tmp_path / "s.zip", "deep/er/")), read_ct(folder)
    assert bool((from_zip[0].hu == from_folder[0].hu).all())
    assert from_zip[1].sha256 == from_folder[1].sha256
    assert_is_field(from_zip[0])


def test_what_is_not_dicom_is_left_out_and_named(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s")
    (folder / "readme.txt").write_text("hello")
    (folder / "empty.dcm").write_bytes(b"")
    text = " ".join(read_ct(folder)[1].notes)
    assert "2 files are not DICOM and were left out (empty.dcm, readme.txt)" in text


@pytest.mark.parametrize("name", ["DICOMDIR", ".DS_Store", "__MACOSX/._a.dcm", "sub/.hidden/x.dcm"])
def test_directories_of_media_and_hidden_files_are_passed_over_in_silence(tmp_path: Path, name: str) -> None:
    folder = write_series(tmp_path / "s")
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"junk")
    for path in (folder, zipped(folder, tmp_path / "s.zip")):
        assert read_ct(path)[1].notes == ()


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    refused(tmp_path / "s", "holds no file")


def test_a_folder_of_other_files_is_refused_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "ct.nii.gz").write_bytes(b"x" * 200)
    refused(tmp_path / "s", "none is DICOM", "pass ct.nii.gz itself")


def test_a_zip_that_would_unpack_to_too_much_is_refused_before_unpacking(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(1000))
        archive.writestr("b", bytes(1000))
    data = bytearray(bomb.read_bytes())
    at = -1
    for _ in range(2):
        # the size in the directory, as a real bomb would have it
        at = data.index(b"PK\x01\x02", at + 1)
        data[at + 24 : at + 28] = (0xFFFFFFF0).to_bytes(4, "little")
    bomb.write_bytes(bytes(data))
    refused(bomb, "unpacks to 8.0 GB", "at most 4")


def test_the_sum_of_a_zip_s_members_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(write_series(tmp_path / "s"), tmp_path / "s.zip")
    monkeypatch.setattr(dicom_files, "MAX_ZIP_BYTES", 5000)
    refused(path, "unpacks to", "are read")


def test_the_number_of_files_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_series(tmp_path / "s")
    path = zipped(folder, tmp_path / "s.zip")
    monkeypatch.setattr(dicom_files, "MAX_FILES", 11)
    refused(folder, "holds 12 files", "at most 11")
    refused(path, "holds 12 files", "at most 11")


def test_a_member_longer_than_its_zip_says_is_refused(tmp_path: Path) -> None:
    path = zipped(write_series(tmp_path / "s"), tmp_path / "s.zip")
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = (200).to_bytes(4, "little")
    path.write_bytes(bytes(data))
    refused(path, "cannot be unpacked")


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    path = zipped(write_series(tmp_path / "s"), tmp_path / "s.zip")
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    path.write_bytes(bytes(data))
    refused(path, "encrypted")


def test_a_zip_cut_short_is_refused(tmp_path: Path) -> None:
    path = zipped(write_series(tmp_path / "s"), tmp_path / "s.zip")
    path.write_bytes(path.read_bytes()[:-300])
    refused(path, "damaged zip")


def test_a_damaged_member_is_refused(tmp_path: Path) -> None:
    path = zipped(write_series(tmp_path / "s"), tmp_path / "s.zip")
    data = bytearray(path.read_bytes())
    data[200:260] = bytes(60)
    path.write_bytes(bytes(data))
    refused(path, "cannot be unpacked")


def test_a_zip_in_a_zip_is_not_opened(tmp_path: Path) -> None:
    inner = zipped(write_series(tmp_path / "s"), tmp_path / "s.zip")
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.write(inner, "s.zip")
    refused(tmp_path / "outer.zip", "none is DICOM")


def test_deflated_dicom_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "s")
    ds = dcmread(sorted(folder.iterdir())[0])
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    save(ds, folder / "deflated.dcm")
    refused(folder, "deflated.dcm", "deflate-compressed")


def test_without_pydicom_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_series(tmp_path / "s", even_positions())
    monkeypatch.setitem(sys.modules, "pydicom", None)
    for name in [n for n in sys.modules if n.startswith("spondyl.io.dicom_")]:
        monkeypatch.delitem(sys.modules, name)
    refused(folder, "pip install 'spondyl[dicom]'")
