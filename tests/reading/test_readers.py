"""The readers' parts on pictures and maps drawn by hand: what goes in comes out."""

import math
from dataclasses import replace

import pytest
import torch
from drawn_spine import dotted_picture, drawn_corners, maps_of, marks_of_corners
from torch.nn import functional

from spondyl.reading.augment import Dice, random_picture
from spondyl.reading.canvas import fitting, normalised, placed
from spondyl.reading.chain import chain
from spondyl.reading.decode import Vertebrae, decode
from spondyl.reading.marks import READ_LEVELS, UNKNOWN, Affine, marks_of_arches
from spondyl.reading.net import ReaderNet
from spondyl.reading.targets import reader_loss
from spondyl.spine import UltrasoundMarks

SIZE = (416, 192)


def test_an_affine_and_its_inverse_undo_each_other() -> None:
    way = Affine(torch.tensor([[2.0, 0.3], [-0.4, 1.5]]), torch.tensor([7.0, -3.0]))
    points = torch.randn(9, 2, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(way.inverse()(way(points)), points, atol=1e-5)
    assert torch.allclose(way.after(way)(points), way(way(points)), atol=1e-5)


def test_maps_without_fault_decode_to_the_corners_and_levels_that_made_them() -> None:
    corners = drawn_corners(READ_LEVELS)
    found = chain(decode(maps_of(marks_of_corners(corners), SIZE), 0))
    assert tuple(READ_LEVELS[level] for level in found.levels) == corners.levels
    seen = torch.isfinite(corners.corners_px)
    assert float((found.vertebrae.points - corners.corners_px)[seen].abs().max()) < 1e-2
    assert float(found.sure.min()) > 0.95
    assert float(found.vertebrae.lateral.max()) < 0.05


def test_a_level_that_is_not_seen_is_missing_and_its_neighbours_keep_their_names() -> None:
    marks = marks_of_corners(drawn_corners())
    keep = [i for i in range(len(marks.levels)) if i not in (6, 11)]
    part = replace(marks, points=marks.points[keep], patches=marks.patches[keep], levels=marks.levels[keep])
    found = chain(decode(maps_of(part, SIZE), 0))
    assert found.levels == tuple(keep)


def test_a_vertebra_beside_the_spine_is_left_out() -> None:
    marks = marks_of_corners(drawn_corners())
    found = decode(maps_of(marks, SIZE), 0)
    stray = found[[5]]
    stray = replace(stray, points=stray.points + torch.tensor([6.0, 80.0]), score=stray.score * 0.6)
    both = Vertebrae(*(torch.cat([getattr(found, f), getattr(stray, f)]) for f in Vertebrae.__dataclass_fields__))
    kept = chain(both)
    assert kept.levels == tuple(range(len(marks.levels)))
    assert float(kept.vertebrae.points[:, :, 1].max()) < 140


def test_without_evidence_for_levels_the_chain_says_that_it_does_not_know_them() -> None:
    found = decode(maps_of(marks_of_corners(drawn_corners(READ_LEVELS[4:12])), SIZE), 0)
    blind = replace(found, level_log=torch.full_like(found.level_log, -math.log(len(READ_LEVELS))))
    assert float(chain(blind).sure.max()) < 0.3
    assert float(chain(found).sure.min()) > 0.95


def test_no_vertebra_gives_an_empty_chain() -> None:
    maps = maps_of(marks_of_corners(drawn_corners()), SIZE)
    empty = chain(decode(replace(maps, centre=torch.full_like(maps.centre, -9.0)), 0))
    assert empty.levels == ()
    assert empty.total == 0
    assert math.isnan(empty.pitch_px)


def test_the_loss_is_least_for_maps_without_fault() -> None:
    marks = marks_of_corners(drawn_corners())
    maps = maps_of(marks, SIZE)
    best = float(reader_loss(maps, [marks], [0.0]))
    for name, change in (
        ("offset_px", maps.offset_px + 4.0),
        ("level", maps.level.roll(1, dims=1)),
        ("centre", -maps.centre),
        ("inside", -maps.inside),
        ("lateral", -maps.lateral),
    ):
        assert float(reader_loss(replace(maps, **{name: change}), [marks], [0.0])) > best + 0.05, name


def test_a_level_without_a_number_teaches_no_level() -> None:
    marks = marks_of_corners(drawn_corners())
    maps = maps_of(marks, SIZE)
    unknown = replace(marks, levels=torch.full_like(marks.levels, UNKNOWN))
    wrong = replace(maps, level=maps.level.roll(1, dims=1))
    assert torch.allclose(reader_loss(maps, [unknown], [None]), reader_loss(wrong, [unknown], [None]))


def test_a_picture_without_vertebrae_has_a_loss_too() -> None:
    marks = marks_of_corners(drawn_corners())
    none = replace(marks, points=marks.points[:0], patches=marks.patches[:0], levels=marks.levels[:0])
    maps = maps_of(marks, SIZE)
    quiet = replace(maps, centre=torch.full_like(maps.centre, -9.0), inside=torch.full_like(maps.inside, -9.0))
    assert float(reader_loss(quiet, [none], [None])) < 0.01 < float(reader_loss(maps, [none], [None]))


def test_normalised_pictures_do_not_know_gain_and_offset() -> None:
    picture = torch.rand(96, 64, generator=torch.Generator().manual_seed(1))
    seen = torch.ones_like(picture)
    assert torch.allclose(normalised(picture, seen), normalised(300 * picture - 40, seen), atol=2e-3)
    seen[:, :10] = 0
    assert bool((normalised(picture, seen)[:, :, :10] == 0).all())


@pytest.mark.parametrize("pixel", [(1.0, 1.0), (2.0, 2.0), (1.7, 3.1)])
def test_what_is_placed_on_a_canvas_lies_where_the_affine_says(pixel: tuple[float, float]) -> None:
    points = torch.tensor([[40.0, 30.0], [80.0, 90.0], [150.0, 60.0]])
    way, size = fitting((180, 120), pixel)
    shown, seen = placed(dotted_picture(points, (180, 120)), way, size)
    for v, u in way.inverse()(points).tolist():
        box = shown[round(v) - 4 : round(v) + 5, round(u) - 4 : round(u) + 5]
        a, b = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in box.shape), indexing="ij")
        at = torch.stack([(box * a).sum(), (box * b).sum()]) / box.sum() + torch.tensor([round(v) - 4, round(u) - 4])
        assert torch.allclose(at, torch.tensor([v, u]), atol=0.35)
    assert float(seen.sum()) == pytest.approx(180 * 120 / pixel[0] / pixel[1], rel=0.05)


@pytest.mark.parametrize("seed", range(8))
def test_marks_go_where_the_picture_goes_whatever_was_drawn(seed: int) -> None:
    corners = drawn_corners()
    middles = corners.corners_px.mean(1)
    dots = dotted_picture(middles, SIZE)
    generator = torch.Generator().manual_seed(seed)
    picture, marks = random_picture(
        dots[None], marks_of_corners(corners), (384, 192), (1.0, 1.0), mirror=True, generator=generator
    )
    inside = (marks.patches[:, 0] > 6).all(1) & (marks.patches[:, 0] < torch.tensor([377.0, 185.0])).all(1)
    smooth = functional.avg_pool2d(picture[1][None, None], 5, 1, 2)[0, 0]
    ground = float(smooth.median())
    bright = [float(smooth[v, u]) > ground + 0.4 for v, u in marks.patches[inside, 0].round().long().tolist()]
    # a picture without a spine, or one whose canvas shows next to nothing of it, has nothing to ask
    assert not bright or sum(bright) >= 0.85 * len(bright)


def test_a_mirrored_picture_keeps_low_columns_first() -> None:
    corners = drawn_corners()
    for seed in range(6):
        _, marks = random_picture(
            dotted_picture(corners.corners_px.mean(1), SIZE)[None],
            marks_of_corners(corners),
            (384, 192),
            (1.0, 1.0),
            mirror=True,
            generator=torch.Generator().manual_seed(seed),
        )
        assert bool((marks.points[:, 0, 1] < marks.points[:, 1, 1]).all())


def test_arches_have_a_patch_as_wide_as_their_transverse_processes() -> None:
    v = torch.arange(5.0)[:, None] * 30
    pair = torch.stack([torch.cat([v, v * 0 + s], 1) for s in (-20.0, 20.0)], 1)
    arches = UltrasoundMarks(("T8", "T9", "T10", "T11", "T12"), pair, pair * torch.tensor([1.0, 0.3]), pair.mean(1))
    marks = marks_of_arches(arches)
    assert marks.points.shape == (5, 9, 2)
    assert torch.allclose(torch.linalg.norm(marks.patches[:, 1], dim=1), torch.tensor(20.0))
    assert marks.levels.tolist() == [READ_LEVELS.index(level) for level in arches.levels]


def test_dice_with_the_same_seed_fall_alike() -> None:
    a, b = (Dice(torch.Generator().manual_seed(4)) for _ in range(2))
    assert [a.uniform(0, 1), a.normal(2.0)] == [b.uniform(0, 1), b.normal(2.0)]


def test_the_network_gives_one_cell_for_two_pixels() -> None:
    net = ReaderNet(4, (8, 8, 8, 8, 8, 8))
    maps = net(torch.zeros(2, 2, 64, 32))
    assert maps.centre.shape == (2, 32, 16)
    assert maps.offset_px.shape == maps.log_spread.shape == (2, 4, 2, 32, 16)
    assert maps.level.shape == (2, len(READ_LEVELS), 32, 16)
