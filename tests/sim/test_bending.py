"""A bent CT: the wanted angle is the angle got, bodies stay rigid, nothing folds, and there is a way back."""

import pytest
import torch

from spondyl.measure.cobb import cobb_from_spine, main_curve
from spondyl.pairs import Subject
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
