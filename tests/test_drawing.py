"""The lines on a picture: what is drawn must have the angle that is written beside it."""

import math
import re

import pytest
import torch

from spondyl.drawing import AngleMark, Canvas, furniture, overlay, seen_from, side_letters, spacing_at_mm
from spondyl.geometry import Beam, View
from spondyl.spine import Corners

NUMBER = r"-?\d+(?:\.\d+)?"


def bent(tilts_deg: dict[str, tuple[float, float]], u: float = 60.0) -> Corners:
    """Vertebrae one above the other, each endplate 20 px wide and tilted so that its high-u end is raised by the angle."""
    rows = []
    for i, (upper, lower) in enumerate(tilts_deg.values()):
        row = []
        for v, tilt in ((10 + 30 * i, upper), (30 + 30 * i, lower)):
            dv, du = 10 * math.sin(math.radians(tilt)), 10 * math.cos(math.radians(tilt))
            row += [[v + dv, u - du], [v - dv, u + du]]
        rows.append(row)
    return Corners(tuple(tilts_deg), torch.tensor(rows), torch.ones(len(rows)))


def paths(svg: str, kind: str) -> list[torch.Tensor]:
    """End points of every path of a class, as [[x1, y1], [x2, y2]]."""
    found = re.findall(rf'class="{kind}" d="M({NUMBER}) ({NUMBER})L({NUMBER}) ({NUMBER})"', svg)
    return [torch.tensor([float(x) for x in numbers]).reshape(2, 2) for numbers in found]


def view(angle_deg: float = 0.0) -> View:
    return View.around((0, 0, 0), angle_deg=angle_deg, shape_px=(200, 160))


def canvas(spacing: tuple[float, float] = (1.0, 1.0)) -> Canvas:
    return Canvas(view(), spacing)


@pytest.mark.parametrize(("upper", "lower"), [(20.0, -22.0), (-20.0, 22.0), (3.0, 1.0), (30.0, -35.0)])
def test_the_perpendiculars_drawn_enclose_the_angle(upper: float, lower: float) -> None:
    corners = bent({"T5": (upper, 5.0), "T8": (0.0, 0.0), "T12": (-5.0, lower)})
    svg = overlay(corners, canvas(), [AngleMark(("T5", "superior"), ("T12", "inferior"), ("x",))])
    first, second = (path[1] - path[0] for path in paths(svg, "square"))
    cosine = torch.dot(first, -second) / first.norm() / second.norm()
    assert math.degrees(math.acos(min(1.0, float(cosine)))) == pytest.approx(abs(upper - lower), abs=0.1)


def test_the_perpendiculars_stand_on_the_endplates() -> None:
    corners = bent({"T5": (20.0, 5.0), "T12": (-5.0, -22.0)})
    svg = overlay(corners, canvas(), [AngleMark(("T5", "superior"), ("T12", "inferior"), ("42°",))])
    for plate, perpendicular in zip(paths(svg, "long"), paths(svg, "square"), strict=True):
        along = torch.nn.functional.normalize(plate[1] - plate[0], dim=0)
        down = torch.nn.functional.normalize(perpendicular[1] - perpendicular[0], dim=0)
        assert abs(float(along @ down)) < 2e-3
        off = perpendicular[0] - plate[0]
        assert abs(float(off[0] * along[1] - off[1] * along[0])) < 0.02


def test_the_angle_is_built_on_the_convex_side_where_there_is_room() -> None:
    right = bent({"T5": (20.0, 5.0), "T12": (-5.0, -22.0)})
    mark = AngleMark(("T5", "superior"), ("T12", "inferior"), ("42°",))
    meet = paths(overlay(right, canvas(), [mark]), "square")[1][1]
    assert float(meet[0]) > 80
    left = bent({"T5": (-20.0, -5.0), "T12": (5.0, 22.0)}, u=100.0)
    meet = paths(overlay(left, canvas(), [mark]), "square")[1][1]
    assert float(meet[0]) < 80


def test_drawn_endplates_lie_on_the_corners_with_pixels_that_are_not_square() -> None:
    corners = bent({"T8": (10.0, -10.0)})
    drawn = paths(overlay(corners, canvas((2.0, 0.5)), []), "endplate")
    v, u = corners.corners_px[0, 0].tolist()
    assert drawn[0][0].tolist() == pytest.approx([(u + 0.5) * 0.5, (v + 0.5) * 2.0], abs=0.01)


@pytest.mark.parametrize("beam", ["slot", "cone", "parallel"])
def test_the_spacing_at_a_point_gives_true_lengths_there(beam: Beam) -> None:
    seen = View.around((0.0, 0.0, 0.0), beam=beam, pixel_spacing_mm=(0.7, 1.2), shape_px=(400, 400))
    depth = -80.0
    square = torch.tensor([[-50.0, depth, 50.0], [50.0, depth, 50.0], [50.0, depth, -50.0], [-50.0, depth, -50.0]])
    dv, du = spacing_at_mm(seen, torch.tensor([0.0, depth, 0.0]))
    v, u = seen.project_points(square).unbind(-1)
    assert float((u.max() - u.min()) * du) == pytest.approx(100.0, abs=0.1)
    assert float((v.max() - v.min()) * dv) == pytest.approx(100.0, abs=0.1)


def test_an_endplate_that_is_not_visible_is_not_drawn() -> None:
    corners = bent({"L5": (0.0, 0.0), "S1": (30.0, 0.0)})
    hidden = corners.corners_px.clone()
    hidden[1, 2:] = math.nan
    svg = overlay(
        Corners(corners.levels, hidden, corners.confidence),
        canvas(),
        [
            AngleMark(("L5", "superior"), ("S1", "inferior"), ("30°",)),
            AngleMark(("L1", "superior"), ("S1", "superior"), ("?",)),
        ],
    )
    assert len(paths(svg, "endplate")) == 3
    assert not paths(svg, "long")
    assert "nan" not in svg
    assert "30°" not in svg
    assert ">S1<" in svg


def test_every_text_stays_inside_a_picture_with_no_room_beside_the_spine() -> None:
    narrow = Canvas(View.around((0, 0, 0), shape_px=(200, 40)), (1.0, 1.0))
    corners = bent({"T5": (20.0, 5.0), "T12": (-5.0, -22.0)}, u=20.0)
    svg = overlay(corners, narrow, [AngleMark(("T5", "superior"), ("T12", "inferior"), ("42°",))])
    assert not paths(svg, "square")
    assert "42°" in svg
    assert all(0 <= float(x) <= 40 for x in re.findall(rf'<text x="({NUMBER})"', svg))


@pytest.mark.parametrize(
    ("angle", "letters", "words"),
    [
        (0, ("L", "R"), "seen from behind"),
        (180, ("R", "L"), "seen from in front"),
        (90, ("P", "A"), "patient faces right"),
        (270, ("A", "P"), "patient faces left"),
        (30, ("LP", "RA"), "source 30° from behind, towards the patient's right"),
    ],
)
def test_side_letters_say_where_the_patient_lies(angle: float, letters: tuple[str, str], words: str) -> None:
    assert side_letters(view(angle)) == letters
    assert seen_from(view(angle)) == words
    for letter in letters:
        assert f">{letter}<" in furniture(Canvas(view(angle), (1.0, 1.0)), "at the spine")


def test_the_letter_agrees_with_where_a_point_on_the_patients_left_is_seen() -> None:
    for angle in (0, 180, 30, 150, 210, 330):
        seen = view(angle)
        u = float(seen.project_points(torch.tensor([[50.0, 0.0, 0.0]]))[0, 1])
        left_edge, right_edge = side_letters(seen)
        assert "L" in (left_edge if u < 79.5 else right_edge)
