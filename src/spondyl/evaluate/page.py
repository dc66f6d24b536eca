"""index.html: the table, the differences, the plots and every case, worst first, in one file that needs nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from spondyl.evaluate.cells import HEADINGS, NONE, cells, estimate, number, verdict
from spondyl.evaluate.corners import level_name
from spondyl.evaluate.outcomes import Outcome, Outcomes
from spondyl.evaluate.pictures import drawing, picture, shape_of
from spondyl.evaluate.plots import Point, bland_altman, scatter
from spondyl.evaluate.quantities import QUANTITIES, Quantity, Reading
from spondyl.evaluate.summary import Difference, Summary
from spondyl.evaluate.table import Table
from spondyl.system.folder import NOTICE, replacing

PAGE = "index.html"
MOST_PICTURES = 150  # of the worst cases; a page of more is too heavy to open
OPEN = 6  # cases whose pictures show at once
COLOURS = 4


@dataclass(frozen=True)
class Group:
    """One quantity of the table: its rows."""

    quantity: Quantity
    rows: tuple[tuple[str, tuple[str, ...]], ...]  # role, cells


@dataclass(frozen=True)
class Plots:
    """Two plots of one system and one quantity."""

    title: str
    scatter: str
    difference: str


@dataclass(frozen=True)
class Shown:
    """One system's answer to one case: its number in the case table, its drawing or picture, all its readings."""

    system: str
    value: float | None
    error: float | None
    failure: str
    drawing: str
    picture: str
    readings: tuple[Reading, ...]


@dataclass(frozen=True)
class Row:
    """One case of the page. `picture` is "" where the page would grow too heavy; `rank` is its place, worst first."""

    id: str
    patient: str
    truth: float | None
    shown: tuple[Shown, ...]
    picture: str
    shape: tuple[int, int]
    rank: int


def write_page(out: Path, done: Outcomes, table: Table) -> None:
    """Write the page.

    Raises:
        OSError: where it cannot be written.
    """
    from jinja2 import Environment, StrictUndefined

    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters["told"] = told
    template = page.from_string((files("spondyl.evaluate") / "page.html").read_text(encoding="utf-8"))
    first = QUANTITIES[table.quantities[0]]
    text = template.render(
        protocol=done.protocol,
        headings=HEADINGS,
        groups=groups(table.summaries),
        differences=[_difference(d) for d in table.differences],
        plots=plots(done, table),
        first=first,
        rows=rows(done, first),
        systems=[row.name for row in done.systems],
        quantities=QUANTITIES,
        opened=OPEN,
        most=MOST_PICTURES,
        notice=NOTICE.split(". ")[0] + ".",
    )
    with replacing(out / PAGE) as part:
        part.write_text(text, encoding="utf-8")


def told(value: float | None, quantity: Quantity) -> str:
    """A value as people say it: a number, or the name of a level."""
    if value is None:
        return NONE
    return level_name(value) if quantity.kind == "level" else number(value)


def groups(summaries: Sequence[Summary]) -> list[Group]:
    """The rows of the table by quantity."""
    names = dict.fromkeys(s.quantity for s in summaries)
    return [
        Group(QUANTITIES[name], tuple((s.role, cells(s)) for s in summaries if s.quantity == name)) for name in names
    ]


def _difference(d: Difference) -> tuple[str, str, str, str, str]:
    q = QUANTITIES[d.quantity]
    unit = f" {q.unit}" if q.unit and q.unit != "°" else q.unit
    return (q.title, f"{d.first} minus {d.second}", estimate(d.estimate, sign=True) + unit, verdict(d), str(d.left_out))


def plots(done: Outcomes, table: Table) -> list[Plots]:
    """Scatter and difference plots of every angle and every system."""
    found = []
    for quantity in (QUANTITIES[name] for name in table.quantities if QUANTITIES[name].kind == "angle"):
        for row in done.systems:
            points = [
                Point(r.truth, r.value, f"{case.id} {r.item}".strip())
                for case in done.cases
                for r in row.readings[case.id]
                if r.quantity == quantity.name and r.truth is not None
            ]
            agreed = next(
                s.agreement
                for s in table.summaries
                if (s.system, s.role, s.quantity) == (row.name, "system", quantity.name)
            )
            title = quantity.title if len(done.systems) == 1 else f"{quantity.title}, {row.name}"
            drawn = scatter(points, quantity.unit)
            if drawn:
                found.append(Plots(title, drawn, bland_altman(points, agreed, quantity.unit)))
    return found


def rows(done: Outcomes, first: Quantity) -> list[Row]:
    """Every case, the worst of the first system on top: failures, then by the error of the first quantity."""
    lead = done.systems[0]
    order = sorted(done.cases, key=lambda case: (-badness(lead.readings[case.id], first), case.id))
    return [_row(done, case.id, rank, first) for rank, case in enumerate(order)]


def badness(readings: Sequence[Reading], first: Quantity) -> float:
    """How bad a case is: infinite for a failure, minus one where it is not asked for the quantity."""
    asked = [r for r in readings if r.quantity == first.name]
    if not asked:
        return -1.0
    worst = 0.0
    for r in asked:
        if r.error is None:
            return float("inf")
        size = -r.error if first.kind == "score" and first.better == "high" else abs(r.error)
        worst = size if r is asked[0] else max(worst, size)
    return worst


def _row(done: Outcomes, case_id: str, rank: int, first: Quantity) -> Row:
    case = next(case for case in done.cases if case.id == case_id)
    shown = tuple(_shown(row, case_id, first, done) for row in done.systems)
    truth = next((r.truth for r in done.systems[0].readings[case_id] if r.quantity == first.name), None)
    drawn = rank < MOST_PICTURES and not any(s.picture for s in shown)
    image = case.load() if drawn else None
    shape = (1, 1) if image is None else shape_of(image)
    return Row(case.id, case.patient, truth, shown, "" if image is None else picture(image), shape, rank)


def _shown(row: Outcome, case_id: str, first: Quantity, done: Outcomes) -> Shown:
    case = next(case for case in done.cases if case.id == case_id)
    answer, readings = row.answers[case_id], row.readings[case_id]
    own = next((r for r in readings if r.quantity == first.name), None)
    value, error = (None, None) if own is None else (own.value, own.error)
    return Shown(row.name, value, error, answer.failure, drawing(case, answer.word), answer.picture, readings)
