"""The files of a case: arrays, image words, the spine and the record come back from their bytes; damage is one line."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from made_case import RECORD, a_view, spine

from spondyl.images import BackImage, Radiograph, Ultrasound, Volume
from spondyl.io.case_record import record_of
from spondyl.io.image_members import DEPTH_STEP, image_members, image_of
from spondyl.io.json_line import json_bytes
from spondyl.io.manifest import manifest_bytes, participants_bytes
from spondyl.io.npy import array_of, npy_bytes
from spondyl.io.spine_json import spine_bytes, spine_of_bytes
from spondyl.pairs import Image

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
