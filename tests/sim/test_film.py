"""What lies on a film and how it is shown: nothing by default, in the right place and on the right side where it is asked for."""

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from spondyl.geometry import View
from spondyl.images import Radiograph, Volume
from spondyl.pairs import Subject
from spondyl.sim.film import FilmLook
from spondyl.sim.film_furniture import GLYPHS, Furniture
from spondyl.sim.make import sensor_named
from spondyl.sim.radiograph import PA, RadiographSensor
from spondyl.spine import SpineCurve
from spondyl.xray.detector import body_window, display

NO_SPINE = SpineCurve((), torch.zeros(0, 3), torch.zeros(0, 3, 3), torch.zeros(0, 3), torch.zeros(0, 2, 3, 3))


def view_of(angle_deg: float) -> View:
    return View.around((0.0, 0.0, 0.0), angle_deg=angle_deg, pixel_spacing_mm=(1.0, 1.0), shape_px=(400, 200))


def added(furniture: Furniture, angle_deg: float = 0.0) -> Tensor:
    depth = furniture.depth(view_of(angle_deg))
    assert depth is not None
    return depth


def slab() -> Radiograph:
    """A body of depth 3 in the middle of an open field, a bone of 0.3 in it."""
    depth = torch.zeros(400, 200)
    depth[:, 30:170] = 3.0
    depth[180:220, 90:110] += 0.3
    return Radiograph(depth, view_of(0.0))


def test_a_film_has_no_furniture_unless_it_is_asked_for() -> None:
    film = slab()
    assert Furniture().laid_on(film) is film
    assert Furniture().depth(view_of(0.0)) is None
    assert PA.furniture == Furniture()
    usual = sensor_named("pa")
    assert isinstance(usual, RadiographSensor)
    assert usual.furniture == Furniture()


def test_a_sensor_lays_its_furniture_on_the_film_and_changes_nothing_else() -> None:
    body = Subject(Volume(torch.full((40, 20, 30), 40.0), torch.diag(torch.tensor([5.0, 5.0, 5.0, 1.0]))), NO_SPINE)
    bare, marked = (
        RadiographSensor(furniture=f)(body, generator=torch.Generator().manual_seed(1)).optical_depth
        for f in (Furniture(), Furniture(letter_depth=2.0, letter_mm=60.0))
    )
    step = marked - bare
    assert float(step.max()) == pytest.approx(2.0, abs=1e-5)
    assert 0 < int((step > 0.1).sum()) < 0.05 * step.numel()


def test_randomised_sensors_draw_their_furniture_and_keep_the_other_draws() -> None:
    a = [PA.randomised(generator=torch.Generator().manual_seed(k)) for k in range(200)]
    kvp = torch.rand(3, generator=torch.Generator().manual_seed(0))[0] * 30 + 80
    assert a[0].kvp == pytest.approx(float(kvp))
    lettered = sum(s.furniture.letter_depth > 0 for s in a)
    assert 70 < lettered < 130  # half of the range lies below zero: no letter
    assert len({s.furniture.clip_place for s in a}) == 200


@pytest.mark.parametrize("angle_deg", [0.0, 180.0])
@pytest.mark.parametrize("side", [0.6, -0.6])
def test_the_letter_lies_on_its_side_of_the_patient(angle_deg: float, side: float) -> None:
    view = view_of(angle_deg)
    letter = added(Furniture(letter_depth=3.0, letter_side=side), angle_deg)
    v, u = letter.nonzero().double().mean(0).tolist()
    patients_left = view.project_points(torch.tensor([[100.0, 0.0, 0.0]]))[0, 1] - 99.5
    assert (u - 99.5) * float(patients_left) * side > 0
    assert v == pytest.approx(0.15 * 400, abs=2)
    assert float(letter.max()) == 3.0


def test_letters_read_aright_where_the_patients_right_is_on_the_left() -> None:
    """Seen from behind the columns are reversed for reading; seen from the front they are not."""
    for angle_deg in (0.0, 180.0):
        for side, name in ((0.6, "L"), (-0.6, "R")):
            letter = added(Furniture(letter_depth=1.0, letter_side=side, letter_mm=7.0 * 4), angle_deg)
            read = letter.flip(1) if angle_deg == 0.0 else letter
            rows, columns = (torch.unique(i) for i in read.nonzero().T)
            part = read[int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1]
            cells = torch.nn.functional.interpolate(part[None, None], size=(7, 5), mode="area")[0, 0]
            wanted = torch.tensor([[c == "X" for c in row] for row in GLYPHS[name]])
            assert torch.equal(cells > 0.5, wanted)


def test_a_view_from_the_side_has_no_letter() -> None:
    assert Furniture(letter_depth=3.0, word_depth=3.0).depth(view_of(90.0)) is None


def test_joins_are_two_steps_a_third_of_the_picture_apart() -> None:
    step = added(Furniture(join_step=0.1, join_mm=1.0))
    assert torch.equal(step[:, 0], step[:, -1])
    column = step[:, 0]
    assert column[0] == pytest.approx(-0.1)
    assert column[200] == pytest.approx(0.0, abs=1e-6)
    assert column[-1] == pytest.approx(0.1)
    jumps = (column.diff().abs() > 0.02).nonzero()[:, 0]
    assert abs(int(jumps[0]) - 400 / 3) <= 2
    assert abs(int(jumps[-1]) - 800 / 3) <= 2


def test_fasteners_are_few_and_small_and_their_place_is_decided_by_one_number() -> None:
    one, same, other = (added(Furniture(clip_depth=2.0, clip_place=p)) for p in (0.3, 0.3, 0.31))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert 4 <= int((one > 0).sum()) <= 4 * 9 * 3


def test_the_plain_look_is_the_display_curve() -> None:
    film = slab()
    depth = film.optical_depth
    assert torch.equal(FilmLook()(film), display(depth, body_window(depth)))


def test_looks_stay_in_range_and_between_their_black_and_white() -> None:
    g = torch.Generator().manual_seed(0)
    for _ in range(20):
        look = FilmLook().randomised(generator=g)
        grey = look(slab())
        assert look.black - 1e-6 <= float(grey.min())
        assert float(grey.max()) <= look.white + 1e-6
        assert float(grey[200, 100]) > float(grey[200, 60])  # bone stays brighter than what lies beside


def test_detail_raises_an_edge_and_flattening_lowers_slow_steps() -> None:
    film = slab()
    depth = film.optical_depth.clone()
    depth[250:, 30:170] += 1.5
    film = replace(film, optical_depth=depth)

    def step(look: FilmLook, a: tuple[int, int], b: tuple[int, int]) -> float:
        grey = look(film)
        logit = torch.logit(grey.double().clamp(1e-6, 1 - 1e-6))
        return float(logit[a] - logit[b])

    bone, beside, low, high = (200, 91), (200, 88), (350, 100), (100, 100)
    plain = FilmLook(darkest=0.1, brightest=0.98)
    assert step(replace(plain, detail=1.0), bone, beside) > 1.1 * step(plain, bone, beside)
    flat = replace(plain, flattening=0.6)
    assert step(flat, low, high) / step(flat, bone, beside) < 0.7 * step(plain, low, high) / step(plain, bone, beside)


def test_settings_without_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="flattening is 1"):
        FilmLook(flattening=1.0)
    with pytest.raises(ValueError, match="not rising"):
        FilmLook(black=0.5, white=0.4)
    with pytest.raises(ValueError, match="letter_mm is 0"):
        Furniture(letter_mm=0.0)
    assert all("low" in f.metadata for f in fields(Furniture))  # every one of them is drawn anew
