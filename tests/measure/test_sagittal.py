"""Kyphosis, lordosis and sacral slope: known spines, both facings, levels that are not there."""

import math

import pytest
import torch
from labelled_phantom import THORACOLUMBAR, bent_spine, true_spine

from spondyl.geometry import View, view_angle_deg
from spondyl.measure.sagittal import (
    LeanProfile,
    angles_of_leans,
    missing,
    sacral_slope_deg,
    sagittal_angles,
    sagittal_from_corners,
)
from spondyl.spine import LEVELS, Corners, Sagittal, SpineCurve


def spine(kyphosis_deg: float = 35.0, lordosis_deg: float = 50.0, sacral_slope_deg: float = 40.0) -> SpineCurve:
    return true_spine(
        bent_spine(
            {"T1 superior": 0},
            kyphosis_deg=kyphosis_deg,
            lordosis_deg=lordosis_deg,
            sacral_slope_deg=sacral_slope_deg,
        )
    )


def by_name(angles: tuple[Sagittal, ...]) -> dict[str, float]:
    return {f"{a.upper} - {a.lower}": a.kyphosis_deg for a in angles}


def leans(levels: tuple[str, ...], step: float = 1.0) -> LeanProfile:
    """Endplates that lean back by one more step from one to the next."""
    values = -step * torch.arange(2 * len(levels), dtype=torch.float64).reshape(-1, 2)
    return LeanProfile(levels, values)


def test_a_spine_has_the_kyphosis_the_lordosis_and_the_sacral_slope_that_it_was_built_with() -> None:
    found = by_name(sagittal_angles(spine(35.0, 50.0, 40.0)))
    assert found["T1 superior - T12 inferior"] == pytest.approx(35.0, abs=1e-6)
    # L1's superior endplate leans back by nearly all of T12's 15.75 degrees, S1 forward by 40.
    assert -55.75 < found["L1 superior - S1 superior"] < -54
    assert sacral_slope_deg(spine(sacral_slope_deg=40.0)) == pytest.approx(40.0, abs=1e-6)


def test_lordosis_counts_negative_as_kyphosis_and_positive_as_lordosis() -> None:
    lordosis = [a for a in sagittal_angles(spine()) if a.upper == "L1 superior"]
    assert len(lordosis) == 2
    assert all(a.kyphosis_deg < 0 < a.lordosis_deg for a in lordosis)


def test_the_whole_set_is_there_when_the_whole_spine_is() -> None:
    assert missing(spine()) == ()
    assert len(sagittal_angles(spine())) == 8


def test_each_missing_angle_is_said_in_one_sentence() -> None:
    short = spine().subset(["T5", "T10", "T12", "L1", "L2"])
    found, absent = by_name(sagittal_angles(short)), missing(short)
    assert set(found) == {"T5 superior - T12 inferior", "T10 superior - L2 inferior"}
    assert "kyphosis T4-T12 is not measured: the superior endplate of T4 is not visible." in absent
    assert "lordosis L1-S1 is not measured: the superior endplate of S1 is not visible." in absent
    assert "Sacral slope is not measured: the superior endplate of S1 is not visible." in absent
    assert len(found) + len(absent) == 8 + 1
    assert sacral_slope_deg(short) is None


def test_an_endplate_that_was_not_seen_takes_its_angles_away() -> None:
    profile = leans(THORACOLUMBAR)
    profile.leans_deg[THORACOLUMBAR.index("T12"), 1] = math.nan
    assert not any("T12" in name for name in by_name(angles_of_leans(profile)))


def test_a_thirteenth_thoracic_and_a_sixth_lumbar_vertebra_end_kyphosis_and_lordosis() -> None:
    levels = tuple(level for level in LEVELS if level[0] in "TL")
    names = set(by_name(angles_of_leans(leans(levels))))
    assert {"T4 superior - T13 inferior", "L1 superior - L6 inferior"} <= names
    assert not any("T12" in name or "L5" in name for name in names)


def test_a_spine_with_four_lumbar_vertebrae_keeps_its_lordosis_and_claims_no_fifth() -> None:
    levels = (*THORACOLUMBAR[:-1], "S1")
    profile = leans(levels)
    profile.leans_deg[-1, 1] = math.nan
    names = set(by_name(angles_of_leans(profile)))
    assert "L1 superior - S1 superior" in names
    assert not any("L5" in name for name in names)
    assert any("the inferior endplate of L5 is not visible" in sentence for sentence in missing(profile))


@pytest.mark.parametrize("name", ["left_lateral", "right_lateral"])
@pytest.mark.parametrize("beam", ["parallel", "slot", "cone"])
def test_a_lateral_picture_gives_the_same_angles_whichever_way_the_patient_faces(name: str, beam: str) -> None:
    true = spine()
    middle = true.centres_mm.mean(dim=0).tolist()
    view = View.around(middle, angle_deg=view_angle_deg(name), beam=beam).to(dtype=torch.float64)
    seen = by_name(sagittal_from_corners(true.project(view), u_magnification=1.2))
    expected = by_name(sagittal_angles(true))
    assert seen.keys() == expected.keys()
    # In a diverging beam each endplate has its own magnification, and the rim's ends are not seen edge on.
    tolerance = 0.01 if beam == "parallel" else 0.5
    for key, angle in expected.items():
        assert seen[key] == pytest.approx(angle, abs=tolerance), key


def test_a_picture_without_a_view_must_say_where_the_patient_looks() -> None:
    true = spine()
    view = View.around(true.centres_mm.mean(dim=0).tolist(), angle_deg=90, beam="parallel").to(dtype=torch.float64)
    with_view = true.project(view)
    bare = Corners(with_view.levels, with_view.corners_px, with_view.confidence)
    with pytest.raises(ValueError, match="faces='left'"):
        sagittal_from_corners(bare)
    right = by_name(sagittal_from_corners(bare, faces="right"))
    assert right == pytest.approx(by_name(sagittal_from_corners(with_view)))
    left = by_name(sagittal_from_corners(bare, faces="left"))
    assert left == pytest.approx({key: -angle for key, angle in right.items()})


def test_a_coronal_picture_has_no_sagittal_angle() -> None:
    true = spine()
    view = View.around(true.centres_mm.mean(dim=0).tolist()).to(dtype=torch.float64)
    with pytest.raises(ValueError, match="wants a lateral view"):
        sagittal_from_corners(true.project(view))


def test_a_profile_refuses_a_wrong_shape_and_an_unknown_level() -> None:
    with pytest.raises(ValueError, match="leans_deg has shape"):
        LeanProfile(("T1",), torch.zeros(2, 2))
    with pytest.raises(ValueError, match="level is 'X9'"):
        LeanProfile(("X9",), torch.zeros(1, 2))
