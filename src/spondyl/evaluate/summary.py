"""One row of the table: a system's readings of one quantity over all cases, every interval over patients."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from spondyl.evaluate.quantities import QUANTITIES, Quantity
from spondyl.metrics.agreement import MARGINS_DEG, Agreement, agreement
from spondyl.metrics.angles import SEVERITY_BOUNDS_DEG, severity_class
from spondyl.metrics.bootstrap import bootstrap
from spondyl.metrics.equivalence import Equivalence, equivalence
from spondyl.metrics.interval import Estimate
from spondyl.metrics.kappa import Kappa, class_agreement
from spondyl.metrics.reliability import icc_agreement, mean_squares
from spondyl.sim.seeds import generator_of

LEAST_READINGS, LEAST_PATIENTS = 3, 2
MARGINS_LEVELS = (0.5, 1.0)  # the same vertebra (half a step is T13 or L6 for its neighbour), and one beside it
SEVERITIES = len(SEVERITY_BOUNDS_DEG) + 1


@dataclass(frozen=True, eq=False)
class Readings:
    """One system's numbers of one quantity, a row each; NaN for a failure.

    Args:
        values: of the system.
        truths: what is right; 0 for a score.
        fallback: what the mean predictor says; NaN where it says nothing.
        patients: as numbers.
    """

    values: Float[Tensor, "n"]
    truths: Float[Tensor, "n"]
    fallback: Float[Tensor, "n"]
    patients: Integer[Tensor, "n"]

    @property
    def filled(self) -> Float[Tensor, "n"]:
        """The values, and the mean predictor's in the place of failures."""
        return torch.where(torch.isnan(self.values), self.fallback, self.values)


@dataclass(frozen=True)
class Summary:
    """What the readings of one quantity say of one system.

    Args:
        system: its name; role: "system", "shuffled" or "mean".
        n: readings that there are; failures: that there should be.
        n_patients: of both.
        mean: mean absolute error, or mean score, of those read. None where there are too few to say.
        mean_with_failures: the same with the mean predictor's error in the place of each failure; None for a score.
        agreement: bias, limits, shares and so on, of those read; None for a score.
        icc: ICC(2,1), of an angle; this and the next two of systems alone, not of controls.
        kappa: of the severity classes 10, 25, 40 degrees, quadratic weights; None for signed angles.
        equivalence: two one-sided tests of the bias against 5 degrees.
    """

    system: str
    role: str
    quantity: str
    n: int
    failures: int
    n_patients: int
    mean: Estimate | None = None
    mean_with_failures: Estimate | None = None
    agreement: Agreement | None = None
    icc: Estimate | None = None
    kappa: Kappa | None = None
    equivalence: Equivalence | None = None


@dataclass(frozen=True)
class Difference:
    """How much larger the mean absolute error (or the mean score) of `first` is than that of `second` on the same readings.

    Args:
        estimate: with its paired bootstrap interval over patients. Failures of an angle or level count with the mean predictor's
            error; of a score, cases that either failed at are left out.
        left_out: how many those are.
    """

    quantity: str
    first: str
    second: str
    estimate: Estimate
    left_out: int


def summarise(system: str, role: str, quantity: str, got: Readings, *, seed: int, resamples: int) -> Summary:
    """All statistics of one system and one quantity."""
    q, read = QUANTITIES[quantity], torch.isfinite(got.values)
    n = int(read.sum())
    bare = Summary(system, role, quantity, n, len(read) - n, _count(got.patients))
    who = got.patients[read]
    if n < LEAST_READINGS or _count(who) < LEAST_PATIENTS:
        return bare
    # one seed for all systems: the same patients are drawn, so that rows compare
    make = generator_of(seed, "table", quantity)
    values, truths = got.values[read], got.truths[read]
    if q.kind == "score":
        return replace(bare, mean=_mean(values, who, make, resamples))
    every = _mean((got.filled - got.truths).abs(), got.patients, generator_of(seed, "table", quantity), resamples)
    margins = MARGINS_LEVELS if q.kind == "level" else MARGINS_DEG
    agreed = agreement(
        got.values, got.truths, patients=got.patients, generator=make, margins=margins, resamples=resamples
    )
    out = replace(bare, mean=agreed.mae, mean_with_failures=every, agreement=agreed)
    if q.kind == "level" or role != "system":
        return out
    return replace(
        out,
        icc=_icc(values, truths, who, generator_of(seed, quantity, "icc"), resamples),
        kappa=_kappa(q, values, truths, who, generator_of(seed, quantity, "kappa"), resamples),
        equivalence=equivalence(values, truths, patients=who),
    )  # fmt: skip


def difference(
    quantity: str, names: tuple[str, str], first: Readings, second: Readings, *, seed: int, resamples: int
) -> Difference | None:
    """The paired difference of two systems on the same rows; None where there are too few."""
    if QUANTITIES[quantity].kind == "score":
        gap = first.values - second.values
    else:
        gap = (first.filled - first.truths).abs() - (second.filled - second.truths).abs()
    both = torch.isfinite(gap)
    if int(both.sum()) < LEAST_READINGS or _count(first.patients[both]) < LEAST_PATIENTS:
        return None
    estimate = _mean(gap[both], first.patients[both], generator_of(seed, quantity, "difference"), resamples)
    return Difference(quantity, names[0], names[1], estimate, int((~both).sum()))


def _count(patients: Integer[Tensor, "n"]) -> int:
    return len(set(patients.tolist()))


def _mean(
    values: Float[Tensor, "n"], patients: Integer[Tensor, "n"], generator: torch.Generator, resamples: int
) -> Estimate:
    def statistic(rows: Integer[Tensor, "rows"]) -> Float[Tensor, "1"]:
        return values[rows].mean()[None]

    return bootstrap(statistic, patients, generator=generator, resamples=resamples)[0]


def _icc(
    values: Float[Tensor, "n"],
    truths: Float[Tensor, "n"],
    patients: Integer[Tensor, "n"],
    generator: torch.Generator,
    resamples: int,
) -> Estimate:
    both = torch.stack([values, truths], dim=1)

    def statistic(rows: Integer[Tensor, "rows"]) -> Float[Tensor, "1"]:
        ms = mean_squares(both[rows])
        defined = ms.targets + ms.raters + ms.error > 0
        return both.new_tensor([icc_agreement(ms) if defined else math.nan])

    return bootstrap(statistic, patients, generator=generator, resamples=resamples)[0]


def _kappa(
    q: Quantity,
    values: Float[Tensor, "n"],
    truths: Float[Tensor, "n"],
    patients: Integer[Tensor, "n"],
    generator: torch.Generator,
    resamples: int,
) -> Kappa | None:
    if q.signed:
        return None
    return class_agreement(
        severity_class(values),
        severity_class(truths),
        classes=SEVERITIES,
        weights="quadratic",
        patients=patients,
        generator=generator,
        resamples=resamples,
    )
