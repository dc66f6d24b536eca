"""Cohorts: a case is a function of (seed, id); a stopped run goes on to the same bytes (longer than 300 lines: a claim a test)."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cohort_stand_in
import pytest
import torch
from cohort_stand_in import tree

from spondyl.images import Radiograph, Volume
from spondyl.io.case_record import CurveTruth, Truth
from spondyl.io.shards import Cohort
from spondyl.pairs import collate
from spondyl.sim.patient import Curve, Posture, make_patient
from spondyl.simulate import Job, Plan, case_seed, make_case, shape_regions, simulate, simulate_pairs, truth_of
from spondyl.simulate.case import one_thread, patient_name, shape_split_of, split_of
from spondyl.simulate.cohort import Failed
from spondyl.simulate.endless import framed
from spondyl.simulate.plan import job_of, plan_of

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


# -- one case --


def test_seeds_are_the_same_for_ever() -> None:
    assert (case_seed(7, 0), case_seed(0, 123)) == (2246630870263423764, 2591110003098022918)
    assert len({case_seed(s, i) for s in range(20) for i in range(20)}) == 400


def test_a_case_depends_on_seed_and_id_alone() -> None:
    first = make_case(PLAN, 3).images["pa"]
    torch.manual_seed(0)
    make_case(PLAN, 1)
    again = make_case(replace(PLAN, count=100, cases_per_shard=50), 3).images["pa"]
    assert isinstance(first, Radiograph)
    assert isinstance(again, Radiograph)
    assert torch.equal(first.optical_depth, again.optical_depth)
    other = make_case(replace(PLAN, seed=8), 3).images["pa"]
    assert isinstance(other, Radiograph)
    assert first.optical_depth.shape != other.optical_depth.shape or not torch.equal(
        first.optical_depth, other.optical_depth
    )


def test_one_modality_more_changes_no_other() -> None:
    alone = make_case(PLAN, 2)
    both = make_case(replace(PLAN, modalities=("lateral", "pa")), 2)
    assert tuple(both.images) == ("pa", "lateral")
    one, two = alone.images["pa"], both.images["pa"]
    assert isinstance(one, Radiograph)
    assert isinstance(two, Radiograph)
    assert torch.equal(one.optical_depth, two.optical_depth)
    assert repr(alone.sensors["pa"]) == repr(both.sensors["pa"])


def test_sensors_vary_from_case_to_case_unless_told_not_to() -> None:
    varied = {repr(make_case(PLAN, i).sensors["pa"]) for i in range(3)}
    fixed = {repr(make_case(replace(PLAN, vary=False), i).sensors["pa"]) for i in range(3)}
    assert (len(varied), len(fixed)) == (3, 1)


# -- truth and splits --


def test_the_truth_is_the_designed_posture() -> None:
    posture = Posture(
        (Curve("T6", "T11", 42.0, "right", 14.0), Curve("T12", "L4", 26.0, "left", 7.0)),
        kyphosis_deg=30.0,
        lordosis_deg=56.0,
        sacral_slope_deg=39.0,
        pelvic_tilt_deg=8.0,
    )
    truth = truth_of(make_patient(posture).spine, pelvic_tilt_deg=8.0)
    found = {(c.upper, c.lower): c for c in truth.curves}
    assert found["T6", "T11"].cobb_deg == pytest.approx(42.0, abs=0.01)
    assert found["T6", "T11"].side == "right"
    assert found["T6", "T11"].rotation_deg == pytest.approx(14.0, abs=0.5)
    assert found["T12", "L4"].cobb_deg == pytest.approx(26.0, abs=0.01)
    assert truth.kyphosis_deg == pytest.approx(30.0, abs=0.01)
    assert truth.lordosis_deg == pytest.approx(56.0, abs=0.01)
    assert truth.pelvic_incidence_deg == pytest.approx(47.0, abs=0.01)
    assert truth.largest_cobb_deg == found["T6", "T11"].cobb_deg


def test_a_spine_without_a_pelvis_has_no_truth_that_needs_one() -> None:
    spine = make_patient(Posture()).spine
    truth = truth_of(spine.subset(spine.levels[:-1]))
    assert (truth.lordosis_deg, truth.sacral_slope_deg, truth.pelvic_incidence_deg, truth.sva_mm) == (None,) * 4
    assert truth.kyphosis_deg is not None


def test_splits_have_their_shares_and_keep_a_patient_together() -> None:
    names = [patient_name(replace(PLAN, count=4000), i) for i in range(4000)]
    assert len(set(names)) == 4000
    shares = Counter(split_of(name) for name in names)
    assert shares["train"] / 4000 == pytest.approx(0.8, abs=0.03)
    assert shares["val"] / 4000 == pytest.approx(0.1, abs=0.02)
    bent = replace(PLAN, scan="ab" * 32)
    assert len({patient_name(bent, i) for i in range(10)}) == 1


def shaped(*cobbs: tuple[float, str, str], kyphosis: float | None = 35.0) -> Truth:
    curves = tuple(CurveTruth("T5", "L1", apex, side, cobb, 0.0) for cobb, apex, side in cobbs)
    return Truth(("T5", "L1"), curves, kyphosis, None, None, None, None, None, None, 0.0)


@pytest.mark.parametrize(
    ("truth", "regions"),
    [
        (shaped(), ()),
        (shaped((59.9, "T8", "right")), ()),
        (shaped((60.0, "T8", "right")), ("large",)),
        (shaped((40.0, "T8", "left")), ("mirrored",)),
        (shaped((40.0, "L2", "left")), ()),
        (shaped((40.0, "L2/L3", "right")), ("mirrored",)),
        (shaped((9.9, "T8", "left")), ()),
        (shaped((40.0, "T8", "right"), (30.0, "T3", "left"), (30.0, "L2", "left")), ("triple",)),
        (shaped(kyphosis=14.9), ("flat",)),
        (shaped((61.0, "T8", "left"), kyphosis=50.1), ("large", "mirrored", "round")),
        (shaped(kyphosis=None), ()),
    ],
)
def test_the_regions_of_shape_are_where_they_are_said_to_be(truth: Truth, regions: tuple[str, ...]) -> None:
    assert shape_regions(truth) == regions
    assert (shape_split_of("name", regions) == "test") == bool(regions)


# -- the plan --


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"count": 0}, "count is 0; wanted 1 to"),
        ({"seed": -1}, "seed is -1"),
        ({"cohort": "martians"}, "cohort is 'martians'; wanted one of normal, screening"),
        ({"modalities": ("mri",)}, "modality is 'mri'; wanted some of ct,pa"),
        ({"modalities": ()}, "no modality came"),
        ({"spacing_mm": 20.0}, "spacing_mm is 20.0; wanted 0.3 to 10"),
        ({"cobb_deg": 200.0}, "cobb_deg is 200.0; wanted 0 to 80"),
        ({"age_years": -3.0}, "age_years is -3.0"),
        ({"stance": "floating"}, "stance is 'floating'; wanted one of standing, supine"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_in_one_line(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        Plan(**{"count": 1, "seed": 0, **changes})  # type: ignore[arg-type]
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_plan_comes_back_from_its_file_and_a_job_from_its_text() -> None:
    plan = Plan(9, 2**62, "surgical", ("ultrasound", "pa"), 2, False, "male", 14, 40.0, "1", "supine")
    assert plan_of(plan.text().encode(), "cohort.json") == plan
    assert plan.modalities == ("pa", "ultrasound")
    job = Job(plan, Path("/somewhere/out"))
    assert job_of(job.settings()) == job


def test_the_hash_names_what_decides_a_case_and_nothing_else() -> None:
    assert replace(PLAN, count=99, cases_per_shard=1).config == PLAN.config
    for change in ({"seed": 8}, {"spacing_mm": 9.0}, {"version": "9"}, {"vary": False}):
        assert replace(PLAN, **change).config != PLAN.config  # type: ignore[arg-type]


# -- the folder --


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


# -- pairs without end --


def test_pairs_started_later_are_the_same_pairs() -> None:
    def some(start: int, count: int) -> list[tuple[int, torch.Tensor]]:
        pairs = simulate_pairs("pa", "lateral", seed=7, spacing_mm=10.0, start=start)
        found = [next(pairs) for _ in range(count)]
        return [(p.seed, p.source.optical_depth) for p in found if isinstance(p.source, Radiograph)]

    all_of_them, later = some(0, 4), some(2, 2)
    assert [seed for seed, _ in all_of_them] == [case_seed(7, i) for i in range(4)]
    for (seed, picture), (same_seed, same) in zip(all_of_them[2:], later, strict=True):
        assert seed == same_seed
        assert torch.equal(picture, same)


def test_pairs_can_be_stacked_and_carry_their_truth() -> None:
    pairs = simulate_pairs("lateral", "pa", seed=3, cohort="surgical", spacing_mm=10.0)
    batch = collate([next(pairs) for _ in range(3)])
    assert batch.source.shape[0] == batch.target.shape[0] == 3
    assert truth_of(batch.spines[0]).largest_cobb_deg > 5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": "mri"}, "modality is 'mri'"),
        ({"start": -1}, "start is -1"),
        ({"cohort": "no"}, "cohort is 'no'"),
        ({"field_mm": (1.0, 1.0, 1.0)}, "field_mm is"),
    ],
)
def test_wrong_pairs_are_refused_before_the_first(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        simulate_pairs(**{"source": "pa", "target": "pa", "seed": 1, **changes})  # type: ignore[arg-type]
    assert words in str(caught.value)


@pytest.mark.parametrize("field_mm", [(30.0, 30.0, 30.0), (100.0, 50.0, 80.0), (25.0, 90.0, 60.0)])
def test_a_field_cuts_or_fills_and_leaves_every_voxel_in_its_place(field_mm: tuple[float, float, float]) -> None:
    hu = torch.arange(6 * 7 * 8, dtype=torch.float32).reshape(6, 7, 8)
    place = torch.tensor([[5.0, 0, 0, -9], [0, 5, 0, 11], [0, 0, 5, 3], [0, 0, 0, 1]])
    volume = Volume(hu, place, hu.to(torch.int64))
    out = framed(volume, field_mm)
    assert out.hu.shape == tuple(round(f / 5) for f in field_mm)
    voxel_from_voxel = torch.linalg.inv(place) @ out.world_from_voxel
    for k, j, i in ((0, 0, 0), (2, 3, 1), tuple(n - 1 for n in out.hu.shape)):
        x, y, z, _ = (voxel_from_voxel @ torch.tensor([float(i), j, k, 1])).round().long().tolist()
        inside = 0 <= x < 8 and 0 <= y < 7 and 0 <= z < 6
        assert float(out.hu[k, j, i]) == (float(hu[z, y, x]) if inside else -1000.0)
    if all(f >= 40 for f in field_mm):
        assert float(out.hu.sum() + 1000 * (out.hu == -1000).sum()) == float(hu.sum())
