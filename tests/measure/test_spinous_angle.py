"""The spinous process angle: tangents of known tilt, and the angle that the simulator calls true."""

import math

import pytest
import torch

from spondyl.measure.spinous_angle import spa, tangent_tilts_deg
from spondyl.sim.patient import draw, spa_deg, ultrasound_landmarks

LEVELS = ("T4", "T5", "T6", "T7", "T8", "T9", "T10")


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.3, 0.8)])
def test_tangents_are_in_millimetres_and_positive_where_the_upper_tip_is_the_left_one(
    spacing: tuple[float, float],
) -> None:
    tilts = [15.0, 0.0, -30.0]
    points = [[0.0, 50.0]]
    for t in tilts:
        v, u = points[-1]
        points.append([v + 20 * math.cos(math.radians(t)), u + 20 * math.sin(math.radians(t))])
    tips = torch.tensor(points) / torch.tensor(spacing)
    assert tangent_tilts_deg(tips, spacing).tolist() == pytest.approx(tilts, abs=1e-3)


def test_the_angle_lies_between_the_steepest_tangents_and_names_their_tips() -> None:
    tangents = torch.tensor([8.0, 15.0, 4.0, -6.0, -17.0, -9.0])
    found = spa(LEVELS, tangents, upper="T5", lower="T9", side="right")
    assert (found.angle_deg, found.upper, found.lower, found.apex) == (pytest.approx(32.0), "T5", "T9", "T7")
    assert spa(LEVELS, -tangents, upper="T5", lower="T9", side="left").angle_deg == pytest.approx(32.0)


def test_it_is_the_angle_that_the_simulator_calls_true_and_lies_below_cobb() -> None:
    g = torch.Generator().manual_seed(6)
    ratios = []
    to_picture = torch.tensor([[0.0, 0.0, -2.0], [-4.0, 0.0, 0.0]])  # rows down, columns to the right, 0.5 and 0.25 mm
    for _ in range(12):
        patient = draw(generator=g, cohort="surgical", instrumented=False)
        marks = ultrasound_landmarks(patient)
        tangents = tangent_tilts_deg(marks.spinous_tips_mm @ to_picture.T, (0.5, 0.25))
        for curve in patient.posture.curves:
            if curve.cobb_deg < 10 or curve.lower == "S1":
                continue
            found = spa(marks.levels, tangents, upper=curve.upper, lower=curve.lower, side=curve.side)
            assert found.angle_deg == pytest.approx(max(spa_deg(marks, curve), 0.0), abs=1e-3)
            ratios.append(found.angle_deg / curve.cobb_deg)
    assert 0.6 < sum(ratios) / len(ratios) < 1.0


def test_what_is_missing_is_one_line() -> None:
    tangents = torch.zeros(6)
    with pytest.raises(ValueError, match=r"^no spinous tip of L1; the image shows T4 to T10$"):
        spa(LEVELS, tangents, upper="T5", lower="L1", side="right")
    with pytest.raises(ValueError, match=r"^got 6 tips and 6 tangents"):
        spa(LEVELS[:6], tangents, upper="T5", lower="T9", side="right")
    with pytest.raises(ValueError, match=r"^T4 to T4 has fewer than two tangents"):
        spa(LEVELS, tangents, upper="T4", lower="T4", side="right")
    tangents[2] = math.nan
    with pytest.raises(ValueError, match=r"^a tip from T5 to T9 was not seen"):
        spa(LEVELS, tangents, upper="T5", lower="T9", side="right")
