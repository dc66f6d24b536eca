"""The challenge's three angles: by hand for plain shapes, and as its label file has them for real films."""

import csv
import math
from pathlib import Path

import pytest
import torch

from spondyl.measure.aasce import aasce_angles, s_shaped
from spondyl.spine import LEVELS, Corners

FIRST = LEVELS.index("T1")


def stack(tilts: list[float], shift: list[float] | None = None) -> Corners:
    """Boxes under each other, 20 rows apart, each turned as a whole; `shift` moves them along columns."""
    boxes = []
    for i, tilt in enumerate(tilts):
        t = math.radians(tilt)
        along, down = torch.tensor([-math.sin(t), math.cos(t)]), torch.tensor([math.cos(t), math.sin(t)])
        middle = torch.tensor([100.0 + 20 * i, 50.0 + (shift[i] if shift else 0.0)])
        boxes.append(torch.stack([middle + v * 6 * down + u * 15 * along for v in (-1, 1) for u in (-1, 1)]))
    names = tuple(LEVELS[FIRST + i] for i in range(len(tilts)))
    return Corners(names, torch.stack(boxes), torch.ones(len(tilts)))


def test_a_single_arc_has_its_main_angle_and_the_rests_to_the_ends() -> None:
    bow = [-4.0 * (2 - abs(i - 2)) for i in range(5)]
    got = aasce_angles(stack([5.0, 20.0, 0.0, -15.0, -5.0], bow), rows_px=400)
    assert got is not None
    assert (got.main_deg, got.upper_deg, got.lower_deg) == pytest.approx((35, 15, 10), abs=1e-4)


def test_an_s_has_two_more_angles_and_the_height_of_the_picture_decides_which() -> None:
    bends = [0.0, 10.0, 0.0, -10.0, 0.0]
    tilts = [-10.0, 20.0, 0.0, -15.0, 10.0]
    upper_half = aasce_angles(stack(tilts, bends), rows_px=1000)
    assert upper_half is not None
    assert (upper_half.main_deg, upper_half.upper_deg, upper_half.lower_deg) == pytest.approx((35, 30, 25), abs=1e-4)
    lower_half = aasce_angles(stack(tilts, bends), rows_px=10)
    assert lower_half is not None
    assert (lower_half.main_deg, lower_half.upper_deg, lower_half.lower_deg) == pytest.approx((35, 30, 0), abs=1e-4)


def test_the_angles_do_not_depend_on_size_and_need_two_whole_vertebrae() -> None:
    spine = stack([5.0, 20.0, 0.0, -15.0, -5.0])
    large = Corners(spine.levels, spine.corners_px * 3, spine.confidence)
    a, b = aasce_angles(spine, rows_px=300), aasce_angles(large, rows_px=900)
    assert a is not None
    assert b is not None
    assert (a.main_deg, a.upper_deg, a.lower_deg) == pytest.approx((b.main_deg, b.upper_deg, b.lower_deg), abs=1e-4)
    torn = spine.corners_px.clone()
    torn[1:, 3] = torch.nan
    assert aasce_angles(Corners(spine.levels, torn, spine.confidence), rows_px=300) is None
    with pytest.raises(ValueError, match="rows_px is 0"):
        aasce_angles(spine, rows_px=0)


def test_an_s_lies_on_both_sides_of_its_chord() -> None:
    down = torch.arange(6.0)
    assert s_shaped(torch.stack([down, torch.tensor([0.0, 1.0, 0.0, -1.0, -1.0, 0.0])], dim=1))
    assert not s_shaped(torch.stack([down, torch.tensor([0.0, 1.0, 2.0, 2.0, 1.0, 0.0])], dim=1))
    assert not s_shaped(torch.stack([down, torch.tensor([0.0, 1.0, 2.0, 2.0, -1.0, 0.0])], dim=1))


def test_all_angles_of_the_label_file_come_out_of_its_corners(data: Path) -> None:
    with (data / "xray/aasce_ap_scoliosis/annotations.csv").open() as file:
        rows = list(csv.DictReader(file))
    levels = [f"T{i}" for i in range(1, 13)] + [f"L{i}" for i in range(1, 6)]
    assert len(rows) > 100
    for row in rows:
        points = [[[float(row[f"{v}_{p}_{c}"]) for c in "yx"] for p in ("TL", "TR", "BL", "BR")] for v in levels]
        corners = Corners(tuple(levels), torch.tensor(points, dtype=torch.float64), torch.ones(17, dtype=torch.float64))
        got = aasce_angles(corners, rows_px=int(row["height"]))
        assert got is not None
        wanted = [float(row[name]) for name in ("cobb_1_max", "cobb_2_upper", "cobb_3_lower")]
        assert [got.main_deg, got.upper_deg, got.lower_deg] == pytest.approx(wanted, abs=0.02), row["image"]
