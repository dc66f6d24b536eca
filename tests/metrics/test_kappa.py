"""Kappa: a table done by hand, its relation to correlation, statsmodels where it is."""

import math

import pytest
import torch

from spondyl.metrics.kappa import class_agreement, weighted_kappa

TABLE = torch.tensor([[20, 5, 1], [4, 15, 6], [0, 3, 16]])


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_kappa_of_a_table_done_by_hand() -> None:
    # 20 + 15 of 50 agree (0.7); margins (25, 25) and (30, 20) expect 0.5: kappa 0.4.
    assert float(weighted_kappa(torch.tensor([[20, 5], [10, 15]]), "none")) == pytest.approx(0.4)


def test_weights_make_no_difference_between_two_classes() -> None:
    table = torch.tensor([[20, 5], [10, 15]])
    assert float(weighted_kappa(table, "quadratic")) == pytest.approx(float(weighted_kappa(table, "none")))


def test_quadratic_kappa_is_lins_concordance_of_the_class_numbers() -> None:
    # Fleiss and Cohen 1973: 2 cov / (var + var + (difference of means)^2), with variances over n.
    pairs = torch.tensor([[i, j] for i in range(3) for j in range(3) for _ in range(int(TABLE[i, j]))]).double()
    x, y = pairs.unbind(dim=1)
    cov = ((x - x.mean()) * (y - y.mean())).mean()
    lin = 2 * cov / (x.var(unbiased=False) + y.var(unbiased=False) + (x.mean() - y.mean()).square())
    assert float(weighted_kappa(TABLE, "quadratic")) == pytest.approx(float(lin))


def test_the_table_has_the_reference_in_its_rows() -> None:
    got = class_agreement(
        torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 1, 2]), classes=4, weights="linear",
        patients=torch.arange(4), generator=seeded(), resamples=100,
    )  # fmt: skip
    assert got.table[1].tolist() == [0, 1, 1, 0]
    assert got.exact.percent == 75
    assert got.kappa.value == pytest.approx(float(weighted_kappa(got.table, "linear")))


def test_chance_gives_about_zero_and_its_interval_holds_it() -> None:
    a, b = (torch.randint(3, (400,), generator=torch.Generator().manual_seed(s)) for s in (1, 2))
    got = class_agreement(
        a, b, classes=3, weights="quadratic", patients=torch.arange(400), generator=seeded(), resamples=200
    )
    assert abs(got.kappa.value) < 0.1
    assert 0 in got.kappa.interval


def test_one_class_on_both_sides_has_no_kappa() -> None:
    one = torch.ones(6, dtype=torch.long)
    got = class_agreement(
        one, one, classes=4, weights="none", patients=torch.arange(6), generator=seeded(), resamples=100
    )
    assert math.isnan(got.kappa.value)
    assert got.exact.percent == 100


def test_classes_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="outside 0 to 2"):
        class_agreement(
            torch.tensor([0, 3]), torch.tensor([0, 1]), classes=3, weights="none", patients=torch.arange(2),
            generator=seeded(),
        )  # fmt: skip


def test_kappa_and_its_interval_are_statsmodels() -> None:
    agreement = pytest.importorskip("statsmodels.stats.inter_rater")
    for ours, theirs in (("none", None), ("linear", "linear"), ("quadratic", "quadratic")):
        result = agreement.cohens_kappa(TABLE.numpy(), wt=theirs)
        assert float(weighted_kappa(TABLE, ours)) == pytest.approx(result.kappa, abs=1e-12)
    pairs = torch.tensor([[i, j] for i in range(3) for j in range(3) for _ in range(int(TABLE[i, j]))])
    got = class_agreement(
        pairs[:, 1], pairs[:, 0], classes=3, weights="quadratic", patients=torch.arange(len(pairs)), generator=seeded()
    )
    assert got.kappa.interval.width == pytest.approx(result.kappa_upp - result.kappa_low, rel=0.15)
