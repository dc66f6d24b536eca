"""Other people's numberings: each value to the right structure, guessed only where the anatomy agrees."""

import numpy as np
import pytest
from made_spine import made_spine, mirrored

from spondyl.images import STRUCTURE_LABELS
from spondyl.io.labels import SCHEMES, guess_scheme, map_labels
from spondyl.spine import LEVEL_LABELS


@pytest.mark.parametrize(
    ("scheme", "value", "structure"),
    [
        ("verse", 1, "C1"),
        ("verse", 19, "T12"),
        ("verse", 25, "L6"),
        ("verse", 26, "S1"),
        ("verse", 27, "coccyx"),
        ("verse", 28, "T13"),
        ("ctspine1k", 25, "L6"),
        ("totalsegmentator", 25, "S1"),
        ("totalsegmentator", 26, "S1"),
        ("totalsegmentator", 27, "L5"),
        ("totalsegmentator", 31, "L1"),
        ("totalsegmentator", 32, "T12"),
        ("totalsegmentator", 43, "T1"),
        ("totalsegmentator", 44, "C7"),
        ("totalsegmentator", 50, "C1"),
        ("totalsegmentator", 5, "liver"),
        ("totalsegmentator", 10, "lung"),
        ("totalsegmentator", 51, "heart"),
        ("totalsegmentator", 69, "humerus"),
        ("totalsegmentator", 72, "scapula"),
        ("totalsegmentator", 73, "clavicle"),
        ("totalsegmentator", 76, "femur"),
        ("totalsegmentator", 77, "pelvis"),
        ("totalsegmentator", 86, "muscle"),
        ("totalsegmentator", 91, "skull"),
        ("totalsegmentator", 92, "rib"),
        ("totalsegmentator", 115, "rib"),
        ("totalsegmentator", 116, "sternum"),
        ("totalsegmentator", 117, "cartilage"),
        ("swinx2s", 25, "L6"),
        ("swinx2s", 26, "rib"),
        ("swinx2s", 49, "rib"),
        ("swinx2s", 50, "S1"),
        ("swinx2s", 51, "pelvis"),
        ("swinx2s", 54, "femur"),
        ("spondyl", 31, "rib"),
    ],
)
def test_each_scheme_names_its_structures(scheme: str, value: int, structure: str) -> None:
    assert SCHEMES[scheme][value] == STRUCTURE_LABELS[structure]


def test_every_scheme_says_our_labels_only_and_every_vertebra_once() -> None:
    for scheme, table in SCHEMES.items():
        assert set(table.values()) <= set(STRUCTURE_LABELS.values()) - {0}, scheme
        levels = [v for v in table.values() if v in LEVEL_LABELS.values() and v != LEVEL_LABELS["S1"]]
        assert len(levels) == len(set(levels)) >= 24, scheme


def test_all_117_classes_of_totalsegmentator_are_known() -> None:
    assert set(range(1, 118)) <= set(SCHEMES["totalsegmentator"])


def test_a_table_cannot_be_changed_by_accident() -> None:
    with pytest.raises(TypeError):
        SCHEMES["verse"][1] = 2  # type: ignore[index]


def test_labels_that_all_schemes_read_alike_need_no_choice() -> None:
    guess = guess_scheme(*made_spine((19, 20, 21, 22)))
    assert guess.scheme == "verse"
    assert "19-22" in guess.reason
    assert "T12 to L3" in guess.reason
    assert "would read them alike" in guess.reason


def test_totalsegmentator_is_told_by_its_numbers_running_upwards() -> None:
    labels, affine = made_spine((33, 32, 31, 30, 29, 28, 27, 26))
    assert guess_scheme(labels, affine).scheme == "totalsegmentator"
    mapped = map_labels(labels, affine, "auto", "seg")
    assert mapped.labels.dtype == np.int16
    assert mapped.labels[labels == 27].tolist() == [LEVEL_LABELS["L5"]] * int((labels == 27).sum())
    assert "totalsegmentator" in mapped.notes[0]


def test_a_sixth_lumbar_vertebra_and_the_sacrum_are_verse_when_they_follow_l5() -> None:
    assert guess_scheme(*made_spine((23, 24, 25, 26))).scheme == "verse"


def test_a_run_of_vertebrae_is_believed_before_one_with_gaps() -> None:
    # from the top L4, L5, S1 of TotalSegmentator; VerSe would read T13, coccyx, sacrum
    assert guess_scheme(*made_spine((28, 27, 26))).scheme == "totalsegmentator"


def test_what_two_schemes_read_differently_is_refused_with_the_choice() -> None:
    # 25 below 26: verse's L6 and sacrum upside down, or TotalSegmentator's S1 and sacrum
    with pytest.raises(ValueError, match=r"verse or as .*; pass --label-scheme"):
        guess_scheme(*made_spine((25, 26)))


def test_a_whole_spine_under_one_value_is_no_vertebra() -> None:
    labels, affine = made_spine((19, 20, 21, 22, 23, 24))
    with pytest.raises(ValueError, match="too tall for C1"):
        guess_scheme((labels > 0).astype(np.uint8), affine)


def test_unknown_values_are_refused_by_the_guess_and_dropped_with_a_note_when_told() -> None:
    labels, affine = made_spine((19, 20, 200, 201))
    with pytest.raises(ValueError, match="200 is unknown"):
        guess_scheme(labels, affine)
    mapped = map_labels(labels, affine, "verse", "seg")
    assert set(np.unique(mapped.labels).tolist()) == {0, 19, 20}
    strays = int((labels >= 200).sum())
    assert f"label values 200-201 ({strays} voxels)" in mapped.notes[0]


@pytest.mark.parametrize(
    ("values", "scheme", "word"),
    [
        (np.zeros((4, 4, 4)), "auto", "no label at all"),
        (np.full((4, 4, 4), 0.5), "auto", "fractions"),
        (np.full((4, 4, 4), -3), "auto", "from 0 on"),
        (np.full((4, 4, 4), 70000), "auto", "from 0 on"),
        (np.full((4, 4, 4), 200), "verse", "pass another --label-scheme"),
        (np.full((4, 4, 4), 20), "versee", "wanted auto or one of verse"),
    ],
)
def test_what_is_no_label_map_is_refused(values: np.ndarray, scheme: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        map_labels(values, np.eye(4), scheme, "seg")


def test_whole_numbers_stored_as_floats_are_labels() -> None:
    labels, affine = made_spine((19, 20, 21))
    mapped = map_labels(labels.astype(np.float32) + np.float32(1e-5), affine, "auto", "seg")
    assert np.array_equal(mapped.labels, labels)


@pytest.mark.parametrize("scheme", ["totalsegmentator", "swinx2s"])
def test_left_on_the_right_is_noted(scheme: str) -> None:
    vertebrae = (33, 32, 31, 30) if scheme == "totalsegmentator" else (18, 19, 20, 21)
    left, right = (77, 78) if scheme == "totalsegmentator" else (52, 51)
    labels, affine = made_spine(vertebrae)
    labels[2:9, 10:20, 46:58] = left
    labels[2:9, 10:20, 2:14] = right
    assert not any("calls left" in n for n in map_labels(labels, affine, scheme, "seg").notes)
    turned = map_labels(labels, mirrored(affine, 0), scheme, "seg").notes
    assert any("calls left lie 88 mm to the right" in n for n in turned)
