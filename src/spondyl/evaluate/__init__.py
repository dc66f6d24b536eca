"""Evaluating: any systems on the same cases, beside the controls that they must beat, with an interval for every number."""

from spondyl.evaluate.case import EvaluationCase, ImageTruth, MarksTruth, SpineTruth, Truth
from spondyl.evaluate.outcomes import Entrant, Outcome, Outcomes
from spondyl.evaluate.protocol import Protocol, Weights, sha256_of
from spondyl.evaluate.run import evaluate

__all__ = [
    "Entrant",
    "EvaluationCase",
    "ImageTruth",
    "MarksTruth",
    "Outcome",
    "Outcomes",
    "Protocol",
    "SpineTruth",
    "Truth",
    "Weights",
    "evaluate",
    "sha256_of",
]
