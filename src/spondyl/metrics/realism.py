"""Does a set of images look like another set? Frechet distance and kernel distance between feature vectors."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from spondyl.metrics.bootstrap import RESAMPLES
from spondyl.metrics.features import check_features
from spondyl.metrics.interval import Estimate, check_confidence, interval_from

# Heusel et al.'s own advice beside their program: at least 10 000 images, "otherwise the true FID is underestimated".
FID_IMAGES = 10_000
# The published programs average over random subsets of 1000 images; smaller sets give a noisy value.
KID_IMAGES = 1000


@dataclass(frozen=True)
class Frechet:
    """A Frechet distance: FID where the features are Inception's.

    Args:
        name: FID-<net>; `FID-sim` compares with nothing in any paper.
        value: at least 0, in the features' squared unit.
        n_real, n_made: images.
        dimensions: of a feature vector.
        notes: what to say beside the number; empty where nothing is to be said.
    """

    name: str
    value: float
    n_real: int
    n_made: int
    dimensions: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Kernel:
    """A kernel distance: KID where the features are Inception's. Fields as in Frechet; `estimate` may be below 0."""

    name: str
    estimate: Estimate
    n_real: int
    n_made: int
    dimensions: int
    notes: tuple[str, ...]


def fid(real: Float[Tensor, "n d"], made: Float[Tensor, "m e"], *, net: str) -> Frechet:
    """|mu_r - mu_m|^2 + tr(C_r + C_m - 2 (C_r C_m)^(1/2)) of two sets of feature vectors.

    M. Heusel et al., GANs trained by a two time-scale update rule, NeurIPS 2017, eq. 6. Biased: it grows as images get
    fewer, so values of different n do not compare (Chong and Forsyth, CVPR 2020). Prefer `kid`.

    Args:
        net: name of the feature net, as told in the result.

    Raises:
        ValueError: for fewer than two images in a set, sets of different vectors, vectors that are not finite.
    """
    check_features(real, made, net)
    if min(len(real), len(made)) < 2:
        raise ValueError(f"{len(real)} real and {len(made)} made images; a covariance wants at least two of each")
    a, b = real.double().cpu(), made.double().cpu()
    shift = (a.mean(dim=0) - b.mean(dim=0)).square().sum()
    cov_a, cov_b = _covariance(a), _covariance(b)
    # tr (C_r C_m)^(1/2) = sum of the singular values of C_r^(1/2) C_m^(1/2): real for any rank.
    cross = torch.linalg.svdvals(_root(cov_a) @ _root(cov_b)).sum()
    value = float(shift + cov_a.trace() + cov_b.trace() - 2 * cross)
    return Frechet(f"FID-{net}", max(value, 0.0), len(a), len(b), a.shape[1], _fid_notes(len(a), len(b), a.shape[1]))


def kid(
    real: Float[Tensor, "n d"],
    made: Float[Tensor, "m e"],
    *,
    net: str,
    real_patients: Integer[Tensor, "n"],
    made_patients: Integer[Tensor, "m"],
    generator: torch.Generator,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
) -> Kernel:
    """Squared maximum mean discrepancy with the kernel (x . y / d + 1)^3, unbiased, with an interval over patients.

    M. Binkowski et al., Demystifying MMD GANs, ICLR 2018; over all pairs, not over random subsets of 1000,
    whose mean it is. Two images of one patient depend on each other and would bias it, so such pairs are left out, within
    a set and across (a radiograph and its own translation). With one image a patient and no patient in both sets this
    is the published estimator. The interval is the percentile interval over patients; a patient in both sets is drawn in
    both at once. Kernels of all pairs are held in memory: up to a few thousand images.

    Args:
        net: name of the feature net, as told in the result.
        real_patients, made_patients: whose each image is, one numbering for both sets.

    Raises:
        ValueError: as `fid`, for ids that do not match, fewer than two patients in a set.
    """
    check_features(real, made, net)
    check_confidence(confidence)
    if resamples < 100:
        raise ValueError(f"resamples is {resamples}; wanted at least 100")
    sums = _pair_sums(real.double().cpu(), made.double().cpu(), real_patients.cpu(), made_patients.cpu())
    if sums.fewest < 2:
        raise ValueError(f"{sums.fewest} patients in a set; wanted at least two, for pairs of one patient do not count")
    value = float(sums.distance(torch.ones(1, sums.patients, dtype=torch.float64)))
    drawn = sums.distance(_draws(sums, resamples, generator))
    tail = (1 - confidence) / 2
    ends = torch.nanquantile(drawn, torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    n_real, n_made = len(real), len(made)
    estimate = Estimate(value, interval_from(ends[0], ends[1], confidence), n_real + n_made, sums.patients)
    return Kernel(f"KID-{net}", estimate, n_real, n_made, real.shape[1], _kid_notes(estimate, min(n_real, n_made)))


@dataclass(frozen=True, eq=False)
class _PairSums:
    """Sums of the kernel over the images of two different patients, and images a patient: all that a draw needs."""

    within_real: Float[Tensor, "p p"]
    within_made: Float[Tensor, "p p"]
    across: Float[Tensor, "p p"]
    images_real: Float[Tensor, "p"]
    images_made: Float[Tensor, "p"]

    @property
    def patients(self) -> int:
        return len(self.images_real)

    @property
    def fewest(self) -> int:
        """Patients in the smaller set."""
        return min(int((self.images_real > 0).sum()), int((self.images_made > 0).sum()))

    def distance(self, drawn: Float[Tensor, "b p"]) -> Float[Tensor, "b"]:
        """MMD^2 where patient i was drawn drawn[i] times; NaN where a draw leaves no pair."""
        real, made = self.images_real, self.images_made
        within = _weighted_mean(self.within_real, real, real, drawn) + _weighted_mean(
            self.within_made, made, made, drawn
        )
        return within - 2 * _weighted_mean(self.across, real, made, drawn)


def _weighted_mean(
    pairs: Float[Tensor, "p p"], left: Float[Tensor, "p"], right: Float[Tensor, "p"], drawn: Float[Tensor, "b p"]
) -> Float[Tensor, "b"]:
    counts = _no_diagonal(torch.outer(left, right))
    return ((drawn @ pairs) * drawn).sum(dim=1) / ((drawn @ counts) * drawn).sum(dim=1)


def _pair_sums(
    real: Float[Tensor, "n d"],
    made: Float[Tensor, "m d"],
    real_ids: Integer[Tensor, "_"],
    made_ids: Integer[Tensor, "_"],
) -> _PairSums:
    if len(real_ids) != len(real) or len(made_ids) != len(made):
        raise ValueError(
            f"{len(real_ids)} and {len(made_ids)} patient ids for {len(real)} real and {len(made)} made images; "
            "wanted one id an image"
        )
    numbered = torch.unique(torch.cat([real_ids, made_ids]), return_inverse=True)[1]
    member = torch.nn.functional.one_hot(numbered).double()
    of_real, of_made = member[: len(real)], member[len(real) :]

    return _PairSums(
        _kernel_sums(real, real, of_real, of_real),
        _kernel_sums(made, made, of_made, of_made),
        _kernel_sums(real, made, of_real, of_made),
        of_real.sum(dim=0),
        of_made.sum(dim=0),
    )


def _kernel_sums(
    a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], of_a: Float[Tensor, "n p"], of_b: Float[Tensor, "m p"]
) -> Float[Tensor, "p p"]:
    """Sum of (a . b / d + 1)^3 over the images of each two patients, a patient with itself left out."""
    return _no_diagonal(of_a.T @ (a @ b.T / a.shape[1] + 1).pow(3) @ of_b)


def _no_diagonal(pairs: Float[Tensor, "p p"]) -> Float[Tensor, "p p"]:
    return pairs - torch.diag(pairs.diag())


def _draws(sums: _PairSums, resamples: int, generator: torch.Generator) -> Float[Tensor, "b p"]:
    """How often each patient is drawn, with replacement within: both sets, the real one only, the made one only."""
    drawn = torch.zeros(resamples, sums.patients, dtype=torch.float64)
    in_real, in_made = sums.images_real > 0, sums.images_made > 0
    groups = (in_real & in_made, in_real & ~in_made, ~in_real & in_made)
    for group in groups:
        members = group.nonzero()[:, 0]
        if len(members):
            picks = torch.randint(len(members), (resamples, len(members)), generator=generator, device=generator.device)
            drawn.scatter_add_(1, members[picks.cpu()], torch.ones(picks.shape, dtype=torch.float64))
    return drawn


def _covariance(x: Float[Tensor, "n d"]) -> Float[Tensor, "d d"]:
    centred = x - x.mean(dim=0)
    return centred.T @ centred / (len(x) - 1)


def _root(covariance: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root


def _fid_notes(n_real: int, n_made: int, dimensions: int) -> tuple[str, ...]:
    fewest = min(n_real, n_made)
    notes = []
    if fewest <= dimensions:
        notes.append(f"{fewest} images for {dimensions} feature dimensions: the covariance has not full rank")
    if fewest < FID_IMAGES:
        notes.append(f"{fewest} images, fewer than {FID_IMAGES}: biased upwards, compare only with the same n")
    return tuple(notes)


def _kid_notes(estimate: Estimate, fewest: int) -> tuple[str, ...]:
    notes = []
    if fewest < KID_IMAGES:
        notes.append(f"{fewest} images, fewer than {KID_IMAGES}: unbiased but noisy, read the interval")
    if estimate.interval.low <= 0:
        notes.append("the interval reaches 0: at this n the two sets cannot be told apart")
    return tuple(notes)
