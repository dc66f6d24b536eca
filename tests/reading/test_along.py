"""The look along the spine: the line runs through the bodies, what stands upright on it stands across it in the picture."""

import math

import pytest
import torch
from drawn_spine import drawn_corners, maps_of, marks_of_corners

from spondyl.reading.along import line_of, shown_along
from spondyl.reading.chain import Chain, chain
from spondyl.reading.decode import Vertebrae, decode
from spondyl.reading.look import pooled
from spondyl.reading.marks import READ_LEVELS

SIZE = (416, 192)
BENT = drawn_corners(sway=30.0)


@pytest.fixture(scope="module")
def found() -> Chain:
    return chain(decode(maps_of(marks_of_corners(BENT), SIZE), 0))


@pytest.mark.parametrize("pixel", [(1.0, 1.0), (0.4, 0.4), (1.0, 1.3)])
def test_the_line_passes_through_the_bodies_and_the_canvas_has_them_in_its_middle(
    found: Chain, pixel: tuple[float, float]
) -> None:
    line = line_of(found, pixel, 20.0)
    assert line is not None
    scale = torch.tensor(pixel)
    away = torch.cdist(found.vertebrae.middles * scale, line.points) / line.unit
    assert float(away.min(1).values.max()) < 1.5
    rows = away.argmin(1).float()
    assert torch.allclose(rows.diff(), torch.full_like(rows.diff(), 20.0), atol=5)
    middle = torch.stack([rows, torch.full_like(rows, (line.columns - 1) / 2)], dim=1)
    assert torch.allclose(line.picture(middle) * scale, found.vertebrae.middles * scale, atol=1.6 * line.unit)


def test_the_line_goes_on_straight_beyond_the_bodies(found: Chain) -> None:
    part = Chain(found.vertebrae[list(range(6, 12))], found.levels[6:12], found.sure[6:12], 1.0)
    line = line_of(part, (1.0, 1.0), 20.0)
    assert line is not None
    assert len(line.points) > 13 * 20
    first = line.points[:40].diff(dim=0)
    assert torch.allclose(first, first[:1].expand_as(first), atol=1e-3)
    assert torch.allclose(torch.linalg.norm(first, dim=1), torch.tensor(line.unit), rtol=1e-3)


def test_what_stands_upright_on_the_canvas_stands_across_the_line(found: Chain) -> None:
    line = line_of(found, (1.0, 1.0), 20.0)
    assert line is not None
    row, mid = 150.0, (line.columns - 1) / 2
    box = torch.tensor([[[row + b, mid + a] for b in (-7.0, 7.0) for a in (-12.0, 12.0)]])
    spread = torch.tensor([1.0, 2.0]).expand(1, 4, 2)
    there = line.vertebrae(Vertebrae(box, spread, torch.zeros(1, len(READ_LEVELS)), torch.ones(1), torch.zeros(1)))
    chord = there.points[0, 1] - there.points[0, 0]
    across = line.across[int(row) - 7]
    assert float(torch.nn.functional.cosine_similarity(chord, across, dim=0)) > 0.999
    assert float(torch.linalg.norm(chord)) == pytest.approx(24 * line.unit, rel=0.02)
    # variances along both axes only turn: their sum stays
    assert torch.allclose(there.spread_px.square().sum(-1), torch.tensor(5.0) * line.unit**2, rtol=1e-3)


def test_a_picture_along_the_line_shows_an_upright_stripe(found: Chain) -> None:
    v, u = torch.meshgrid(torch.arange(SIZE[0]).float(), torch.arange(SIZE[1]).float(), indexing="ij")
    middles = found.vertebrae.middles
    bright = torch.exp(-torch.cdist(torch.stack([v, u], -1).reshape(-1, 2), middles).min(1).values.square() / 60)
    line = line_of(found, (1.0, 1.0), 20.0)
    assert line is not None
    shown = shown_along(bright.reshape(SIZE), line)[1]
    inside = shown[60 : len(line.points) - 60]
    best = inside.mean(0).argmax()
    assert abs(float(best) - (line.columns - 1) / 2) <= 2


def test_a_chain_of_three_has_no_line(found: Chain) -> None:
    short = Chain(found.vertebrae[[0, 1, 2]], found.levels[:3], found.sure[:3], 1.0)
    assert line_of(short, (1.0, 1.0), 20.0) is None


def test_looks_that_agree_are_one_vertebra_and_one_that_few_saw_counts_less(found: Chain) -> None:
    v = found.vertebrae
    near = Vertebrae(v.points + 1.0, v.spread_px, v.level_log, v.score, v.lateral)
    stray = Vertebrae(v.points[:1] + 90.0, v.spread_px[:1], v.level_log[:1], v.score[:1], v.lateral[:1])
    third = Vertebrae(*(torch.cat([getattr(v, f), getattr(stray, f)]) for f in Vertebrae.__dataclass_fields__))
    whole = pooled([v, near, third])
    assert len(whole) == len(v) + 1
    order = whole.middles[:, 0].argsort()
    kept = whole[order[whole.score[order] > 0.5]]
    assert torch.allclose(kept.points, v.points + 1 / 3, atol=0.05)
    assert float(whole.score.min()) == pytest.approx(float(v.score[0]) / 3, rel=0.01)
    assert float(kept.spread_px.min()) > float(v.spread_px.min())
    assert math.isclose(len(chain(whole).levels), len(v))
