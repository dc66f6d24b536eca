"""Pairs without end: the cases of a cohort, one after another, in images of one shape."""

from collections.abc import Iterator

import cohort_stand_in
import pytest
import torch

from spondyl.images import Radiograph, Volume
from spondyl.pairs import collate
from spondyl.simulate import case_seed, simulate_pairs, truth_of
from spondyl.simulate.case import one_thread
from spondyl.simulate.endless import framed


@pytest.fixture(autouse=True)
def _quick_patients() -> Iterator[None]:
    with cohort_stand_in.installed(), one_thread():
        yield


def test_pairs_started_later_are_the_same_pairs() -> None:
    def some(start: int, count: int) -> list[tuple[int, torch.Tensor]]:
        pairs = simulate_pairs("pa", "lateral", seed=7, spacing_mm=10.0, start=start)
        found = [next(pairs) for _ in range(count)]
        return [(p.seed, p.source.optical_depth) for p in found if isinstance(p.source, Radiograph)]

    all_of_them, later = some(0, 4), some(2, 2)
    assert [seed for seed, _ in all_of_them] == [case_seed(7, i) for i in range(4)]
    for (seed, picture), (same_seed, same) in zip(all_of_them[2:], later, strict=True):
        assert seed == same_seed
        assert torch.equal(picture, same)


def test_pairs_can_be_stacked_and_carry_their_truth() -> None:
    pairs = simulate_pairs("lateral", "pa", seed=3, cohort="surgical", spacing_mm=10.0)
    batch = collate([next(pairs) for _ in range(3)])
    assert batch.source.shape[0] == batch.target.shape[0] == 3
    assert truth_of(batch.spines[0]).largest_cobb_deg > 5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": "mri"}, "modality is 'mri'"),
        ({"start": -1}, "start is -1"),
        ({"cohort": "no"}, "cohort is 'no'"),
        ({"field_mm": (1.0, 1.0, 1.0)}, "field_mm is"),
    ],
)
def test_wrong_pairs_are_refused_before_the_first(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        simulate_pairs(**{"source": "pa", "target": "pa", "seed": 1, **changes})  # type: ignore[arg-type]
    assert words in str(caught.value)


@pytest.mark.parametrize("field_mm", [(30.0, 30.0, 30.0), (100.0, 50.0, 80.0), (25.0, 90.0, 60.0)])
def test_a_field_cuts_or_fills_and_leaves_every_voxel_in_its_place(field_mm: tuple[float, float, float]) -> None:
    hu = torch.arange(6 * 7 * 8, dtype=torch.float32).reshape(6, 7, 8)
    place = torch.tensor([[5.0, 0, 0, -9], [0, 5, 0, 11], [0, 0, 5, 3], [0, 0, 0, 1]])
    volume = Volume(hu, place, hu.to(torch.int64))
    out = framed(volume, field_mm)
    assert out.hu.shape == tuple(round(f / 5) for f in field_mm)
    voxel_from_voxel = torch.linalg.inv(place) @ out.world_from_voxel
    for k, j, i in ((0, 0, 0), (2, 3, 1), tuple(n - 1 for n in out.hu.shape)):
        x, y, z, _ = (voxel_from_voxel @ torch.tensor([float(i), j, k, 1])).round().long().tolist()
        inside = 0 <= x < 8 and 0 <= y < 7 and 0 <= z < 6
        assert float(out.hu[k, j, i]) == (float(hu[z, y, x]) if inside else -1000.0)
    if all(f >= 40 for f in field_mm):
        assert float(out.hu.sum() + 1000 * (out.hu == -1000).sum()) == float(hu.sum())
