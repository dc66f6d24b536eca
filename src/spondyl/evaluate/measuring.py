"""Readings of any answer, by what kind of truth its case has."""

from spondyl.evaluate.case import ImageTruth, MarksTruth, SpineTruth, Truth
from spondyl.evaluate.corners import read_corners
from spondyl.evaluate.films import film_of, read_film
from spondyl.evaluate.marks import read_marks
from spondyl.evaluate.quantities import Reading
from spondyl.spine import Corners, UltrasoundMarks
from spondyl.system import Word


def readings_of(answer: Word | None, seen: Truth, truth: Truth) -> tuple[Reading, ...]:
    """What an answer to the image of `seen` says, held against `truth`; None is a failure, and reads as one everywhere.

    Raises:
        ValueError: where the answer is of another kind than the truth.
    """
    if isinstance(truth, SpineTruth) and isinstance(seen, SpineTruth) and isinstance(answer, Corners | None):
        return read_corners(answer, seen, truth)
    if isinstance(truth, MarksTruth) and isinstance(seen, MarksTruth) and isinstance(answer, UltrasoundMarks | None):
        return read_marks(answer, seen, truth)
    if isinstance(truth, ImageTruth):
        return read_film(None if answer is None else film_of(answer), film_of(truth.load()))
    raise ValueError(
        f"the answer is {type(answer).__name__}, the case has a {type(truth).__name__}; evaluate this system on other data"
    )
