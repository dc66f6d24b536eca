"""A bent CT: the wanted angle is the angle got, bodies stay rigid, nothing folds, and there is a way back."""

from dataclasses import replace

import pytest
import torch

from spondyl.measure.cobb import cobb_from_spine, main_curve
from spondyl.pairs import Subject
from spondyl.sim.bone_maps import body_part
from spondyl.sim.deform import bend
from spondyl.sim.patient import Curve, Posture, make_patient, subject
from spondyl.sim.reposed import with_cobb
from spondyl.sim.warp import Warp, warp_between
from spondyl.spine import LEVEL_LABELS, SpineCurve

WANTED_DEG = 35.0


@pytest.fixture(scope="module")
def straight() -> Subject:
    """A patient without a curve, as coarse as a bend can be judged on."""
    return subject(make_patient(Posture()), spacing_mm=4.0)


@pytest.fixture(scope="module")
def curved(straight: Subject) -> SpineCurve:
    return with_cobb(straight.spine, curves=[Curve("T6", "T12", WANTED_DEG, "right")])


@pytest.fixture(scope="module")
def warp(straight: Subject, curved: SpineCurve) -> Warp:
    return warp_between(straight.volume, straight.spine, curved)


def labelled_mm(thing: Subject, level: str) -> torch.Tensor:
    volume = thing.volume
    assert volume.labels is not None
    index = torch.nonzero(volume.labels == LEVEL_LABELS[level]).flip(1).double()
    m = volume.world_from_voxel.double()
    return index @ m[:3, :3].T + m[:3, 3]


def test_the_spine_has_the_angle_that_was_asked_for(curved: SpineCurve) -> None:
    curve = main_curve(cobb_from_spine(curved))
    assert curve is not None
    assert (curve.upper, curve.lower, curve.side) == ("T6", "T12", "right")
    assert curve.angle_deg == pytest.approx(WANTED_DEG, abs=0.05)


def test_a_vertebra_moves_rigidly_to_its_new_place(straight: Subject, curved: SpineCurve, warp: Warp) -> None:
    for level in ("T5", "T8", "T12", "L3"):
        row = straight.spine.index(level)
        own = (torch.rand(200, 3, generator=torch.Generator().manual_seed(row)).double() - 0.5) * 14
        before = own @ straight.spine.axes[row].double() + straight.spine.centres_mm[row]
        after = own @ curved.axes[row].double() + curved.centres_mm[row]
        moved = warp.forward(before.float()).double()
        assert float((moved - after).norm(dim=1).max()) < 0.3


def test_nothing_folds_and_the_way_back_is_the_way_there(straight: Subject, warp: Warp) -> None:
    low, high = straight.volume.corners_mm().amin(0), straight.volume.corners_mm().amax(0)
    share = torch.rand(4000, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    points = (low + share * (high - low)).float()
    assert float((warp.volume_change(points) <= 0).float().mean()) < 0.001
    assert float((warp.inverse(warp.forward(points)) - points).norm(dim=1).max()) < 0.1


def test_labels_and_spine_of_a_bent_subject_agree(straight: Subject, curved: SpineCurve) -> None:
    bent = bend(straight, curved)
    assert bent.spine.levels == straight.spine.levels
    for level in ("T3", "T8", "L1", "L4"):
        row = straight.spine.index(level)
        shift = labelled_mm(bent, level).mean(0) - labelled_mm(straight, level).mean(0)
        own = labelled_mm(straight, level).mean(0) - straight.spine.centres_mm[row].double()
        turned = own @ straight.spine.axes[row].double().T @ bent.spine.axes[row].double()
        expected = bent.spine.centres_mm[row].double() + turned - labelled_mm(straight, level).mean(0)
        assert float((shift - expected).norm()) < 1.0  # voxels are 4 mm


def test_a_line_is_made_of_a_curved_spine_where_it_stands() -> None:
    spine = make_patient(Posture(curves=(Curve("T6", "T12", 40.0, "right"),))).spine
    line = with_cobb(spine, curves=[])
    own, new = (main_curve(cobb_from_spine(s)) for s in (spine, line))
    assert own is not None
    assert own.angle_deg > 38
    # what is left is the wedge of single bodies
    assert new is None or new.angle_deg < 8
    free = line.subset([level for level in line.levels if level not in ("L4", "L5", "S1")])
    sideways = free.centres_mm[:, 0].double()
    height = free.centres_mm[:, 2].double()
    slope = (sideways[0] - sideways[-1]) / (height[0] - height[-1])
    assert float((sideways - sideways[-1] - slope * (height - height[-1])).abs().max()) < 1.0
    assert float(line.centres_mm[0, 0] - spine.centres_mm[0, 0]) == pytest.approx(0.0, abs=0.1)
    assert torch.allclose(line.axes[-1], spine.axes[-1], atol=1e-5)


def test_a_bone_moves_as_one_and_only_its_arch_yields_to_its_neighbours(
    straight: Subject, curved: SpineCurve, warp: Warp
) -> None:
    for level in ("T7", "T11"):
        row = straight.spine.index(level)
        before = labelled_mm(straight, level)
        own = (before - straight.spine.centres_mm[row].double()) @ straight.spine.axes[row].double().T
        rigid = own @ curved.axes[row].double() + curved.centres_mm[row].double()
        off = (warp.forward(before.float()).double() - rigid).norm(dim=1)
        assert float(off[body_part(straight.spine, row, before.numpy())].max()) < 0.3
        assert float(off.square().mean().sqrt()) < 0.5


def test_two_vertebrae_are_enough_and_one_is_not() -> None:
    spine = make_patient(Posture()).spine
    two = with_cobb(spine.subset(("T8", "T9")), curves=[Curve("T8", "T9", 5.0, "left")])
    normals = two.endplate_normals().double()
    tilt = torch.rad2deg(torch.atan2(normals[..., 0], normals[..., 2]))
    assert float(tilt[1, 1] - tilt[0, 0]) == pytest.approx(5.0, abs=0.05)
    with pytest.raises(ValueError, match="the spine has 1 level; wanted at least two"):
        with_cobb(spine.subset(("T8",)), curves=[])


@pytest.mark.parametrize(
    ("upper", "lower", "cobb_deg", "words"),
    [
        ("T6", "T12", 200.0, "cobb_deg of T6-T12 is 200.0; wanted 0 to 90 degrees"),
        ("T6", "T12", 88.0, "take about .* degrees, not 88; ask for less or for more levels"),
        ("C5", "T12", 30.0, "C5 is not in this spine"),
        ("T12", "S1", 30.0, "S1 has no inferior endplate; end it above"),
    ],
)
def test_a_curve_that_cannot_be_is_one_line(
    straight: Subject, upper: str, lower: str, cobb_deg: float, words: str
) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        with_cobb(straight.spine, curves=[Curve(upper, lower, cobb_deg, "right")])
    assert "\n" not in str(caught.value)


def test_a_wanted_spine_with_other_levels_or_bones_is_one_line(straight: Subject) -> None:
    lumbar = straight.spine.subset(("L1", "L2", "L3"))
    with pytest.raises(ValueError, match=r"the wanted spine has C7 .* the subject's has L1 to L3; leave levels out"):
        bend(replace(straight, spine=lumbar), straight.spine)
    other = make_patient(Posture(), seed=5).spine
    with pytest.raises(ValueError, match="of the wanted spine is another bone"):
        bend(straight, replace(other, endplates_mm=1.2 * other.endplates_mm))
