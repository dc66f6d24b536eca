"""FID and KID: Gaussians whose distance is known, torchmetrics' own formulas, patients, notes."""

import math

import numpy as np
import pytest
import torch
from scipy import linalg

from spondyl.metrics.features import SIM, features
from spondyl.metrics.realism import Kernel, fid, kid


def normal(n: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def white(n: int, d: int, seed: int) -> torch.Tensor:
    """Vectors whose sample mean is 0 and sample covariance exactly 1."""
    x = normal(n, d, seed)
    x = x - x.mean(dim=0)
    return x @ torch.linalg.inv(torch.linalg.cholesky(x.T @ x / (n - 1))).T


def of(real: torch.Tensor, made: torch.Tensor, seed: int = 0) -> Kernel:
    ids = torch.arange(len(real)), len(real) + torch.arange(len(made))
    generator = torch.Generator().manual_seed(seed)
    return kid(real, made, net=SIM, real_patients=ids[0], made_patients=ids[1], generator=generator, resamples=200)


def test_fid_of_gaussians_is_its_closed_form() -> None:
    # Means differ by (3, 4), standard deviations are 1 and 2 along commuting axes: 25 + (2 - 1)^2 + (1 - 1)^2.
    real, made = white(50, 2, 1), white(60, 2, 2) * torch.tensor([2.0, 1.0]) + torch.tensor([3.0, 4.0])
    assert fid(real, made, net=SIM).value == pytest.approx(26, abs=1e-9)


def test_fid_is_the_matrix_square_roots() -> None:
    real, made = normal(80, 6, 1), normal(70, 6, 2) @ normal(6, 6, 3) + 0.5
    a, b = np.cov(real.numpy().T), np.cov(made.numpy().T)
    shift = ((real.mean(dim=0) - made.mean(dim=0)) ** 2).sum().item()
    wanted = shift + np.trace(a + b - 2 * linalg.sqrtm(a @ b).real)
    assert fid(real, made, net=SIM).value == pytest.approx(wanted, rel=1e-9)


def test_fid_of_a_set_with_itself_is_zero_even_without_full_rank() -> None:
    few = normal(5, 20, 1)
    got = fid(few, few, net=SIM)
    assert got.value == pytest.approx(0, abs=1e-6)
    assert got.value >= 0


def test_fid_grows_as_images_get_fewer() -> None:
    values = [fid(normal(n, 16, 1), normal(n, 16, 2), net=SIM).value for n in (20, 80, 2000)]
    assert values[0] > 2 * values[1] > 4 * values[2] > 0


def test_the_name_tells_the_net_and_the_notes_tell_the_number() -> None:
    got = fid(normal(30, 40, 1), normal(90, 40, 2), net=SIM)
    assert got.name == "FID-sim"
    assert (got.n_real, got.n_made, got.dimensions) == (30, 90, 40)
    assert len(got.notes) == 2
    assert "not full rank" in got.notes[0]
    assert "fewer than 10000" in got.notes[1]
    assert fid(normal(10_000, 3, 1), normal(10_000, 3, 2), net=SIM).notes == ()


def test_kid_is_unbiased() -> None:
    # Every sample of two from {0, 1} and of two from {0, 2}, all as likely. E k = 1 + 3 m1^2 + 3 m2^2 + m3^2, with moments
    # (1/2, 1/2, 1/2) and (1, 2, 4): MMD^2 = 3 (1/2)^2 + 3 (3/2)^2 + (7/2)^2 = 19.75.
    values = [
        of(torch.tensor([[a], [b]]), torch.tensor([[c], [d]])).estimate.value
        for a in (0.0, 1.0) for b in (0.0, 1.0) for c in (0.0, 2.0) for d in (0.0, 2.0)
    ]  # fmt: skip
    assert sum(values) / 16 == pytest.approx(19.75, abs=1e-12)
    assert min(values) < 0, "an unbiased estimate goes below zero"


def test_kid_by_hand() -> None:
    # d = 1, k = (xy + 1)^3. Within (0, 1): k(0, 1) = 1. Within (1, 2): 27. Across: 1 1 8 27, mean 9.25.
    got = of(torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [2.0]]))
    assert got.estimate.value == pytest.approx(1 + 27 - 2 * 9.25)


def test_kids_interval_holds_the_known_distance() -> None:
    # Eight features N(0, 1) against N(0.3, 1): 3 |dm1|^2 / d + 3 |dm2|^2 / d^2 + |dm3|^2 / d^3.
    d, m = 8, torch.full((8,), 0.3, dtype=torch.float64)
    eye, outer = torch.eye(d, dtype=torch.float64), torch.outer(m, m)
    third = torch.einsum("i,j,k->ijk", m, m, m)
    third = third + sum(torch.einsum(f"{p}->ijk", eye, m) for p in ("ij,k", "ik,j", "jk,i"))
    truth = float(3 * m.square().sum() / d + 3 * outer.square().sum() / d**2 + third.square().sum() / d**3)
    got = of(normal(300, d, 1), 0.3 + normal(300, d, 2))
    assert truth in got.estimate.interval
    assert got.estimate.interval.low > 0
    assert got.estimate.interval.width < truth
    assert got.notes == ("300 images, fewer than 1000: unbiased but noisy, read the interval",)


def test_sets_of_one_kind_cannot_be_told_apart_and_the_note_says_so() -> None:
    got = of(normal(60, 4, 1), normal(60, 4, 2))
    assert 0 in got.estimate.interval
    assert "cannot be told apart" in got.notes[-1]


def test_pairs_of_one_patient_do_not_count() -> None:
    x, y = normal(20, 3, 1), normal(20, 3, 2)
    ids = torch.arange(20)

    def value(real: torch.Tensor, made: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> float:
        generator = torch.Generator().manual_seed(0)
        got = kid(real, made, net=SIM, real_patients=a, made_patients=b, generator=generator, resamples=100)
        return got.estimate.value

    apart = value(x, y, ids, ids + 20)
    assert value(x.repeat_interleave(4, 0), y, ids.repeat_interleave(4), ids + 20) == pytest.approx(apart)
    assert value(x.repeat_interleave(4, 0), y, torch.arange(80), 80 + ids) > apart + 0.1, (
        "copies would count as likeness"
    )
    # A radiograph beside its own perfect translation: of one kind, so nothing speaks for a distance but chance.
    own = torch.tensor([value(normal(10, 3, s), normal(10, 3, s), ids[:10], ids[:10]) for s in range(5)])
    assert own.abs().max() < 1e-12


def test_a_patient_in_both_sets_is_drawn_in_both_at_once() -> None:
    real = normal(40, 3, 1)
    made = real + 0.6  # what makes one patient unlike the others cancels where both are drawn

    def width(made_ids: torch.Tensor, rows: torch.Tensor) -> tuple[float, float]:
        generator = torch.Generator().manual_seed(0)
        got = kid(
            real[rows], made[rows], net=SIM, real_patients=rows, made_patients=made_ids[rows],
            generator=generator, resamples=600,
        )  # fmt: skip
        return got.estimate.value, got.estimate.interval.width

    ids = torch.arange(40)
    left_out = torch.tensor([width(ids, ids[ids != i])[0] for i in range(40)], dtype=torch.float64)
    error = float((39 / 40 * (left_out - left_out.mean()).square().sum()).sqrt())
    assert width(ids, ids)[1] == pytest.approx(2 * 1.96 * error, rel=0.2)
    assert width(ids + 40, ids)[1] > 1.5 * width(ids, ids)[1]


def test_kid_needs_two_patients_a_set() -> None:
    with pytest.raises(ValueError, match="1 patients in a set"):
        kid(
            normal(4, 2, 1), normal(4, 2, 2), net=SIM, real_patients=torch.zeros(4, dtype=torch.long),
            made_patients=torch.arange(4), generator=torch.Generator(),
        )  # fmt: skip


def test_features_run_in_batches_and_refuse_what_is_no_vector() -> None:
    images = torch.rand(7, 1, 8, 8)
    seen: list[int] = []

    def net(x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return x.flatten(1)[:, :5]

    assert torch.equal(features(images, net, batch=3), images.flatten(1)[:, :5].double())
    assert seen == [3, 3, 1]
    with pytest.raises(ValueError, match="wanted 7 x d"):
        features(images, lambda x: x)
    with pytest.raises(ValueError, match="NaN"):
        features(images, lambda x: x.flatten(1) * math.nan)
    with pytest.raises(ValueError, match="no name"):
        fid(normal(4, 2, 1), normal(4, 2, 2), net=" ")


def test_fid_is_torchmetrics() -> None:
    module = pytest.importorskip("torchmetrics.image.fid")
    real, made = normal(90, 8, 1), 0.3 + normal(80, 8, 2)
    theirs = module._compute_fid(real.mean(dim=0), torch.cov(real.T), made.mean(dim=0), torch.cov(made.T))
    assert fid(real, made, net=SIM).value == pytest.approx(float(theirs), rel=1e-9)


def test_kid_is_torchmetrics() -> None:
    module = pytest.importorskip("torchmetrics.image.kid")
    real, made = normal(40, 8, 1), 0.3 + normal(40, 8, 2)
    assert of(real, made).estimate.value == pytest.approx(float(module.poly_mmd(real, made)), rel=1e-9)
