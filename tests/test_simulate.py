"""One case: a function of (seed, id), with the truth of its spine and a split of its patient; and the plan that says so."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cohort_stand_in
import pytest
import torch

from spondyl.images import Radiograph
from spondyl.io.case_record import CurveTruth, Truth
from spondyl.sim.patient import Curve, Posture, make_patient
from spondyl.simulate import Job, Plan, case_seed, make_case, shape_regions, truth_of
from spondyl.simulate import case as case_module
from spondyl.simulate.case import one_thread, patient_name, shape_split_of, split_of
from spondyl.simulate.plan import job_of, plan_of

PLAN = Plan(5, 7, modalities=("pa",), spacing_mm=10.0, cases_per_shard=2)


@pytest.fixture(autouse=True)
def _quick_patients() -> Iterator[None]:
    with cohort_stand_in.installed(), one_thread():
        yield


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


def test_a_cohort_of_held_out_shapes_holds_no_others_and_draws_them_from_the_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = replace(PLAN, shapes="held-out", cohort="surgical")
    cases = [make_case(plan, k) for k in range(3)]
    assert all(shape_regions(truth_of(case.drawn.subject.spine)) for case in cases)
    again = make_case(plan, 1).drawn.subject.spine
    assert torch.equal(again.centres_mm, cases[1].drawn.subject.spine.centres_mm)
    with pytest.raises(ValueError, match="shapes is 'odd'; wanted any, or held-out"):
        replace(PLAN, shapes="odd")
    monkeypatch.setattr(case_module, "shape_regions", lambda truth: ())
    monkeypatch.setattr(case_module, "MOST_DRAWS", 3)
    with pytest.raises(ValueError, match="none of 3 patients like this lies in a held-out region"):
        make_case(plan, 0)
