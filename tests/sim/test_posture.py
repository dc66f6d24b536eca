"""The posed spine: angles are what was asked for, rotation turns the right way, bad wishes are refused in one line."""

import pytest
import torch
from torch import Tensor

from spondyl.geometry import View
from spondyl.sim.patient import Curve, Posture, demo_patient, make_body, spine_of
from spondyl.sim.patient.vertebra import vertebrae_of
from spondyl.spine import SpineCurve

TRIPLE = (Curve("T1", "T5", 24, "left"), Curve("T5", "T12", 61, "right"), Curve("T12", "L4", 40, "left"))
CASES = {
    "thoracic": (Curve("T5", "T11", 45, "right"),),
    "thoracic left": (Curve("T6", "T12", 30, "left"),),
    "lumbar": (Curve("T11", "L3", 38, "left"),),
    "shared ends": TRIPLE,
    "neighbouring ends": (
        Curve("T2", "T5", 15, "left"),
        Curve("T6", "T11", 42, "right"),
        Curve("T12", "L5", 26, "left"),
    ),
}


def coronal_deg(spine: SpineCurve) -> Tensor:
    n = spine.endplate_normals().double()
    return torch.rad2deg(torch.atan2(n[..., 0], n[..., 2]))


def sagittal_deg(spine: SpineCurve) -> Tensor:
    n = spine.endplate_normals().double()
    return torch.rad2deg(torch.atan2(-n[..., 1], n[..., 2]))


@pytest.mark.parametrize("curves", CASES.values(), ids=CASES.keys())
def test_every_cobb_angle_is_the_designed_one(curves: tuple[Curve, ...]) -> None:
    spine = spine_of(Posture(curves), make_body())
    t = coronal_deg(spine)
    for c in curves:
        turn = float(t[spine.index(c.upper), 0] - t[spine.index(c.lower), 1])
        assert turn == pytest.approx(c.cobb_deg if c.side == "right" else -c.cobb_deg, abs=1e-3)


@pytest.mark.parametrize("curves", CASES.values(), ids=CASES.keys())
def test_the_end_vertebrae_are_the_most_tilted_ones(curves: tuple[Curve, ...]) -> None:
    spine = spine_of(Posture(curves), make_body())
    t = coronal_deg(spine)
    for c in curves:
        rows = slice(spine.index(c.upper), spine.index(c.lower) + 1)
        assert float(t[rows].max() - t[rows].min()) == pytest.approx(c.cobb_deg, abs=1e-3)


def test_kyphosis_lordosis_and_sacral_slope_are_exact_under_a_large_curve() -> None:
    posture = Posture(TRIPLE, kyphosis_deg=22, lordosis_deg=61, sacral_slope_deg=44)
    spine = spine_of(posture, make_body())
    s = sagittal_deg(spine)
    assert float(s[spine.index("T4"), 0] - s[spine.index("T12"), 1]) == pytest.approx(22, abs=1e-3)
    assert float(s[spine.index("S1"), 0] - s[spine.index("L1"), 0]) == pytest.approx(61, abs=1e-3)
    assert float(s[spine.index("S1"), 0]) == pytest.approx(44, abs=1e-3)


def test_axial_rotation_leaves_every_normal_alone() -> None:
    still = (Curve("T5", "T12", 50, "right", 0.0),)
    turned = (Curve("T5", "T12", 50, "right", 30.0),)
    a, b = (spine_of(Posture(c), make_body()) for c in (still, turned))
    assert torch.allclose(a.endplate_normals()[:-1], b.endplate_normals()[:-1], atol=1e-6)
    assert not torch.allclose(a.axes, b.axes, atol=0.1)


@pytest.mark.parametrize(("side", "sign"), [("right", -1.0), ("left", 1.0)])
def test_the_body_turns_to_the_convexity_and_spinous_tips_lie_inside(side: str, sign: float) -> None:
    body = make_body()
    spine = spine_of(Posture((Curve("T5", "T12", 50, "left" if side == "left" else "right"),)), body)
    apex = spine.index("T8")
    front = -spine.axes[apex, 1]
    assert float(front[0]) * sign > 0.1
    assert float(spine.centres_mm[apex, 0]) * sign > 10
    tips = torch.tensor([float(v.spinous_tip()[0]) for v in vertebrae_of(spine, body.sizes)])
    assert float(tips[apex] - tips[1]) * sign < float(spine.centres_mm[apex, 0] - spine.centres_mm[1, 0]) * sign - 3


def test_arc_length_is_kept_so_a_curved_spine_is_shorter() -> None:
    body = make_body()
    straight = spine_of(Posture(), body)
    bent = spine_of(Posture((Curve("T5", "T12", 60, "right"), Curve("T12", "L4", 40, "left"))), body)
    loss = float(straight.centres_mm[0, 2] - bent.centres_mm[0, 2])
    assert 8 < loss < 50
    for spine in (straight, bent):
        gap = (spine.endplates_mm[:-1, 0, 0] - spine.endplates_mm[:-1, 1, 0]).norm(dim=-1)
        assert torch.allclose(gap, torch.tensor([s.height for s in body.sizes[:-1]]), atol=1e-3)


def test_c7_stands_over_the_sacrum() -> None:
    for curves in CASES.values():
        spine = spine_of(Posture(curves), make_body())
        assert abs(float(spine.centres_mm[0, 0])) < 25


def test_the_silhouette_chord_lies_near_the_designed_angle() -> None:
    spine = demo_patient().spine
    view = View.around((0.0, 0.0, 200.0), source_to_detector_mm=1800, pixel_spacing_mm=(0.5, 0.5), shape_px=(1600, 900))
    tilt = spine.project(view).tilts_deg()
    chord = abs(float(tilt[spine.index("T6"), 0] - tilt[spine.index("T11"), 1]))
    assert chord == pytest.approx(42, abs=2.0)  # a sagittal tilt of 18 degrees at T11 costs 1.1 degrees


@pytest.mark.parametrize(
    ("levels", "last"),
    [
        (("C7", *(f"T{i}" for i in range(1, 14)), *(f"L{i}" for i in range(1, 6)), "S1"), "T13"),
        (("C7", *(f"T{i}" for i in range(1, 13)), *(f"L{i}" for i in range(1, 7)), "S1"), "T12"),
        (("C7", *(f"T{i}" for i in range(1, 13)), *(f"L{i}" for i in range(1, 5)), "S1"), "T12"),
        (("C7", *(f"T{i}" for i in range(1, 12)), *(f"L{i}" for i in range(1, 6)), "S1"), "T11"),
    ],
)
def test_other_numbers_of_vertebrae_are_possible(levels: tuple[str, ...], last: str) -> None:
    spine = spine_of(Posture((Curve("T5", last, 40, "right"),), kyphosis_deg=33), make_body(levels=levels))
    s = sagittal_deg(spine)
    assert spine.levels == levels
    assert float(s[spine.index("T4"), 0] - s[spine.index(last), 1]) == pytest.approx(33, abs=1e-3)


def test_pelvic_incidence_is_tilt_plus_slope() -> None:
    posture = Posture(sacral_slope_deg=41.3, pelvic_tilt_deg=6.2)
    assert posture.pelvic_incidence_deg == pytest.approx(47.5, abs=1e-6)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Curve("T5", "T12", 200, "right"), "cobb_deg"),
        (lambda: Curve("T12", "T5", 20, "right"), "above"),
        (lambda: Curve("T5", "T99", 20, "right"), "level"),
        (lambda: Posture((Curve("T3", "T9", 30, "right"), Curve("T8", "L2", 20, "left"))), "overlap"),
        (lambda: Posture((Curve("T3", "T8", 30, "right"), Curve("T9", "L2", 20, "right"))), "alternate"),
        (lambda: Posture(kyphosis_deg=300), "kyphosis_deg"),
        (lambda: make_body(age_years=-3), "age_years"),
        (lambda: make_body(levels=("C7", "L1")), "levels"),
        (lambda: spine_of(Posture((Curve("T5", "L6", 30, "right"),)), make_body()), "L6"),
    ],
)
def test_impossible_wishes_are_refused_in_one_line(make: object, words: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=words) as refused:
        make()
    assert "\n" not in str(refused.value)
