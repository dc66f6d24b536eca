"""Mirrored and upside-down volumes are called out along each axis; volumes that lie right are left in peace."""

import numpy as np
import pytest
import torch
from made_spine import made_spine, mirrored

from spondyl.images import STRUCTURE_LABELS, Volume
from spondyl.io.orientation import flip_warnings

LEVELS_T9_L4 = tuple(range(16, 24))


def labelled(labels: np.ndarray, affine: np.ndarray) -> Volume:
    ints = torch.from_numpy(labels.astype(np.int16))
    return Volume(torch.zeros(labels.shape), torch.from_numpy(affine), ints)


def with_organs() -> tuple[np.ndarray, np.ndarray]:
    """A spine with a liver on the right (-x) and a heart on the left (+x)."""
    labels, affine = made_spine(LEVELS_T9_L4)
    labels[20:50, 2:14, 2:18] = STRUCTURE_LABELS["liver"]
    labels[100:120, 2:14, 42:58] = STRUCTURE_LABELS["heart"]
    return labels, affine


def made_chest() -> np.ndarray:
    """HU of a 4 mm trunk with lungs, a spine behind, a sternum in front, and ribs that fall towards the front."""
    z, y, x = np.meshgrid(np.arange(70), np.arange(70), np.arange(100), indexing="ij")
    trunk = ((x - 50) / 40.0) ** 2 + ((y - 35) / 25.0) ** 2 < 1
    lung = (((abs(x - 50) - 19) / 14.0) ** 2 + ((y - 35) / 17.0) ** 2 < 1) & (z > 10) & (z < 60)
    shell = (((x - 50) / 36.0) ** 2 + ((y - 35) / 21.0) ** 2 < 1) & (
        ((x - 50) / 33.0) ** 2 + ((y - 35) / 18.0) ** 2 > 1
    )
    rib = shell & ((z - 0.8 * y) % 8 < 3) & (abs(x - 50) > 10)
    spine = (abs(x - 50) < 5) & (abs(y - 50) < 4) & ~((abs(x - 50) < 4) & (abs(y - 50) < 3))
    arch = (abs(x - 50) < 2) & (y > 50) & (y < 57)
    sternum = (abs(x - 50) < 4) & (y == 14) & (z > 20)
    hu = np.where(trunk, 40.0, -1000.0)
    hu[lung] = -820.0
    hu[rib | spine | arch | sternum] = 600.0
    return hu.astype(np.float32)


def chest_volume(affine: np.ndarray) -> Volume:
    return Volume(torch.from_numpy(made_chest()), torch.from_numpy(affine))


CHEST_AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])


def test_a_labelled_spine_that_lies_right_is_left_in_peace() -> None:
    assert flip_warnings(labelled(*with_organs())) == ()


@pytest.mark.parametrize(
    ("axis", "words"), [(0, "the liver lies on the left"), (1, "arches of 8 vertebrae"), (2, "T9 lies below L4")]
)
def test_each_flip_of_a_labelled_spine_is_called_by_its_name(axis: int, words: str) -> None:
    labels, affine = with_organs()
    found = flip_warnings(labelled(labels, mirrored(affine, axis)))
    assert len(found) == 1
    assert words in found[0]
    assert "sure" in found[0]


def test_a_body_only_map_says_nothing_about_front_and_back() -> None:
    labels, affine = made_spine(LEVELS_T9_L4, body_only=True)
    assert flip_warnings(labelled(labels, affine)) == ()
    assert flip_warnings(labelled(labels, mirrored(affine, 1))) == ()


def test_a_patient_on_the_belly_written_as_on_the_back_is_seen_in_both_axes() -> None:
    labels, affine = with_organs()
    found = " ".join(flip_warnings(labelled(labels, mirrored(mirrored(affine, 0), 1))))
    assert "arches" in found
    assert "the liver lies on the left and the heart lies on the right" in found


def test_exchanged_axes_are_called_so() -> None:
    labels, affine = made_spine(LEVELS_T9_L4)
    swap = np.array([[0, 0, 1.0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    found = flip_warnings(labelled(labels, swap @ affine))
    assert "the spine runs left to right" in found[0]


def test_scrambled_labels_are_called_so() -> None:
    labels, affine = made_spine((16, 22, 18, 17, 21, 19))
    assert "do not follow each other" in flip_warnings(labelled(labels, affine))[0]


def test_warnings_do_not_depend_on_how_the_file_stores_its_axes() -> None:
    labels, affine = with_organs()
    stored = np.ascontiguousarray(labels.transpose(2, 0, 1)[:, ::-1])
    turn = np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, -1, 0, labels.shape[0] - 1], [0, 0, 0, 1.0]])
    assert flip_warnings(labelled(stored, affine @ turn)) == ()
    assert len(flip_warnings(labelled(stored, mirrored(affine, 1) @ turn))) == 1


def test_a_chest_without_labels_that_lies_right_is_left_in_peace() -> None:
    assert flip_warnings(chest_volume(CHEST_AFFINE)) == ()


@pytest.mark.parametrize(("axis", "words"), [(1, "the spine lies at the front"), (2, "the ribs rise")])
def test_front_and_back_and_up_and_down_of_a_chest_are_seen_without_labels(axis: int, words: str) -> None:
    found = flip_warnings(chest_volume(mirrored(CHEST_AFFINE, axis)))
    assert len(found) == 1
    assert words in found[0]
    assert "fairly sure" in found[0]


def test_a_chest_upside_down_and_back_to_front_is_seen_in_both() -> None:
    found = flip_warnings(chest_volume(mirrored(mirrored(CHEST_AFFINE, 1), 2)))
    assert len(found) == 2


def test_bone_on_both_sides_is_not_judged() -> None:
    hu = made_chest()
    # thin plates in front of the lower sixty percent, more bone than the spine has
    hu[:42, [13, 14, 17, 18, 21, 22, 25, 26], 40:61] = 600.0
    for axis in (0, 1):
        volume = Volume(torch.from_numpy(hu), torch.from_numpy(mirrored(CHEST_AFFINE, axis)))
        assert flip_warnings(volume) == ()


def test_grey_values_and_narrow_fields_of_view_are_not_judged() -> None:
    flipped = torch.from_numpy(mirrored(CHEST_AFFINE, 1))
    grey = Volume(torch.from_numpy((made_chest() + 1000) / 8), flipped)
    assert flip_warnings(grey) == ()
    narrow = Volume(torch.from_numpy(made_chest()[:, 40:60, 40:60].copy()), flipped)
    assert flip_warnings(narrow) == ()
    metres = Volume(torch.from_numpy(made_chest()), torch.diag(torch.tensor([4000.0, 4000.0, 4000.0, 1.0])))
    assert flip_warnings(metres) == ()
    assert flip_warnings(Volume(torch.full((3, 3, 3), -1000.0), torch.eye(4))) == ()
