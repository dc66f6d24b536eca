"""The answers of one system, one line of JSON a case: a run that was stopped goes on behind the last whole line.

The first line says which weights, data and seed the answers belong to. Others are refused, never mixed in.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.evaluate.case import EvaluationCase, MarksTruth, SpineTruth
from spondyl.evaluate.quantities import Reading
from spondyl.spine import Corners, UltrasoundMarks
from spondyl.system import Settings

FORMAT = 1


@dataclass(frozen=True)
class Heading:
    """What the answers of a file belong to; equal headings, equal answers."""

    system: str
    weights_sha256: str
    data_sha256: str
    seed: int
    inputs: str
    version: str


@dataclass(frozen=True, eq=False)
class Answer:
    """What a system said to one case.

    Args:
        case: id of the case that is asked.
        source: id of the case whose image was shown: the same, or another one where inputs are shuffled.
        failure: why there is no answer; "" where there is one.
        word: the corners or marks; None for an image, of which only readings and picture are kept.
        readings: of an image; empty for corners and marks, which can be measured again.
        picture: of an image, an address that holds it.
    """

    case: str
    source: str
    failure: str = ""
    word: Corners | UltrasoundMarks | None = None
    readings: tuple[Reading, ...] = ()
    picture: str = ""


class StoredWord(Settings):
    """Corners or marks as numbers in one row a kind of point."""

    levels: tuple[str, ...]
    points: tuple[tuple[float | None, ...], ...]
    confidence: tuple[float, ...] | None


class StoredAnswer(Settings):
    """One line of the file."""

    case: str
    source: str
    failure: str
    word: StoredWord | None
    readings: tuple[tuple[str, str, float | None, float | None], ...]
    picture: str


class AnswerFile:
    """The file of one system.

    Raises:
        ValueError: where it is there and belongs to other weights, data or seed.
        OSError: where it cannot be read or written.
    """

    def __init__(self, path: Path, heading: Heading, cases: Sequence[EvaluationCase]) -> None:
        self.path = path
        self.answers: dict[tuple[str, str], Answer] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._take(_line({"format": FORMAT, **asdict(heading)}), {case.id: case for case in cases})
        except OSError as error:
            raise OSError(f"cannot use {path}: {(error.strerror or 'unknown reason').lower()}") from error

    def append(self, answer: Answer) -> None:
        """Keep one more answer, on the disk before this returns."""
        word = None if answer.word is None else _stored(answer.word)
        readings = tuple((r.quantity, r.item, r.truth, r.value) for r in answer.readings)
        line = StoredAnswer(
            case=answer.case, source=answer.source, failure=answer.failure, word=word, readings=readings, picture=answer.picture
        ).model_dump()  # fmt: skip
        with self.path.open("ab") as file:
            file.write(_line(line))
            file.flush()
            os.fsync(file.fileno())
        self.answers[answer.case, answer.source] = answer

    def _take(self, head: bytes, cases: Mapping[str, EvaluationCase]) -> None:
        content = self.path.read_bytes() if self.path.exists() else b""
        if not content.startswith(head):
            if b"\n" in content:
                raise ValueError(
                    f"{self.path} holds answers of other weights, data or settings; name another folder with --out, or delete it"
                )
            self.path.write_bytes(head)
            return
        whole = content.rfind(b"\n") + 1  # what follows was cut off when a run was killed
        if whole < len(content):
            os.truncate(self.path, whole)
        for line in content[len(head) : whole].splitlines():
            try:
                stored = StoredAnswer.model_validate_json(line)
                if stored.case in cases and stored.source in cases:
                    self.answers[stored.case, stored.source] = _answer(stored, cases[stored.source])
            except ValueError:
                raise ValueError(f"{self.path} is damaged; delete it, and its cases are answered again") from None


def _line(content: Mapping[str, object]) -> bytes:
    return (json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n").encode("ascii")


def _stored(word: Corners | UltrasoundMarks) -> StoredWord:
    sure = None if word.confidence is None else tuple(round(c, 6) for c in word.confidence.tolist())
    if isinstance(word, Corners):
        return StoredWord(levels=word.levels, points=(_numbers(word.corners_px),), confidence=sure)
    lines = (word.transverse_px, word.laminae_px, word.spinous_px)
    return StoredWord(levels=word.levels, points=tuple(_numbers(part) for part in lines), confidence=sure)


def _numbers(points: Float[Tensor, "l *d"]) -> tuple[float | None, ...]:
    """All numbers in one list, exactly; null for NaN."""
    return tuple(x if math.isfinite(x) else None for x in points.float().flatten().tolist())


def _answer(stored: StoredAnswer, source: EvaluationCase) -> Answer:
    readings = tuple(Reading(*r) for r in stored.readings)
    word = None if stored.word is None else _word(stored.word, source)
    return Answer(stored.case, stored.source, stored.failure, word, readings, stored.picture)


def _word(stored: StoredWord, source: EvaluationCase) -> Corners | UltrasoundMarks:
    n = len(stored.levels)
    sure = None if stored.confidence is None else torch.tensor(stored.confidence, dtype=torch.float32)
    flat = [torch.tensor([math.nan if x is None else x for x in part], dtype=torch.float32) for part in stored.points]
    if isinstance(source.truth, MarksTruth):
        transverse, laminae, spinous = flat
        return UltrasoundMarks(
            stored.levels, transverse.reshape(n, 2, 2), laminae.reshape(n, 2, 2), spinous.reshape(n, 2), sure
        )
    view = source.truth.corners.view if isinstance(source.truth, SpineTruth) else None
    return Corners(stored.levels, flat[0].reshape(n, 4, 2), torch.ones(n) if sure is None else sure, view)
