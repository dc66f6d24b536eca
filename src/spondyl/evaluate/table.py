"""The whole table: every quantity by every system and control, and the paired differences between them."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.evaluate.outcomes import Outcome, Outcomes
from spondyl.evaluate.quantities import QUANTITIES
from spondyl.evaluate.summary import Difference, Readings, Summary, difference, summarise

Key = tuple[str, str, str]  # case, quantity, item


@dataclass(frozen=True)
class Table:
    """All rows, quantity by quantity in the order of QUANTITIES; and differences, systems against each other first."""

    summaries: tuple[Summary, ...]
    differences: tuple[Difference, ...]

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of those that the cases have, in order."""
        return tuple(dict.fromkeys(s.quantity for s in self.summaries))


def table_of(done: Outcomes, *, resamples: int) -> Table:
    """All statistics of an evaluation."""
    seed, number = done.protocol.seed, patient_numbers(done)
    summaries, differences = [], []
    for quantity in QUANTITIES:
        keys = keys_of(done, quantity)
        if not keys:
            continue
        columns = {row.label: readings_in(done, row, keys, number) for row in done.rows}
        for row in done.rows:
            got = columns[row.label]
            if row.role == "mean" and not bool(torch.isfinite(got.values).any()):
                continue  # it makes no corners
            summaries.append(summarise(row.name, row.role, quantity, got, seed=seed, resamples=resamples))
        for a, b in compared(done):
            made = difference(
                quantity, (a.label, b.label), columns[a.label], columns[b.label], seed=seed, resamples=resamples
            )
            if made is not None:
                differences.append(made)
    return Table(tuple(summaries), tuple(differences))


def compared(done: Outcomes) -> list[tuple[Outcome, Outcome]]:
    """Who is compared: every two systems, then each system with its own shuffled inputs and with the mean predictor."""
    pairs = list(itertools.combinations(done.systems, 2))
    for row in done.systems:
        pairs += [(row, other) for other in done.rows if other.role == "shuffled" and other.name == row.name]
        pairs.append((row, done.mean))
    return pairs


def patient_numbers(done: Outcomes) -> dict[str, int]:
    """A number for every patient, in the order of the cases."""
    return {patient: i for i, patient in enumerate(dict.fromkeys(case.patient for case in done.cases))}


def keys_of(done: Outcomes, quantity: str) -> list[Key]:
    """Every reading of a quantity that there should be: what any system or control was asked."""
    return list(
        dict.fromkeys(
            (case.id, r.quantity, r.item)
            for case in done.cases
            for row in done.rows
            for r in row.readings[case.id]
            if r.quantity == quantity
        )
    )


def readings_in(done: Outcomes, row: Outcome, keys: Sequence[Key], number: dict[str, int]) -> Readings:
    """One row's readings in the order of the keys."""
    patient = {case.id: number[case.patient] for case in done.cases}
    own, mean, right = _by_key(row), _by_key(done.mean), _truths(done.systems[0])

    def column(numbers: dict[Key, float], missing: float) -> Float[Tensor, "n"]:
        return torch.tensor([numbers.get(key, missing) for key in keys], dtype=torch.float64)

    who = torch.tensor([patient[case] for case, _, _ in keys])
    return Readings(column(own, math.nan), column(right, 0.0), column(mean, math.nan), who)


def _by_key(row: Outcome) -> dict[Key, float]:
    return {
        (case, r.quantity, r.item): r.value
        for case, readings in row.readings.items()
        for r in readings
        if r.value is not None
    }


def _truths(row: Outcome) -> dict[Key, float]:
    return {
        (case, r.quantity, r.item): r.truth
        for case, readings in row.readings.items()
        for r in readings
        if r.truth is not None
    }
