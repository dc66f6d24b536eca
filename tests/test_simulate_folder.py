"""A cohort in a folder: whatever stops or spoils it, the same command ends in the same bytes."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cohort_stand_in
import pytest
import torch
from cohort_stand_in import tree

from spondyl.images import Radiograph
from spondyl.io.shards import Cohort
from spondyl.simulate import Job, Plan, make_case, simulate
from spondyl.simulate.case import one_thread
from spondyl.simulate.cohort import Failed

PLAN = Plan(5, 7, modalities=("pa",), spacing_mm=10.0, cases_per_shard=2)


@pytest.fixture(autouse=True)
def _quick_patients() -> Iterator[None]:
    with cohort_stand_in.installed(), one_thread():
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort that nothing disturbed."""
    out = tmp_path_factory.mktemp("cohort") / "whole"
    with cohort_stand_in.installed():
        simulate(Job(PLAN, out))
    return out


def test_a_cohort_is_shards_tables_and_a_page(whole: Path) -> None:
    assert list(tree(whole)) == [
        "cohort.json", "index.html", "manifest.jsonl", "participants.tsv",
        *(f"shards/cases-{a:06d}-{b:06d}.{kind}" for a, b in ((0, 1), (2, 3), (4, 4)) for kind in ("json", "tar")),
    ]  # fmt: skip
    cohort = Cohort(whole)
    assert len(cohort) == 5
    assert [record.id for record in cohort.records] == list(range(5))
    rows = (whole / "participants.tsv").read_text().splitlines()
    assert len(rows) == 6
    assert len({row.count("\t") for row in rows}) == 1
    assert json.loads((whole / "cohort.json").read_text())["synthetic"] is True


def test_what_is_stored_is_what_was_made(whole: Path) -> None:
    made, stored = make_case(PLAN, 3), Cohort(whole).case(3)
    image, picture = made.images["pa"], stored.image("pa")
    assert isinstance(image, Radiograph)
    assert isinstance(picture, Radiograph)
    assert float((image.optical_depth - picture.optical_depth).abs().max()) <= 2.0**-13 + 1e-6
    assert torch.equal(image.view.world_from_detector, picture.view.world_from_detector)
    assert torch.equal(stored.spine.endplates_mm.nan_to_num(), made.drawn.subject.spine.endplates_mm.nan_to_num())
    assert stored.record.seed == made.seed
    assert stored.record.sensors == {"pa": repr(made.sensors["pa"])}


def test_the_page_holds_everything_and_asks_for_nothing(whole: Path) -> None:
    page = (whole / "index.html").read_text(encoding="utf-8")
    assert page.count("data:image/png") == 5
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org", "")
    for words in ("SIMULATED", "Largest Cobb angle", "Kyphosis", "Pelvic incidence", "UCA minus Cobb", "Age"):
        assert words in page


def test_the_same_command_again_changes_no_byte(whole: Path) -> None:
    before = tree(whole)
    made = simulate(Job(PLAN, whole))
    assert (made.cases, made.new) == (5, 0)
    assert tree(whole) == before


class EnoughError(Exception):
    """The run is stopped here."""


def stopping_after(cases: int) -> Callable[..., Sequence[Failed]]:
    """A runner that is interrupted after some cases, in an order that no plan would choose."""

    def run(ids: Sequence[int], work: str, *, settings: str, on_done: Callable[[int], None]) -> Sequence[Failed]:
        for count, case_id in enumerate(reversed(ids)):
            if count == cases:
                raise EnoughError
            cohort_stand_in.make_part(case_id, settings)
            on_done(case_id)
        return ()

    return run


@pytest.mark.parametrize("cases", range(5))
def test_a_run_stopped_after_any_case_goes_on_to_the_same_bytes(cases: int, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(EnoughError):
        simulate(Job(PLAN, out), run=stopping_after(cases))
    assert not (out / "manifest.jsonl").exists()
    made = simulate(Job(PLAN, out))
    assert made.new == 5 - cases
    assert tree(out) == tree(whole)


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("shards/cases-000002-000003.tar", lambda path: path.write_bytes(path.read_bytes()[:-3000])),
        ("shards/cases-000002-000003.json", lambda path: path.unlink()),
        ("shards/cases-000000-000001.json", lambda path: path.write_text("{")),
        ("manifest.jsonl", lambda path: path.unlink()),
        ("shards/.cases-000000-000001.tar.abcd.part", lambda path: path.write_text("half")),
        (".index.html.abcd.part", lambda path: path.write_text("half")),
    ],
)
def test_what_a_crash_took_or_left_is_mended(
    file: str, damage: Callable[[Path], object], whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    damage(out / file)
    simulate(Job(PLAN, out))
    assert tree(out) == tree(whole)


def test_half_a_case_is_made_again(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(EnoughError):
        simulate(Job(PLAN, out), run=stopping_after(2))
    (part,) = (out / "parts").iterdir()
    part.write_bytes(part.read_bytes()[:-1024])
    assert simulate(Job(PLAN, out)).new == 4
    assert tree(out) == tree(whole)


def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(whole: Path, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    out = tmp_path / "out"
    for most_bytes in (10_000, 30_000):  # a case fits into neither, and into the second one no shard
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
        try:
            with pytest.raises(OSError, match=r"cannot write .*: file too large") as caught:
                simulate(Job(PLAN, out))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert "\n" not in str(caught.value)
        assert not list(out.rglob(".*.part"))
    simulate(Job(PLAN, out))
    assert tree(out) == tree(whole)


def test_a_folder_with_another_cohort_is_left_alone(whole: Path) -> None:
    before = tree(whole)
    with pytest.raises(ValueError, match=r"its seed is 7, not 8; name another folder"):
        simulate(Job(replace(PLAN, seed=8), whole))
    assert tree(whole) == before


def test_two_runs_do_not_write_one_folder(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with pytest.raises(ValueError, match=r"another run is writing"):
            simulate(Job(PLAN, tmp_path))
    finally:
        os.close(handle)


def test_a_case_that_fails_is_told_and_the_others_are_kept(tmp_path: Path) -> None:
    from spondyl.executors import Failure

    def run(ids: Sequence[int], work: str, *, settings: str, on_done: Callable[[int], None]) -> Sequence[Failed]:
        for case_id in ids:
            if case_id != 1:
                cohort_stand_in.make_part(case_id, settings)
                on_done(case_id)
        return (Failure(1, "no"),)

    made = simulate(Job(PLAN, tmp_path / "out"), run=run)
    assert [failure.unit for failure in made.failed] == [1]
    assert made.new == 4
    assert not (tmp_path / "out" / "manifest.jsonl").exists()
    assert simulate(Job(PLAN, tmp_path / "out")).new == 1
