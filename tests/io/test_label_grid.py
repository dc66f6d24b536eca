"""Label maps on other grids: nearest neighbour is exact where it can be, and refuses where it would lie."""

import numpy as np
import pytest
from made_spine import made_spine

from spondyl.io.label_grid import onto_grid

LABELS, AFFINE = made_spine((20, 21, 22))


def test_the_same_grid_is_passed_through() -> None:
    placed, notes = onto_grid(LABELS, AFFINE, LABELS.shape, AFFINE, "seg")
    assert placed is LABELS
    assert notes == ()


def test_the_same_voxels_stored_along_other_axes_come_back_exactly() -> None:
    # the label file runs left to right along its slowest axis, and back to front
    stored = LABELS.transpose(2, 1, 0)[:, ::-1, :]
    turn = np.array([[0, 0, 1, 0], [0, -1, 0, LABELS.shape[1] - 1], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    placed, notes = onto_grid(np.ascontiguousarray(stored), AFFINE @ turn, LABELS.shape, AFFINE, "seg")
    assert np.array_equal(placed, LABELS)
    assert "100 % of the labelled volume" in notes[0]


def test_a_crop_lands_where_it_was_cut() -> None:
    crop = LABELS[10:40, 5:55, 15:50]
    moved = AFFINE.copy()
    moved[:3, 3] = (AFFINE @ [15, 5, 10, 1])[:3]
    placed, _ = onto_grid(crop, moved, LABELS.shape, AFFINE, "seg")
    wanted = np.zeros_like(LABELS)
    wanted[10:40, 5:55, 15:50] = crop
    assert np.array_equal(placed, wanted)


def test_a_coarser_map_is_carried_by_nearest_neighbour() -> None:
    coarse = LABELS[::2, ::2, ::2]
    doubled = AFFINE @ np.diag([2.0, 2.0, 2.0, 1.0])
    placed, notes = onto_grid(coarse, doubled, LABELS.shape, AFFINE, "seg")
    assert np.array_equal(placed[::2, ::2, ::2], coarse)
    assert (placed != LABELS).mean() < 0.05
    assert "4 x 4 x 4 mm" in notes[0]


@pytest.mark.parametrize("shift_mm", [0.8, -0.8])
def test_a_shift_of_less_than_half_a_voxel_moves_no_label(shift_mm: float) -> None:
    moved = AFFINE.copy()
    moved[:3, 3] += shift_mm
    placed, _ = onto_grid(LABELS, moved, LABELS.shape, AFFINE, "seg")
    assert np.array_equal(placed, LABELS)


def test_labels_partly_outside_the_ct_say_how_much_is_left() -> None:
    up = AFFINE.copy()
    up[2, 3] += 40.0
    _, notes = onto_grid(LABELS, up, LABELS.shape, AFFINE, "seg")
    inside = np.count_nonzero(LABELS[:-20]) / np.count_nonzero(LABELS)
    assert f"{100 * inside:.0f} % of the labelled volume" in notes[0]


def test_another_shape_with_the_ct_s_affine_is_refused() -> None:
    with pytest.raises(ValueError, match="with the affine of a CT of"):
        onto_grid(LABELS[:-3], AFFINE, LABELS.shape, AFFINE, "seg")


def test_labels_somewhere_else_are_refused() -> None:
    away = AFFINE.copy()
    away[0, 3] += 5000.0
    with pytest.raises(ValueError, match="no label of seg lies inside the CT"):
        onto_grid(LABELS, away, LABELS.shape, AFFINE, "seg")
