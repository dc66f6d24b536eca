"""The check of a cohort: nothing wrong is found in a whole one, and each fault is one line that names it."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import cohort_stand_in
import numpy as np
import pytest

from spondyl.io.npy import array_of, npy_bytes
from spondyl.io.shards import MANIFEST, assemble, read_shard, write_part
from spondyl.io.tar import members_of
from spondyl.simulate import Job, Plan, simulate, validate_cohort
from spondyl.simulate.case import one_thread

PLAN = Plan(3, 7, modalities=("ct", "pa"), spacing_mm=10.0, cases_per_shard=2)
FIRST, LAST = "shards/cases-000000-000001", "shards/cases-000002-000002"
Members = dict[str, bytes]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort without a fault."""
    out = tmp_path_factory.mktemp("cohort") / "whole"
    with cohort_stand_in.installed(), one_thread():
        simulate(Job(PLAN, out))
    return out


@pytest.fixture
def cohort(whole: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    shutil.copytree(whole, tmp_path / "cohort")
    return tmp_path / "cohort"


def faults(folder: Path) -> list[str]:
    found = [str(fault) for fault in validate_cohort(folder).faults]
    assert all("\n" not in fault for fault in found)
    return found


def rewrite(folder: Path, change: Callable[[Members], None]) -> None:
    """Case 2 with other members, in a shard, an index and tables that agree with it: as its maker wrote it."""
    tar = folder / f"{LAST}.tar"
    with tar.open("rb") as file:
        content = tar.read_bytes()
        found = list(members_of(file.fileno(), len(content)))
    members = {m.name.split("/")[1]: content[m.offset : m.offset + m.size] for m in found}
    change(members)
    write_part(folder / "part", 2, members)
    assemble({2: folder / "part"}, tar)
    (folder / "part").unlink()
    lines = (folder / MANIFEST).read_bytes().splitlines(keepends=True)
    (folder / MANIFEST).write_bytes(b"".join([*lines[:2], members["case.json"]]))


def edit(name: str, key: str, value: object) -> Callable[[Members], None]:
    """Put a value at a path of keys ("truth.curves.0.cobb_deg") of a JSON member."""

    def change(members: Members) -> None:
        top = json.loads(members[name])
        *path, last = [int(k) if k.isdigit() else k for k in key.split(".")]
        inner = top
        for k in path:
            inner = inner[k]
        inner[last] = value
        members[name] = json.dumps(top).encode()

    return change


def renumber(name: str, function: Callable[[np.ndarray], np.ndarray]) -> Callable[[Members], None]:
    def change(members: Members) -> None:
        members[name] = npy_bytes(function(array_of(members[name], name)))

    return change


def test_a_whole_cohort_has_no_fault(whole: Path) -> None:
    checked = validate_cohort(whole)
    assert checked.faults == ()
    assert checked.cases == 3
    assert checked.files == 3 * 8


def test_a_cohort_without_a_plan_is_checked_as_far_as_it_goes(cohort: Path) -> None:
    (cohort / "cohort.json").unlink()
    assert faults(cohort) == []


def test_a_file_is_no_cohort(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a folder"):
        validate_cohort(tmp_path / "nothing")
    assert any("holds no shard" in fault for fault in faults(tmp_path))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda c: (c / f"{FIRST}.tar").unlink(), "cases-000000-000001.tar is not there"),
        (lambda c: (c / f"{FIRST}.json").unlink(), "cases-000000-000001.tar: has no index beside it"),
        (lambda c: (c / f"{FIRST}.json").write_text("no"), "is not a JSON object; it is damaged"),
        (lambda c: (c / "cohort.json").write_text("{}"), "cohort.json: cohort.json lacks format"),
        (lambda c: (c / MANIFEST).unlink(), "manifest.jsonl: is not there; run the same spondyl simulate again"),
        (lambda c: (c / "participants.tsv").write_text("x"), "participants.tsv: differs from the manifest"),
        (lambda c: (c / "index.html").unlink(), "index.html: is not there"),
        (lambda c: (c / "parts").mkdir(), "so the cohort is not finished"),
        (lambda c: (c / "shards" / ".x.tar.1.part").touch(), "half of a file that a killed run left"),
        (lambda c: _first_lines(c / MANIFEST, 2), "manifest.jsonl: has no line for case 2"),
        (lambda c: _append(c / MANIFEST, b"{}\n"), "manifest.jsonl: line 4 lacks format"),
    ],
)
def test_what_lacks_or_is_too_much_is_named(damage: Callable[[Path], object], words: str, cohort: Path) -> None:
    damage(cohort)
    found = faults(cohort)
    assert any(words in fault for fault in found), found


def _first_lines(path: Path, count: int) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:count]))


def _append(path: Path, content: bytes) -> None:
    path.write_bytes(path.read_bytes() + content)


def test_a_flipped_bit_is_found_in_its_file_and_nowhere_else(cohort: Path) -> None:
    tar = cohort / f"{FIRST}.tar"
    place = read_shard(cohort / f"{FIRST}.json").cases[1]["pa.npy"]
    content = bytearray(tar.read_bytes())
    content[place.offset + place.size // 2] ^= 1
    tar.write_bytes(content)
    (fault,) = faults(cohort)
    assert fault.startswith("cases-000000-000001.tar: 000001/pa.npy is not what was written (SHA-256 differs)")


def test_a_cut_tar_file_is_found(cohort: Path) -> None:
    tar = cohort / f"{FIRST}.tar"
    tar.write_bytes(tar.read_bytes()[:-4000])
    found = faults(cohort)
    assert any("it was cut off or changed" in fault for fault in found)
    assert any("is cut off at byte" in fault for fault in found)


def test_an_index_of_another_file_is_found(cohort: Path) -> None:
    index = cohort / f"{FIRST}.json"
    raw = json.loads(index.read_text())
    raw["cases"][0]["members"]["pa.npy"][0] += 512
    index.write_text(json.dumps(raw))
    assert any("000000/pa.npy lies elsewhere than its index says" in fault for fault in faults(cohort))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (edit("case.json", "truth.curves.0.cobb_deg", 77.0), "its spine has"),
        (edit("case.json", "truth.curves.0.side", "right"), "its spine bends to the left"),
        (edit("case.json", "truth.curves.0.side", "up"), "side is 'up'; wanted left or right"),
        (edit("case.json", "truth.curves.0.rotation_deg", 50.0), "rotation of "),
        (edit("case.json", "truth.curves.0.uca_deg", 50.0), "UCA "),
        (edit("case.json", "truth.curves", []), "the largest Cobb angle is recorded as 0.00"),
        (edit("case.json", "truth.kyphosis_deg", 1.0), "kyphosis_deg is recorded as 1.00, its spine has"),
        (edit("case.json", "truth.kyphosis_deg", None), "kyphosis_deg is recorded as nothing"),
        (edit("case.json", "truth.pelvic_incidence_deg", 99.0), "pelvic_incidence_deg is recorded as 99.00"),
        (edit("case.json", "truth.levels.0", "C6"), "levels are recorded as C6"),
        (edit("case.json", "shape_regions", ["flat", "round"]), "its truth lies in"),
        (edit("case.json", "split", "attic"), "split is 'attic'; wanted one of train"),
        (edit("case.json", "seed", 1), "seed is 1, cohort.json makes it"),
        (edit("case.json", "config", "0"), "config is 0"),
        (edit("case.json", "id", 1), "its record is of case 1"),
        (edit("case.json", "person.age_years", 300), "age_years is 300"),
        (edit("case.json", "person", 3), "person is 3; wanted an object"),
        (edit("spine.json", "centres_mm.0.0", 40.0), "balance_mm is recorded as"),
        (edit("spine.json", "axes.3.0.0", 5.0), "axes are not orthonormal"),
        (lambda m: m.pop("spine.json"), "case 2 has no spine.json"),
        (lambda m: m.update({"spine.json": b"["}), "spine.json of case 2 is not a JSON object"),
        (lambda m: (m.pop("pa.json"), m.pop("pa.npy")), "case 2: holds ct, its record says ct, pa"),
        (lambda m: m.pop("pa.npy"), "case 2 has no pa.npy"),
        (lambda m: m.update({"pa.npy": b"\x93NUMPY rest"}), "pa.npy is not an .npy file"),
        (renumber("pa.npy", lambda a: a * 0), "pa has no optical depth above -0.50; it shows no body"),
        (renumber("pa.npy", lambda a: a * 0 + 65535), "pa is clipped in 100% of its pixels"),
        (renumber("pa.npy", lambda a: a[1:]), "one was changed alone"),
        (edit("pa.json", "picture.beam", "laser"), "damaged or of a newer version"),
        (edit("ct.json", "world_from_voxel.0.3", 1e4), "ct and its spine disagree"),
        (renumber("ct.labels.npy", lambda a: np.where(a > 0, 77, a).astype(np.uint8)), "has the labels 77"),
        (renumber("ct.npy", lambda a: (a // 10).astype(np.int16)), "Hounsfield units of a body"),
    ],
)
def test_what_its_maker_wrote_wrong_is_named_in_one_line(
    change: Callable[[Members], object], words: str, cohort: Path
) -> None:
    rewrite(cohort, change)  # type: ignore[arg-type]
    found = faults(cohort)
    assert any(words in fault for fault in found), found


def test_a_patient_in_two_splits_is_a_leak(cohort: Path) -> None:
    first = json.loads((cohort / MANIFEST).read_bytes().splitlines()[0])
    (cohort / "cohort.json").unlink()
    rewrite(cohort, edit("case.json", "patient", first["patient"]))
    other = "val" if first["split"] == "train" else "train"
    rewrite(cohort, edit("case.json", "split", other))
    (fault,) = faults(cohort)
    assert fault.startswith(f"patient {first['patient']}: is in the splits")


def test_case_json_that_differs_from_the_manifest_is_found(cohort: Path) -> None:
    lines = (cohort / MANIFEST).read_bytes()
    (cohort / MANIFEST).write_bytes(lines.replace(b'"stance":"standing"', b'"stance":"supine"', 1))
    assert any("manifest.jsonl: differs from case.json of case 0" in fault for fault in faults(cohort))


def test_the_hash_of_the_whole_file_counts_too(cohort: Path) -> None:
    tar = cohort / f"{FIRST}.tar"
    content = bytearray(tar.read_bytes())
    content[-1] = 1  # after the end mark, where no member lies
    tar.write_bytes(content)
    index = read_shard(cohort / f"{FIRST}.json")
    assert hashlib.sha256(content).hexdigest() != index.sha256
    (fault,) = faults(cohort)
    assert "has another SHA-256 than its index says, though every member is whole" in fault
