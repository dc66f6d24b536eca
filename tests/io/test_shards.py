"""Shards: plain tar files, the same bytes on any day, read by offset."""

import os
import tarfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_case import RECORD, a_view, spine

from spondyl.images import Radiograph
from spondyl.io.case_record import record_of
from spondyl.io.image_members import image_members
from spondyl.io.manifest import manifest_bytes
from spondyl.io.shards import CASE, MANIFEST, SHARDS, SPINE, Cohort, assemble, is_whole_part, read_shard, write_part
from spondyl.io.spine_json import spine_bytes
from spondyl.io.tar import END, member_bytes, members_of

# -- tar --


def test_any_tar_program_reads_the_members(tmp_path: Path) -> None:
    contents = {"000000/a.json": b"x" * 700, "000000/b.npy": b"", "000001/c": bytes(512)}
    tar = tmp_path / "x.tar"
    tar.write_bytes(b"".join(member_bytes(name, content) for name, content in contents.items()) + END)
    with tarfile.open(tar) as file:
        assert {m.name: file.extractfile(m).read() for m in file.getmembers()} == contents  # type: ignore[union-attr]
        assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in file.getmembers()} == {(0, 0, 0, "", 0o644)}
    with tar.open("rb") as plain:
        for member in members_of(plain.fileno(), tar.stat().st_size):
            assert os.pread(plain.fileno(), member.size, member.offset) == contents[member.name]


def test_the_bytes_of_a_member_know_no_time() -> None:
    first = member_bytes("a", b"1")
    time.sleep(1.1)
    assert member_bytes("a", b"1") == first


@pytest.mark.parametrize("name", ["", "x" * 101, "Rücken"])
def test_a_name_that_tar_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"1 to 100 ASCII"):
        member_bytes(name, b"")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda b: b[:900], "cut off"),
        (lambda b: b[:300], "cut off"),
        (lambda b: b"junk" + b[4:], "no tar header"),
        (lambda b: _link() + b, "is not a plain file"),
    ],
)
def test_a_damaged_tar_is_one_line(damage: Callable[[bytes], bytes], words: str, tmp_path: Path) -> None:
    tar = tmp_path / "x.tar"
    tar.write_bytes(damage(member_bytes("a", b"x" * 700)))
    with tar.open("rb") as file, pytest.raises(ValueError, match=words):
        list(members_of(file.fileno(), tar.stat().st_size))


def _link() -> bytes:
    info = tarfile.TarInfo("link")
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info.tobuf()


# -- shards and the reader --


def case_members(case_id: int) -> dict[str, bytes]:
    split = ("train", "val", "test")[case_id % 3]
    picture = Radiograph(torch.full((7, 5), float(case_id)), a_view())
    record = replace(RECORD, id=case_id, split=split, patient=str(case_id))
    return {CASE: record.line(), SPINE: spine_bytes(spine()), **image_members("pa", picture)}


def cohort_of(folder: Path, *shards: tuple[int, ...]) -> Cohort:
    for ids in shards:
        parts = {case_id: folder / "parts" / f"{case_id}.tar" for case_id in ids}
        for case_id, path in parts.items():
            write_part(path, case_id, case_members(case_id))
        assemble(parts, folder / SHARDS / f"cases-{ids[0]:06d}-{ids[-1]:06d}.tar")
    ids = sorted(case_id for shard in shards for case_id in shard)
    records = [record_of(case_members(case_id)[CASE], "x") for case_id in ids]
    (folder / MANIFEST).write_bytes(manifest_bytes(records))
    return Cohort(folder)


def test_the_order_of_the_pieces_does_not_matter(tmp_path: Path) -> None:
    for name, ids in (("a", (0, 1, 2)), ("b", (2, 0, 1))):
        parts = {i: tmp_path / f"{i}.tar" for i in ids}
        for case_id, path in parts.items():
            write_part(path, case_id, case_members(case_id))
        assemble(parts, tmp_path / name / "cases.tar")
    for suffix in ("tar", "json"):
        assert (tmp_path / "a" / f"cases.{suffix}").read_bytes() == (tmp_path / "b" / f"cases.{suffix}").read_bytes()


def test_a_shard_is_a_plain_tar_with_case_json_last(tmp_path: Path) -> None:
    cohort_of(tmp_path, (0, 1))
    with tarfile.open(tmp_path / SHARDS / "cases-000000-000001.tar") as file:
        names = file.getnames()
    assert names == [f"00000{i}/{name}" for i in (0, 1) for name in ("pa.json", "pa.npy", "spine.json", "case.json")]
    shard = read_shard(tmp_path / SHARDS / "cases-000000-000001.json")
    assert shard.size == shard.tar.stat().st_size


def test_a_piece_is_whole_only_with_its_end(tmp_path: Path) -> None:
    path = tmp_path / "0.tar"
    assert not is_whole_part(path, 0)
    write_part(path, 0, case_members(0))
    content = path.read_bytes()
    assert is_whole_part(path, 0)
    assert not is_whole_part(path, 1)
    for cut in (0, 512, len(content) - 512, len(content) - 1):
        path.write_bytes(content[:cut])
        assert not is_whole_part(path, 0)


def test_any_case_is_read_by_its_id(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path, (0, 1, 2), (3, 4))
    assert len(cohort) == 5
    for case_id in (4, 0, 2):
        case = cohort.case(case_id)
        assert case.record.id == case_id
        assert case.modalities == ("pa",)
        picture = case.image("pa")
        assert isinstance(picture, Radiograph)
        assert float(picture.optical_depth.mean()) == case_id
        assert case.spine.levels == ("T13", "L1", "S1")


def test_a_case_costs_its_own_bytes_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = cohort_of(tmp_path, tuple(range(12)))
    asked: list[int] = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda handle, size, offset: (asked.append(size), pread(handle, size, offset))[1])
    cohort.case(9).image("pa")
    members = case_members(9)
    assert asked == [len(members["pa.json"]), len(members["pa.npy"])]


def test_a_split_is_walked_in_order(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path, (0, 1, 2), (3, 4))
    assert [case.id for case in cohort.iterate(split="train")] == [0, 3]
    assert [case.id for case in cohort.iterate()] == [0, 1, 2, 3, 4]
    assert [case.id for case in cohort.iterate(shape_split="test", modalities=("pa",))] == [0, 1, 2, 3, 4]
    assert list(cohort.iterate(modalities=("ct",))) == []


def test_wrong_questions_are_answered_in_one_line(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path, (0, 1))
    with pytest.raises(ValueError, match=r"case 7 is not in .*; wanted one of 0 to 1"):
        cohort.case(7)
    with pytest.raises(ValueError, match=r"case 1 has no 'ct'; it has pa"):
        cohort.case(1).image("ct")
    with pytest.raises(ValueError, match=r"case 1 has no x.json"):
        cohort.case(1).content("x.json")
    with pytest.raises(ValueError, match=r"holds no shards of a cohort"):
        Cohort(tmp_path / "parts")
    (tmp_path / MANIFEST).unlink()
    with pytest.raises(ValueError, match=r"it is not finished"):
        _ = Cohort(tmp_path).records


def test_a_cut_shard_is_named_when_it_is_read(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path, (0, 1))
    tar = tmp_path / SHARDS / "cases-000000-000001.tar"
    tar.write_bytes(tar.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"cases-000000-000001.tar ends inside .* of case 1; it is cut off"):
        cohort.case(1).image("pa")


def test_a_case_that_stands_twice_is_refused(tmp_path: Path) -> None:
    cohort_of(tmp_path, (0, 1))
    with pytest.raises(ValueError, match=r"holds a case twice"):
        cohort_of(tmp_path, (1, 2))
