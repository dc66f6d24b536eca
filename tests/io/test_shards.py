"""Shards: plain tar files, the same bytes on any day, read by offset (longer than 300 lines: one fault a test)."""

import io
import json
import os
import tarfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spondyl.geometry import View
from spondyl.images import BackImage, Radiograph, Ultrasound, Volume
from spondyl.io.case_record import CaseRecord, CurveTruth, Person, Truth, record_of
from spondyl.io.image_members import DEPTH_STEP, image_members, image_of
from spondyl.io.json_line import json_bytes
from spondyl.io.manifest import manifest_bytes, participants_bytes
from spondyl.io.npy import array_of, npy_bytes
from spondyl.io.shards import CASE, MANIFEST, SHARDS, SPINE, Cohort, assemble, is_whole_part, read_shard, write_part
from spondyl.io.spine_json import spine_bytes, spine_of_bytes
from spondyl.io.tar import END, member_bytes, members_of
from spondyl.pairs import Image
from spondyl.spine import SpineCurve

RECORD = CaseRecord(
    id=0,
    seed=2**62,
    patient="ab12",
    split="train",
    shape_split="test",
    shape_regions=("large",),
    truth=Truth(
        ("T1", "T2"), (CurveTruth("T1", "T2", "T1/T2", "left", 61.25, -3.5, 60.0, None),),
        30.5, None, None, None, None, 1.0, -2.0, 22.0,
    ),
    person=Person("screening", "female", 14.25, 1.0, 18.5, "1", "standing", 2, 0.5, False, "T4-L1"),
    sensors={"pa": "RadiographSensor(view='pa')"},
    config="00ff",
)  # fmt: skip


def spine() -> SpineCurve:
    generator = torch.Generator().manual_seed(5)
    axes = torch.linalg.qr(torch.randn(3, 3, 3, generator=generator)).Q
    plates = torch.randn(3, 2, 3, 3, generator=generator)
    plates[2, 1] = torch.nan
    return SpineCurve(("T13", "L1", "S1"), torch.randn(3, 3, generator=generator) * 100, axes, plates[:, 0, 0], plates)


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


# -- arrays --


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from(["int8", "int16", "uint16", ">i2", "float16", "float32", ">f8"]), hnp.array_shapes(max_dims=4)
    )
)
def test_an_array_comes_back_and_numpy_reads_it(array: np.ndarray) -> None:
    content = npy_bytes(array)
    for found in (array_of(content, "x"), np.load(io.BytesIO(content), allow_pickle=False)):
        assert found.dtype == array.dtype.newbyteorder("=")
        assert np.array_equal(found, array, equal_nan=array.dtype.kind == "f")


def test_columns_first_come_back_too() -> None:
    file = io.BytesIO()
    array = np.asfortranarray(np.arange(12, dtype=np.int16).reshape(3, 4))
    np.lib.format.write_array(file, array, version=(1, 0))
    assert np.array_equal(array_of(file.getvalue(), "x"), array)


def test_objects_are_neither_written_nor_read() -> None:
    with pytest.raises(ValueError, match=r"the array is of object"):
        npy_bytes(np.array([{}], dtype=object))
    file = io.BytesIO()
    np.lib.format.write_array(file, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"the array is of object"):
        array_of(file.getvalue(), "x")


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY", b"text", npy_bytes(np.zeros(9))[:-1], npy_bytes(np.zeros(9)) + b"1"]
)
def test_damaged_arrays_are_one_line(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"^x (is not an|holds)"):
        array_of(content, "x")


# -- words --


def back(image: Image) -> Image:
    members = image_members("m", image)
    return image_of("m", members.__getitem__, frozenset(members))


def a_view(**changes: object) -> View:
    view = View.around([1.0, 2.0, 3.0], angle_deg=12.3, tilt_deg=1.1, shape_px=(7, 5), beam="slot")
    return replace(view, **changes)  # type: ignore[arg-type]


def test_a_volume_comes_back_with_whole_hounsfield_units() -> None:
    place = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    place[3] = torch.tensor([0.0, 0.0, 0.0, 1.0])
    hu = torch.tensor([[[-1024.4, -999.5, 0.4], [32767.4, 99999.0, -99999.0]]])
    labels = torch.tensor([[[0, 28, 255], [1, 2, 3]]])
    out = back(Volume(hu, place, labels))
    assert isinstance(out, Volume)
    assert out.hu.tolist() == [[[-1024.0, -1000.0, 0.0], [32767.0, 32767.0, -32768.0]]]
    assert torch.equal(out.world_from_voxel, place)
    assert out.labels is not None
    assert torch.equal(out.labels.long(), labels)
    bare = back(Volume(hu, place))
    assert isinstance(bare, Volume)
    assert bare.labels is None


def test_a_radiograph_comes_back_within_half_a_step_and_with_its_view() -> None:
    depth = torch.linspace(-0.5, 15.49, 35).reshape(7, 5)
    view = a_view()
    out = back(Radiograph(depth, view))
    assert isinstance(out, Radiograph)
    assert float((out.optical_depth - depth).abs().max()) <= DEPTH_STEP / 2 + 1e-6
    assert torch.equal(out.view.world_from_detector, view.world_from_detector)
    assert (out.view.beam, out.view.pixel_spacing_mm, out.view.shape_px) == ("slot", (1.0, 1.0), (7, 5))


def test_the_scale_of_a_radiograph_is_not_its_own() -> None:
    faint, strong = (image_members("m", Radiograph(torch.full((7, 5), d), a_view())) for d in (0.5, 2.5))
    first, second = (array_of(m["m.npy"], "m") for m in (faint, strong))
    assert int(second[0, 0]) - int(first[0, 0]) == round(2 / DEPTH_STEP)


def test_an_ultrasound_comes_back() -> None:
    echo, place = torch.rand(4, 3, generator=torch.Generator().manual_seed(1)), torch.eye(4) * 1.5
    for world in (place, None):
        out = back(Ultrasound(echo, (0.5, 0.25), world))
        assert isinstance(out, Ultrasound)
        assert float((out.echo - echo).abs().max()) <= 0.5 / 65535 + 1e-7
        assert out.pixel_spacing_mm == (0.5, 0.25)
        assert (out.world_from_pixel is None) if world is None else torch.equal(out.world_from_pixel, world)  # type: ignore[arg-type]


def test_a_photograph_comes_back_with_its_holes() -> None:
    rgb = torch.rand(3, 2, 2, generator=torch.Generator().manual_seed(2))
    depth = torch.tensor([[1500.04, 0.0], [torch.nan, 6553.5]])
    out = back(BackImage(rgb, depth, torch.eye(3) * 600, torch.eye(4)))
    assert isinstance(out, BackImage)
    assert float((out.rgb - rgb).abs().max()) <= 0.5 / 255 + 1e-6
    assert out.depth_mm.tolist() == [[pytest.approx(1500.0), 0.0], [0.0, pytest.approx(6553.5)]]
    assert torch.equal(out.intrinsics, torch.eye(3) * 600)


@pytest.mark.parametrize(
    "image",
    [
        Volume(torch.full((1, 1, 1), torch.nan), torch.eye(4)),
        Radiograph(torch.full((7, 5), torch.inf), a_view()),
        Ultrasound(torch.zeros(2, 4, 3), (1.0, 1.0)),
        BackImage(
            torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4), torch.eye(3).repeat(2, 1, 1), torch.eye(4).repeat(2, 1, 1)
        ),
    ],
)
def test_what_a_file_cannot_say_is_refused(image: Image) -> None:
    with pytest.raises(ValueError, match=r"wanted"):
        image_members("m", image)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"m.json": b"{}"}, "m.json lacks 'kind'"),
        ({"m.json": b"\xff"}, "m.json is not a JSON object"),
        ({"m.json": json_bytes({"kind": "dream"})}, "says kind 'dream'; wanted one of volume"),
        ({"m.json": json_bytes({"kind": "volume", "world_from_voxel": [[1.0]]})}, "wanted 4 numbers"),
        ({"m.json": json_bytes({"kind": "radiograph", "picture": {}})}, "damaged or of a newer version"),
        ({"m.npy": npy_bytes(np.zeros((2, 2), np.float32))}, "wanted uint16"),
    ],
)
def test_a_damaged_image_is_one_line(changes: dict[str, bytes], words: str) -> None:
    members = {**image_members("m", Radiograph(torch.zeros(7, 5), a_view())), **changes}
    with pytest.raises(ValueError, match=r".") as caught:
        image_of("m", members.__getitem__, frozenset(members))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_spine_comes_back_bit_for_bit() -> None:
    one = spine()
    two = spine_of_bytes(spine_bytes(one))
    assert two.levels == one.levels
    for name in ("centres_mm", "axes", "sizes_mm", "endplates_mm"):
        a, b = getattr(one, name), getattr(two, name)
        assert torch.equal(a.isnan(), b.isnan())
        assert torch.equal(a.nan_to_num(), b.nan_to_num())


@pytest.mark.parametrize(
    ("key", "value"),
    [("levels", 3), ("levels", ["T1"]), ("centres_mm", [[1, 2]]), ("axes", "no"), ("sizes_mm", [True])],
)
def test_a_damaged_spine_is_one_line(key: str, value: object) -> None:
    raw = json.loads(spine_bytes(spine()))
    with pytest.raises(ValueError, match=r"spine.json is damaged"):
        spine_of_bytes(json_bytes({**raw, key: value}))


# -- records and tables --


def test_a_record_comes_back() -> None:
    assert record_of(RECORD.line(), "x") == RECORD
    scanned = replace(RECORD, person=None)
    assert record_of(scanned.line(), "x") == scanned


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("format", 2, "of format 2; this version reads 1"),
        ("seed", 1.5, "seed is 1.5; wanted a whole number"),
        ("id", True, "id is True; wanted a whole number"),
        ("split", "all", "wanted one of train, val, test"),
        ("truth", [], "truth is []; wanted an object"),
        ("sensors", {"pa": 3}, "pa is 3; wanted a text"),
        ("shape_regions", [1], "wanted a list of texts"),
    ],
)
def test_a_damaged_record_says_where(key: str, value: object, words: str) -> None:
    raw = {**json.loads(RECORD.line()), key: value}
    with pytest.raises(ValueError, match=r"^line 7") as caught:
        record_of(json_bytes(raw), "line 7")
    assert words in str(caught.value)


def test_the_tables_are_in_the_order_of_the_ids() -> None:
    records = [replace(RECORD, id=i) for i in (2, 0, 1)]
    assert [json.loads(line)["id"] for line in manifest_bytes(records).splitlines()] == [0, 1, 2]
    head, *rows = participants_bytes(records).decode().splitlines()
    assert [row.split("\t")[0] for row in rows] == ["case-000000", "case-000001", "case-000002"]
    first = dict(zip(head.split("\t"), rows[0].split("\t"), strict=True))
    assert (first["largest_cobb_deg"], first["largest_apex"], first["lordosis_deg"]) == ("61.25", "T1/T2", "n/a")
    assert (first["levels"], first["braced"], first["hardware"]) == ("T1-T2", "no", "T4-L1")


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
