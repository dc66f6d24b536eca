"""Who takes part in an evaluation, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from spondyl.evaluate.answers import Answer
from spondyl.evaluate.case import EvaluationCase
from spondyl.evaluate.controls import MEAN, SHUFFLED
from spondyl.evaluate.protocol import Protocol
from spondyl.evaluate.quantities import Reading
from spondyl.system import System


@dataclass(frozen=True, eq=False)
class Entrant:
    """A system that takes part.

    Args:
        name: unlike those of the others; the file of its answers is named after it.
        system: with its weights, on any device.
        weights_sha256: what its answers belong to.
        origin: where the weights come from, for people.
    """

    name: str
    system: System
    weights_sha256: str
    origin: str = ""


@dataclass(frozen=True, eq=False)
class Outcome:
    """The readings of one row of the table.

    Args:
        name: of the system; "mean predictor" for that.
        role: "system", "shuffled" or "mean".
        readings: by case id.
        answers: by case id; empty for a control.
    """

    name: str
    role: str
    readings: Mapping[str, tuple[Reading, ...]]
    answers: Mapping[str, Answer]

    @property
    def label(self) -> str:
        """Name and role in words."""
        return f"{self.name}, shuffled inputs" if self.role == SHUFFLED else self.name


@dataclass(frozen=True, eq=False)
class Outcomes:
    """All readings: each system, then its shuffled control, and the mean predictor at the end."""

    cases: tuple[EvaluationCase, ...]
    rows: tuple[Outcome, ...]
    protocol: Protocol

    @property
    def systems(self) -> tuple[Outcome, ...]:
        """The systems alone."""
        return tuple(row for row in self.rows if row.role == "system")

    @property
    def mean(self) -> Outcome:
        """The mean predictor."""
        return next(row for row in self.rows if row.role == MEAN)
