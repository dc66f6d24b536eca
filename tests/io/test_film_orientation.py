"""Patient letters, PACS flips and projection names, against where the patient's sides fall in the image."""

import math

import pytest
import torch
from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr._concepts_dict import concepts

from spondyl.geometry import View
from spondyl.io.film_orientation import (
    AXIAL,
    OBLIQUE,
    STANDARD,
    flips_for_pacs,
    image_orientation,
    patient_letters,
    projection,
)

DIRECTIONS = {
    "L": (1.0, 0, 0),
    "R": (-1.0, 0, 0),
    "P": (0, 1.0, 0),
    "A": (0, -1.0, 0),
    "H": (0, 0, 1.0),
    "F": (0, 0, -1.0),
}


def seen_at(view: View, direction: str, *, columns_flipped: bool) -> tuple[float, float]:
    """Where a marker 50 mm towards a side of the patient shows, (v, u) pixels from the image of the centre."""
    points = torch.tensor([[0.0, 0, 0], [50 * c for c in DIRECTIONS[direction]]])
    centre, marker = view.project_points(points)
    v, u = (marker - centre).tolist()
    return v, -u if columns_flipped else u


@pytest.mark.parametrize("angle_deg", [0.0, 20.0, 45.0, 60.0, 90.0, 135.0, 180.0, 225.0, 270.0, 315.0])
@pytest.mark.parametrize("tilt_deg", [-20.0, 0.0, 15.0])
@pytest.mark.parametrize("flipped", [False, True])
def test_the_first_letters_are_the_sides_that_markers_show(angle_deg: float, tilt_deg: float, flipped: bool) -> None:
    view = View.around((0, 0, 0), angle_deg=angle_deg, tilt_deg=tilt_deg)
    row, column = image_orientation(view, columns_flipped=flipped)
    for letter in row:
        assert seen_at(view, letter, columns_flipped=flipped)[1] > 0
    for letter in column:
        assert seen_at(view, letter, columns_flipped=flipped)[0] > 0


@pytest.mark.parametrize(
    ("angle_deg", "flipped", "wanted"),
    [
        (0, False, ("R", "F")),
        (0, True, ("L", "F")),
        (90, False, ("A", "F")),
        (180, False, ("L", "F")),
        (270, False, ("P", "F")),
        (30, True, ("LP", "F")),
        (60, False, ("AR", "F")),
    ],
)
def test_named_views_bear_their_letters(angle_deg: float, flipped: bool, wanted: tuple[str, str]) -> None:
    assert image_orientation(View.around((0, 0, 0), angle_deg=angle_deg), columns_flipped=flipped) == wanted


def test_the_strongest_letter_comes_first_and_three_degrees_are_left_out() -> None:
    assert patient_letters([0.5, -0.7, 0.3]) == "ALH"
    assert patient_letters([math.cos(math.radians(2)), 0, math.sin(math.radians(2))]) == "L"
    assert patient_letters([0, 0, -3]) == "F"


@pytest.mark.parametrize("direction", [[0.0, 0, 0], [math.nan, 0, 1]])
def test_no_direction_has_no_letters(direction: list[float]) -> None:
    with pytest.raises(ValueError, match="vector other than zero"):
        patient_letters(direction)


@pytest.mark.parametrize("angle_deg", range(0, 360, 5))
def test_frontal_views_end_with_the_patients_right_on_the_left(angle_deg: int) -> None:
    view = View.around((0, 0, 0), angle_deg=float(angle_deg))
    flipped = flips_for_pacs(view)
    sideways = seen_at(view, "R", columns_flipped=flipped)[1]
    if min(abs(angle_deg - frontal) for frontal in (0, 180, 360)) < 45:
        assert sideways < 0
    else:
        assert not flipped


@pytest.mark.parametrize(
    ("angle_deg", "position", "near"),
    [
        (0, "PA", "A"), (90, "LL", "L"), (180, "AP", "P"), (270, "RL", "R"), (355, "PA", "A"), (99, "LL", "L"),
        (45, "LAO", "LA"), (135, "LPO", "LP"), (225, "RPO", "RP"), (315, "RAO", "RA"),
    ],
)  # fmt: skip
def test_a_view_is_named_after_the_side_at_the_detector(angle_deg: float, position: str, near: str) -> None:
    view = View.around((0, 0, 0), angle_deg=angle_deg)
    assert projection(view).position == position
    detector = view.world_from_detector[:3, 3]
    for letter in near:
        assert float(detector @ torch.tensor(DIRECTIONS[letter])) > 0


def test_a_steep_beam_is_axial() -> None:
    assert projection(View.around((0, 0, 0), tilt_deg=80)) == AXIAL


def test_every_code_is_in_pydicoms_table_of_dx_views() -> None:
    known = {
        code: meaning
        for name in cid_concepts[4010]["SCT"]
        for code, (meaning, cids) in concepts["SCT"][name].items()
        if 4010 in cids
    }
    for named in (*(p for _, p in STANDARD), *OBLIQUE, AXIAL):
        assert known[named.code] == named.meaning
