"""The ultrasound curve angle: lines of known tilt give known angles, in any spacing and for both sides."""

import math

import pytest
import torch

from spondyl.measure.ultrasound_angle import arch_lines, line_tilts_deg, uca
from spondyl.sim.patient import demo_patient, uca_deg, ultrasound_landmarks
from spondyl.sim.patient.posture import Curve
from spondyl.spine import Side

LEVELS = ("T4", "T5", "T6", "T7", "T8", "T9")


def lines(tilts_deg: list[float], spacing: tuple[float, float]) -> torch.Tensor:
    """Lines of 40 mm with the patient's right end higher by each tilt; the left end has the low column."""
    made = []
    for row, tilt in enumerate(tilts_deg):
        rise, run = 20 * math.sin(math.radians(tilt)), 20 * math.cos(math.radians(tilt))
        ends = [[100.0 * row + rise, 200 - run], [100.0 * row - rise, 200 + run]]
        made.append([[v / spacing[0], u / spacing[1]] for v, u in ends])
    return torch.tensor(made)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 0.5), (0.3, 0.8)])
def test_the_tilt_of_a_line_is_in_millimetres_and_positive_where_the_right_end_is_higher(
    spacing: tuple[float, float],
) -> None:
    wanted = [12.0, -7.5, 0.0]
    assert line_tilts_deg(lines(wanted, spacing), spacing).tolist() == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize(("side", "sign"), [("right", 1.0), ("left", -1.0)])
def test_the_angle_lies_between_the_most_tilted_lines(side: Side, sign: float) -> None:
    tilts = sign * torch.tensor([10.0, 18.0, 9.0, -2.0, -14.0, -20.0])
    found = uca(LEVELS, tilts, upper="T5", lower="T8", side=side)
    assert (found.angle_deg, found.upper, found.lower, found.side) == (pytest.approx(38.0), "T5", "T9", side)


def test_a_steeper_line_two_levels_beyond_does_not_count() -> None:
    tilts = torch.tensor([40.0, 5.0, 12.0, 0.0, -10.0, -8.0])
    assert uca(LEVELS, tilts, upper="T6", lower="T8", side="right").angle_deg == pytest.approx(22.0)


def test_lumbar_levels_are_read_by_their_laminae() -> None:
    transverse, laminae = torch.zeros(2, 2, 2), torch.ones(2, 2, 2)
    assert arch_lines(("T12", "L1"), transverse, laminae)[:, 0, 0].tolist() == [0.0, 1.0]


def test_it_is_the_angle_that_the_simulator_calls_true() -> None:
    patient = demo_patient()
    marks = ultrasound_landmarks(patient)
    to_picture = torch.tensor([[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]])  # rows down, columns to the patient's right
    points = arch_lines(marks.levels, marks.transverse_tips_mm, marks.laminae_mm) @ to_picture.T
    found = uca(marks.levels, line_tilts_deg(points, (1.0, 1.0)), upper="T6", lower="T11", side="right")
    assert found.angle_deg == pytest.approx(uca_deg(marks, Curve("T6", "T11", 42.0, "right")), abs=1e-3)


def test_a_level_without_an_echo_is_one_line() -> None:
    tilts = torch.zeros(6)
    with pytest.raises(ValueError, match=r"^no echo of L1; the image shows T4 to T9$"):
        uca(LEVELS, tilts, upper="T5", lower="L1", side="right")
    tilts[2] = math.nan
    with pytest.raises(ValueError, match=r"has no tilt; mark both of its echoes"):
        uca(LEVELS, tilts, upper="T5", lower="T8", side="right")
