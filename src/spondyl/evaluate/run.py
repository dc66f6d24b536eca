"""`evaluate`: any number of systems on the same cases, always beside the mean predictor and each system's shuffled inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spondyl import __version__
from spondyl.evaluate.answers import Answer, AnswerFile, Heading
from spondyl.evaluate.case import EvaluationCase, ImageTruth, Truth
from spondyl.evaluate.controls import MEAN, SHUFFLED, mean_readings, partners
from spondyl.evaluate.measuring import readings_of
from spondyl.evaluate.outcomes import Entrant, Outcome, Outcomes
from spondyl.evaluate.page import write_page
from spondyl.evaluate.pictures import triple
from spondyl.evaluate.protocol import Protocol
from spondyl.evaluate.quantities import Reading
from spondyl.evaluate.table import Table, table_of
from spondyl.evaluate.written import write_csv, write_json
from spondyl.metrics.bootstrap import RESAMPLES
from spondyl.progress import Progress, Silent
from spondyl.sim.seeds import generator_of
from spondyl.spine import Corners, UltrasoundMarks
from spondyl.system import System

ANSWERS = "answers"


@dataclass(frozen=True, eq=False)
class Evaluated:
    """All readings and the table that was made of them."""

    outcomes: Outcomes
    table: Table


def evaluate(
    entrants: Sequence[Entrant],
    cases: Sequence[EvaluationCase],
    out: Path,
    *,
    protocol: Protocol,
    learnt: Sequence[Truth] = (),
    resamples: int = RESAMPLES,
    progress: Progress | None = None,
) -> Evaluated:
    """Ask every system every case, measure the answers, and write OUT/results.json, results.csv and index.html.

    Answers are kept under OUT/answers as they come: the same call goes on after a stop, and ends with the same bytes.

    Args:
        learnt: truths of the training split for the mean predictor; without, it leaves one patient out.
        protocol: what the page says about data, split and seed.
        resamples: of patients, for every interval.

    Raises:
        ValueError: for fewer than two patients, ids or names that come twice, a folder with other answers, a system that answers
            no case at all.
        OSError: where a file cannot be written.
    """
    check(entrants, cases)
    progress = progress or Silent()
    others = partners(cases, generator=generator_of(protocol.seed, "evaluate", "shuffle"))
    images = any(isinstance(case.truth, ImageTruth) for case in cases)
    progress.plan(len(entrants) * len(cases) * (1 + images) + 3)
    rows: list[Outcome] = []
    for entrant in entrants:
        rows += _rows(entrant, cases, others, out / ANSWERS, protocol, progress)
    progress.step("mean predictor")
    rows.append(Outcome("mean predictor", MEAN, mean_readings(cases, learnt), {}))
    done = Outcomes(tuple(cases), tuple(rows), protocol)
    progress.step("statistics")
    table = table_of(done, resamples=resamples)
    write_csv(out, done)
    write_json(out, done, table)
    progress.step("page")
    write_page(out, done, table)
    return Evaluated(done, table)


def check(entrants: Sequence[Entrant], cases: Sequence[EvaluationCase]) -> None:
    """Raises ValueError for what no evaluation can be made of."""
    names, ids = [e.name for e in entrants], [c.id for c in cases]
    if not names:
        raise ValueError("no system given; name one or more")
    for what, words in (("system", names), ("case", ids)):
        twice = next((word for word in words if words.count(word) > 1), None)
        if twice is not None:
            raise ValueError(f"{what} {twice} comes twice; give each once, or another name")
    if len({case.patient for case in cases}) < 2:
        raise ValueError(f"{len(cases)} cases of fewer than two patients; wanted two or more: patients are the unit")


def _rows(
    entrant: Entrant,
    cases: Sequence[EvaluationCase],
    others: Mapping[str, EvaluationCase],
    folder: Path,
    protocol: Protocol,
    progress: Progress,
) -> list[Outcome]:
    """The system, then its shuffled control. Corners and marks of another case are measured again; an image is made anew."""
    own = _answers(entrant, [(case, case) for case in cases], cases, folder, "own", protocol, progress)
    reasons = {answer.failure for answer in own.values()}
    if "" not in reasons:
        raise ValueError(f"{entrant.name} answered no case: {sorted(reasons)[0]}")
    said = {case.id: _readings(own[case.id], case, case) for case in cases}
    if any(isinstance(case.truth, ImageTruth) for case in cases):
        pairs = [(case, others[case.id]) for case in cases]
        wrong = _answers(entrant, pairs, cases, folder, SHUFFLED, protocol, progress)
        mixed = {case.id: _readings(wrong[case.id], case, case) for case in cases}
    else:
        mixed = {case.id: _readings(own[others[case.id].id], others[case.id], case) for case in cases}
    return [Outcome(entrant.name, "system", said, own), Outcome(entrant.name, SHUFFLED, mixed, {})]


def _readings(answer: Answer, seen: EvaluationCase, case: EvaluationCase) -> tuple[Reading, ...]:
    return answer.readings or readings_of(answer.word, seen.truth, case.truth)


def _answers(
    entrant: Entrant,
    pairs: Sequence[tuple[EvaluationCase, EvaluationCase]],
    cases: Sequence[EvaluationCase],
    folder: Path,
    inputs: str,
    protocol: Protocol,
    progress: Progress,
) -> dict[str, Answer]:
    """The answers to all cases, by their ids; those that the file has are not asked for again."""
    suffix = "" if inputs == "own" else f".{inputs}"
    heading = Heading(entrant.name, entrant.weights_sha256, protocol.data_sha256, protocol.seed, inputs, __version__)
    file = AnswerFile(folder / f"{entrant.name}{suffix}.jsonl", heading, cases)
    for number, (case, source) in enumerate(pairs, start=1):
        progress.step(f"{entrant.name}{suffix} {number} of {len(pairs)}: {case.id}")
        if (case.id, source.id) not in file.answers:
            file.append(_asked(entrant.system, case, source, protocol.seed))
    return {case.id: file.answers[case.id, source.id] for case, source in pairs}


def _asked(system: System, case: EvaluationCase, source: EvaluationCase, seed: int) -> Answer:
    """The answer to one image; a ValueError of the system is a failure of this case."""
    truth = case.truth
    view = truth.view if isinstance(truth, ImageTruth) else None
    image = source.load()
    try:
        (word,) = system.translate(image, view, generator=generator_of(seed, "evaluate", case.id))
        readings = readings_of(word, source.truth, truth)  # a wrong kind is said here, with the case
        if isinstance(word, Corners | UltrasoundMarks):
            return Answer(case.id, source.id, word=word)
        made = triple(image, word, truth.load()) if isinstance(truth, ImageTruth) else ""
        return Answer(case.id, source.id, readings=readings, picture=made)
    except ValueError as error:
        return Answer(case.id, source.id, failure=" ".join(str(error).split()) or "no answer")
