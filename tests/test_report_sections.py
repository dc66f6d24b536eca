"""Sections and panels of the page: they show the world where it is, and draw on it where it is seen."""

import re
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from spondyl.geometry import View
from spondyl.images import BackImage, Ultrasound, Volume
from spondyl.report.backs import DrawnCurve, back_films, false_colour, pixels_of, ultrasound_film
from spondyl.report.sections import FORWARD_MM, along_spine, axial_film, hu_at, section_view, spine_film
from spondyl.sim.patient import demo_patient
from spondyl.spine import Cobb, SpineCurve

SPINE = demo_patient().spine


def balls(spine: SpineCurve, hu: float = 1000.0) -> Volume:
    """Air with a ball of bone about the middle of every vertebra."""
    low = spine.centres_mm.amin(0) - 40
    size = ((spine.centres_mm.amax(0) + 40 - low) / 2).long().flip(0).tolist()
    z, y, x = torch.meshgrid(*(torch.arange(n) * 2.0 for n in size), indexing="ij")
    grid = torch.stack([x, y, z], dim=-1) + low
    volume = torch.full(size, -1000.0)
    for centre in spine.centres_mm:
        volume[((grid - centre) ** 2).sum(-1) < 7.0**2] = hu
    place = torch.diag(torch.tensor([2.0, 2.0, 2.0, 1.0]))
    place[:3, 3] = low
    return Volume(volume, place)


@pytest.mark.parametrize("angle_deg", [0.0, 90.0])
def test_a_section_along_the_spine_cuts_every_vertebra_where_its_view_projects_it(angle_deg: float) -> None:
    view = section_view(SPINE, angle_deg, 200.0)
    section = along_spine(balls(SPINE), SPINE, view)
    for v, u in view.project_points(SPINE.centres_mm).round().long().tolist():
        assert float(section[v, u]) > 500


def test_a_section_needs_parallel_rays() -> None:
    with pytest.raises(ValueError, match="cone beam; wanted a parallel one"):
        along_spine(balls(SPINE), SPINE, View.around((0, 0, 0), shape_px=(9, 9)))


def test_hounsfield_units_are_interpolated_and_air_outside() -> None:
    hu = torch.arange(4 * 5 * 6, dtype=torch.float32).reshape(4, 5, 6)
    place = torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0]))
    points = torch.tensor([[[3.0, 4.5, 6.0], [500.0, 0.0, 0.0]]], dtype=torch.float64)
    found = hu_at(Volume(hu, place), points)[0]
    assert found[0].item() == pytest.approx(1.5 * 30 + 1.5 * 6 + 1.5)
    assert found[1].item() == pytest.approx(-1000.0, abs=1e-3)


def test_the_axial_picture_holds_its_vertebra_behind_the_middle() -> None:
    film = axial_film("axial", balls(SPINE), SPINE, "T8")
    picture = np.asarray(Image.open(BytesIO(film.png)))
    h, w = picture.shape
    assert picture[round(h / 2 + FORWARD_MM), w // 2] == 255
    assert picture[round(h / 2 + FORWARD_MM), w // 4] == 0


def test_the_film_of_a_section_draws_every_endplate() -> None:
    film = spine_film("coronal", balls(SPINE), SPINE, angle_deg=0.0)
    assert film.drawing.count('class="endplate"') == int(torch.isfinite(SPINE.endplates_mm).all(-1).all(-1).sum())
    assert film.caption.endswith("seen from behind")


def photograph() -> BackImage:
    depth = torch.full((50, 40), 1400.0)
    depth[:5] = 0.0
    camera = torch.tensor([[400.0, 0, 19.5], [0, 400.0, 24.5], [0, 0, 1]])
    place = torch.eye(4)
    place[:3, 3] = torch.tensor([1.0, 2.0, 3.0])
    return BackImage(torch.zeros(3, 50, 40), depth, camera, place)


def test_points_are_drawn_where_the_camera_sees_them() -> None:
    point = torch.tensor([[1.0 + 35.0, 2.0 - 70.0, 3.0 + 1400.0]])
    assert pixels_of(photograph(), point)[0].tolist() == pytest.approx([30.0, 5.0])
    films = back_films(photograph(), point, ("C7",), point.expand(2, 3))
    mm = 1400 / 400
    for film in films:
        assert film.size_mm == pytest.approx((40 * mm, 50 * mm))
        assert re.search(r'cx="105\.00" cy="17\.50"', film.drawing)
        assert ">C7<" in film.drawing


def test_what_the_camera_did_not_see_is_black() -> None:
    colour = false_colour(photograph())
    assert float(colour[:, :5].max()) == 0.0
    assert float(colour[:, 10:].min(dim=0).values.max()) > 0
    nothing = BackImage(torch.zeros(3, 4, 4), torch.zeros(4, 4), torch.eye(3), torch.eye(4))
    assert float(false_colour(nothing).abs().max()) == 0.0


def test_an_ultrasound_panel_writes_its_angle_and_leaves_out_what_lies_outside() -> None:
    image = Ultrasound(torch.zeros(200, 100), (1.0, 1.0))
    inside = torch.tensor([[50.0, 30.0], [40.0, 70.0]])
    lower = torch.tensor([[140.0, 30.0], [150.0, 70.0]])
    outside = torch.tensor([[10.0, -3.0], [10.0, 50.0]])
    angle = Cobb(28.1, "T5", "T11", "T8", "right")
    film = ultrasound_film("us", image, [DrawnCurve(angle, inside, lower)], torch.stack([inside, outside]), inside)
    assert ">28.1°<" in film.drawing
    assert film.drawing.count('class="endplate"') == 1
    gone = ultrasound_film("us", image, [DrawnCurve(angle, outside, lower)])
    assert "28.1" not in gone.drawing
