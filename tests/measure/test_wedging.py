"""Wedges add up to the angle, heights are distances."""

import math

import pytest
import torch

from spondyl.measure.cobb import cobb_between, cobb_from_spine
from spondyl.measure.sagittal import LeanProfile, leans_of_spine, sagittal_angles
from spondyl.measure.tilt import TiltProfile, tilts_of_spine
from spondyl.measure.wedging import body_share, coronal_wedges, edge_heights_mm, sagittal_wedges, wedges_of_curve
from spondyl.sim.patient import Curve, Posture, draw, make_body, spine_of
from spondyl.spine import Cobb, Corners


def profile(levels: tuple[str, ...], tilts: list[list[float]]) -> TiltProfile:
    return TiltProfile(levels, torch.tensor(tilts), torch.zeros(len(levels), 2, 2))


def test_wedges_of_a_hand_made_spine() -> None:
    found = coronal_wedges(profile(("T8", "T9", "T11"), [[10.0, 6.0], [5.0, 1.0], [-3.0, -4.0]]))
    assert [(w.where, w.wedge_deg) for w in found] == [
        ("T8", 4.0), ("T8/T9", 1.0), ("T9", 4.0), ("T9-T11", 4.0), ("T11", 1.0),
    ]  # fmt: skip
    assert [w.of_body for w in found] == [True, False, True, False, True]


def test_most_spines_have_no_t13_and_no_l6() -> None:
    found = coronal_wedges(profile(("T12", "L1", "L5", "S1"), [[0.0, 0.0]] * 3 + [[0.0, math.nan]]))
    assert [w.where for w in found] == ["T12", "T12/L1", "L1", "L1-L5", "L5", "L5/S1"]


def test_wedges_add_up_to_every_cobb_angle_and_to_the_kyphosis() -> None:
    g = torch.Generator().manual_seed(2)
    for _ in range(4):
        spine = draw(generator=g, cohort="surgical", variant="usual").spine
        tilts = tilts_of_spine(spine)
        curves = cobb_from_spine(spine)
        assert curves
        for curve in curves:
            assert sum(w.wedge_deg for w in wedges_of_curve(tilts, curve)) == pytest.approx(curve.angle_deg, abs=1e-4)
        leans = {w.where: w.wedge_deg for w in sagittal_wedges(leans_of_spine(spine))}
        names = list(leans)
        between = names[names.index("T4") : names.index("T12") + 1]
        kyphosis = next(a for a in sagittal_angles(spine) if (a.upper, a.lower) == ("T4 superior", "T12 inferior"))
        assert sum(leans[n] for n in between) == pytest.approx(kyphosis.kyphosis_deg, abs=1e-4)


@pytest.mark.parametrize(("share", "side"), [(0.62, "right"), (0.25, "left")])
def test_the_share_of_the_bodies_is_the_one_that_the_spine_was_made_with(share: float, side: str) -> None:
    curve = Curve("T5", "T12", 45.0, "right" if side == "right" else "left", body_share=share)
    profile_of = tilts_of_spine(spine_of(Posture((curve,)), make_body()))
    assert body_share(profile_of, cobb_between(profile_of, "T5", "T12")) == pytest.approx(share, abs=1e-3)


def test_a_missing_endplate_is_left_out_or_refused() -> None:
    made = profile(("T8", "T9", "T10"), [[10.0, 6.0], [math.nan, 1.0], [-3.0, -4.0]])
    assert [w.where for w in coronal_wedges(made)] == ["T8", "T9/T10", "T10"]
    with pytest.raises(ValueError, match=r"^an endplate from T8 to T10 was not seen"):
        wedges_of_curve(made, Cobb(14, "T8", "T10", "T9", "right"))
    with pytest.raises(ValueError, match=r"^T5 is not among the levels seen \(T8 T9 T10\)"):
        wedges_of_curve(made, Cobb(14, "T5", "T10", "T9", "right"))
    with pytest.raises(ValueError, match=r"has no angle"):
        body_share(profile(("T8",), [[0.0, 0.0]]), Cobb(0, "T8", "T8", "T8", "right"))


def test_a_body_that_is_lower_in_front_is_wedged_positively() -> None:
    (found,) = sagittal_wedges(LeanProfile(("T8",), torch.tensor([[12.0, 5.0]])))
    assert found.wedge_deg == pytest.approx(7.0)


def test_heights_of_a_drawn_body() -> None:
    px = torch.tensor([[[0.0, 0.0], [0.0, 40.0], [30.0, 0.0], [24.0, 48.0]]])
    made = edge_heights_mm(Corners(("T8",), px, torch.ones(1)), mm_per_px=(0.5, 0.75))
    assert made[0].tolist() == pytest.approx([15.0, math.hypot(12.0, 6.0)])
