"""The cases of a step are a function of (seed, step, process)."""

import pytest

from spondyl.train.sampler import Cases, Sampler


def row(sampler: Sampler, steps: int) -> list[int]:
    return [i for step in range(steps) for batch in sampler.indices(step) for i in batch]


def test_every_case_is_seen_once_before_any_is_seen_twice() -> None:
    seen = row(Sampler(7, batch=2, accumulate=3, seed=4), 7)
    for epoch in range(6):
        assert sorted(seen[7 * epoch : 7 * epoch + 7]) == list(range(7))
    assert seen[:7] != seen[7:14]


def test_the_same_step_gives_the_same_cases_and_another_seed_others() -> None:
    a, b = Sampler(50, 4, seed=1), Sampler(50, 4, seed=1)
    assert b.indices(9) == a.indices(9)
    assert Sampler(50, 4, seed=2).indices(9) != a.indices(9)


@pytest.mark.parametrize("count", [11, None])
def test_processes_share_the_cases_of_a_step(count: int | None) -> None:
    alone = Sampler(count, batch=2, accumulate=6, seed=3)
    shared = [Sampler(count, batch=2, accumulate=3, seed=3, rank=r, ranks=2) for r in range(2)]
    for step in range(5):
        parts = [i for s in shared for batch in s.indices(step) for i in batch]
        assert sorted(parts) == sorted(i for batch in alone.indices(step) for i in batch)


def test_endless_cases_come_in_order_and_never_again() -> None:
    assert row(Sampler(None, 2, accumulate=2), 3) == list(range(12))
    assert Sampler(None, 2).epochs(5) is None
    assert Sampler(8, 2).epochs(6) == 1.5


def test_data_without_cases_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing holds 0 cases"):
        Cases(lambda index: pytest.fail(str(index)), 0, "nothing")
