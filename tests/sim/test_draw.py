"""Drawn patients: reproducible, obedient to what is named, inside the published ranges, refused where impossible."""

from collections.abc import Callable

import pytest
import torch

from spondyl.sim.patient import Patient, draw, rotation_of, supine
from spondyl.sim.patient.posture import apex_region


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def surgical() -> list[Patient]:
    g = seeded(11)
    return [draw(generator=g, cohort="surgical", instrumented=False) for _ in range(60)]


def test_the_same_generator_state_gives_the_same_patient() -> None:
    a, b = (draw(generator=seeded(5), cohort="surgical") for _ in range(2))
    assert a.posture == b.posture
    assert a.body == b.body
    assert a.traits == b.traits
    assert a.seed == b.seed
    assert torch.equal(a.spine.centres_mm, b.spine.centres_mm)
    assert draw(generator=seeded(6), cohort="surgical").posture != a.posture


def test_what_is_named_is_kept() -> None:
    p = draw(
        generator=seeded(1), cohort="screening", sex="male", age_years=12.5, cobb_deg=37.0, curve_type="3", bmi=21.0,
        skin_type=5, variant="L6", instrumented=False, braced=True,
    )  # fmt: skip
    assert (p.body.sex, p.body.age_years, p.body.bmi) == ("male", 12.5, 21.0)
    assert max(c.cobb_deg for c in p.posture.curves) == 37.0
    assert (p.traits.curve_type, p.traits.skin_type, p.traits.braced) == ("3", 5, True)
    assert "L6" in p.spine.levels


def test_the_spine_has_the_drawn_cobb_angles(surgical: list[Patient]) -> None:
    for p in surgical:
        n = p.spine.endplate_normals().double()
        t = torch.rad2deg(torch.atan2(n[..., 0], n[..., 2]))
        for c in p.posture.curves:
            found = float(t[p.spine.index(c.upper), 0] - t[p.spine.index(c.lower), 1])
            assert abs(found) == pytest.approx(c.cobb_deg, abs=1e-3)
            assert (found > 0) == (c.side == "right")


def test_pelvic_incidence_is_tilt_plus_slope_in_everyone(surgical: list[Patient]) -> None:
    for p in surgical:
        q = p.posture
        assert abs(q.pelvic_incidence_deg - q.pelvic_tilt_deg - q.sacral_slope_deg) < 1e-6


def test_bodies_turn_to_the_convexity_in_everyone(surgical: list[Patient]) -> None:
    for p in surgical:
        for c in p.posture.curves:
            assert rotation_of(c) >= 0
            inner = p.spine.axes[p.spine.index(c.upper) + 1 : p.spine.index(c.lower), 0, 1]
            assert bool((inner <= 1e-6).all() if c.side == "right" else (inner >= -1e-6).all())


def test_main_thoracic_curves_mostly_bend_right(surgical: list[Patient]) -> None:
    main = [max(p.posture.curves, key=lambda c: c.cobb_deg) for p in surgical]
    thoracic = [c for c in main if apex_region(c.upper, c.lower) == "thoracic"]
    assert sum(c.side == "right" for c in thoracic) >= 0.85 * len(thoracic)


def test_lying_down_flattens_the_spine() -> None:
    up = draw(generator=seeded(3), cohort="surgical", cobb_deg=60.0, instrumented=False)
    down = draw(generator=seeded(3), cohort="surgical", cobb_deg=60.0, instrumented=False, stance="supine")
    assert down.body == up.body
    assert down.posture == supine(up.posture)
    assert max(c.cobb_deg for c in down.posture.curves) == pytest.approx(60 * 0.82)


def test_screws_sit_on_the_largest_curve_and_have_straightened_it() -> None:
    before = draw(generator=seeded(4), cohort="surgical", cobb_deg=60.0, curve_type="1", instrumented=False)
    after = draw(generator=seeded(4), cohort="surgical", cobb_deg=60.0, curve_type="1", instrumented=True)
    assert after.traits.hardware is not None
    worst = max(before.posture.curves, key=lambda c: c.cobb_deg)
    assert (after.traits.hardware.upper, after.traits.hardware.lower) == (worst.upper, worst.lower)
    assert max(c.cobb_deg for c in after.posture.curves) < 60


@pytest.mark.parametrize("variant", ["usual", "T13", "L6", "L4", "T11"])
def test_every_numbering_can_be_drawn(variant: str) -> None:
    levels = draw(generator=seeded(8), variant=variant).spine.levels
    assert ("T13" in levels) == (variant == "T13")
    assert ("L6" in levels) == (variant == "L6")
    assert ("L5" in levels) == (variant != "L4")
    assert ("T12" in levels) == (variant != "T11")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda g: draw(generator=g, cobb_deg=200.0), "cobb_deg"),
        (lambda g: draw(generator=g, age_years=-2.0), "age_years"),
        (lambda g: draw(generator=g, curve_type="none", cobb_deg=30.0), "none"),
        (lambda g: draw(generator=g, variant="T20"), "variant"),
        (lambda g: draw(generator=g, bmi=5.0), "bmi"),
        (lambda g: draw(generator=g, skin_type=9), "skin_type"),
    ],
)
def test_impossible_patients_are_refused_in_one_line(make: Callable[[torch.Generator], Patient], words: str) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        make(seeded(0))
    assert "\n" not in str(refused.value)
