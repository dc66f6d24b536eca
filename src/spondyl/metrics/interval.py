"""A number with its uncertainty: Interval and Estimate, and the checks that every agreement metric makes of its readings."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor


@dataclass(frozen=True)
class Interval:
    """A confidence interval, in the unit of the number it belongs to.

    Args:
        low: lower end; minus infinity where the method gives none.
        high: upper end; plus infinity where the method gives none.
        confidence: nominal coverage, in (0, 1).
    """

    low: float
    high: float
    confidence: float = 0.95

    def __post_init__(self) -> None:
        check_confidence(self.confidence)
        if not self.low <= self.high:
            raise ValueError(f"interval runs from {self.low} to {self.high}; wanted low <= high, neither NaN")

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def width(self) -> float:
        """High minus low."""
        return self.high - self.low


@dataclass(frozen=True)
class Estimate:
    """A number, its confidence interval, and how many readings and patients it rests on."""

    value: float
    interval: Interval
    n: int
    n_patients: int


def check_confidence(confidence: float) -> None:
    """Raises ValueError for a confidence outside (0, 1)."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; wanted a share in (0, 1), such as 0.95")


def paired(
    predicted: Float[Tensor, "n"], reference: Float[Tensor, "n"], *, least: int = 3
) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"]]:
    """Both readings in float64 on the CPU, checked: of one length, finite, at least `least` pairs.

    Raises:
        ValueError: for too few pairs, for NaN or infinite readings.
    """
    if predicted.shape != reference.shape or predicted.ndim != 1:
        raise ValueError(
            f"readings are {tuple(predicted.shape)} and {tuple(reference.shape)}; wanted two lists of pairs"
        )
    if len(predicted) < least:
        raise ValueError(f"{len(predicted)} pairs of readings; wanted at least {least}")
    for name, readings in (("predicted", predicted), ("reference", reference)):
        bad = int((~torch.isfinite(readings)).sum())
        if bad:
            raise ValueError(
                f"{name} holds {bad} readings that are NaN or infinite; count failures, then leave them out"
            )
    return predicted.double().cpu(), reference.double().cpu()


def clusters(patients: Integer[Tensor, "n"], n: int, *, least: int = 2) -> Integer[Tensor, "n"]:
    """Patient of each reading as 0, 1, 2, ... on the CPU, whatever numbers the ids were.

    Raises:
        ValueError: where ids and readings differ in number, or there are fewer than `least` patients.
    """
    if len(patients) != n:
        raise ValueError(f"{len(patients)} patient ids for {n} readings; wanted one id a reading")
    numbered: Tensor = torch.unique(patients.cpu(), return_inverse=True)[1]
    count = int(numbered.max()) + 1 if n else 0
    if count < least:
        raise ValueError(f"{count} patients; wanted at least {least}, for patients are the unit of every interval")
    return numbered


def interval_from(low: float, high: float, confidence: float) -> Interval:
    """An interval from two ends that rounding may have swapped; a NaN end is open."""
    low, high = (-math.inf if math.isnan(low) else low), (math.inf if math.isnan(high) else high)
    return Interval(min(low, high), max(low, high), confidence)
