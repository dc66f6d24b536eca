"""RUN/index.html: state, time left, curves and pictures of a run in one file that needs nothing else. Refreshes while it runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

from spondyl import __version__
from spondyl.system.folder import NOTICE, replacing
from spondyl.train.curves import Line, Panel, panel
from spondyl.train.events import Event, Kind, read_events, series
from spondyl.train.pictures import Row

PAGE = "index.html"
REFRESH_S = 10
COLOURS = 4
RATE_EVENTS = 20  # the pace shown is that of the last events


@dataclass(frozen=True)
class About:
    """What stays the same over a run: names, totals, settings (name, value) as text."""

    system: str
    data: str
    steps: int
    cases_a_step: int
    count: int | None
    device: str
    memory: str
    settings: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Facts:
    """The numbers at the top of the page, as text; empty where there is none yet."""

    state: str
    running: bool
    step: int
    share: float
    left: str
    pace: str
    seen: str
    loss: str


def write_page(run: Path, about: About, rows: Sequence[Row], *, pictures_step: int, left_s: float | None) -> None:
    """Write the page from the events of the run.

    Args:
        left_s: seconds of the time budget; None without one.
    """
    from jinja2 import Environment, StrictUndefined

    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = page.from_string((files("spondyl.train") / "page.html").read_text(encoding="utf-8"))
    events = read_events(run)
    text = template.render(
        about=about,
        facts=facts_of(events, about, left_s),
        panels=[p for p in panels(events) if p.svg],
        rows=rows,
        pictures_step=pictures_step,
        notes=[e for e in events if e.kind in ("note", "end", "start") and e.text][-12:],
        when=lambda e: datetime.fromtimestamp(e.time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        refresh=REFRESH_S,
        version=__version__,
        notice=NOTICE,
    )
    with replacing(run / PAGE) as part:
        part.write_text(text, encoding="utf-8")


def facts_of(events: Sequence[Event], about: About, left_s: float | None) -> Facts:
    """The numbers at the top."""
    marks = [e for e in events if e.kind in ("start", "end")]
    running = not marks or marks[-1].kind == "start"
    step = max((e.step for e in events), default=0)
    last = next((e for e in reversed(events) if e.kind == "steps"), None)
    second = seconds_per_step(events)
    left = ""
    if running and second is not None:
        to_go = (about.steps - step) * second
        left = (
            f"{duration(to_go)} left"
            if left_s is None or to_go <= left_s
            else f"{duration(left_s)} left of the time given"
        )
    losses = {} if last is None else {k[5:]: v for k, v in last.values.items() if k.startswith("loss/")}
    seen = step * about.cases_a_step
    return Facts(
        state="running" if running else marks[-1].text.split(";")[0],
        running=running,
        step=step,
        share=step / about.steps,
        left=left,
        pace=""
        if last is None
        else f"{last.values['cases_per_s']:.3g} cases/s, {last.values['data_share']:.0%} of the time waiting for data",
        seen=f"{seen} cases" + ("" if about.count is None else f", every one {seen / about.count:.3g} times"),
        loss=", ".join(f"{name} {value:.4g}" if len(losses) > 1 else f"{value:.4g}" for name, value in losses.items()),
    )


def seconds_per_step(events: Sequence[Event]) -> float | None:
    """The pace of the last events of the newest process; None before there are two."""
    begin = max((i for i, e in enumerate(events) if e.kind == "start"), default=0)
    told = [e for e in events[begin:] if e.kind in ("start", "steps")][-RATE_EVENTS:]
    if len(told) < 2 or told[-1].step <= told[0].step:
        return None
    return (told[-1].time - told[0].time) / (told[-1].step - told[0].step)


def panels(events: list[Event]) -> list[Panel]:
    """The curves: losses of training and held-out cases, gradients, rates, throughput."""
    names = sorted({name for e in events for name in e.values})
    players = [name[5:] for name in names if name.startswith("loss/")]
    kinds: tuple[tuple[Kind, str, bool], ...] = (("steps", "", False), ("held_out", ", held out", True))
    loss = [
        Line(f"{player}{words}", series(events, kind, f"loss/{player}"), number % COLOURS, held)
        for number, player in enumerate(players)
        for kind, words, held in kinds
    ]

    def of(prefix: str) -> list[Line]:
        return [
            Line(player, series(events, "steps", f"{prefix}/{player}"), number % COLOURS)
            for number, player in enumerate(players)
        ]

    return [
        panel("Loss", loss, log=True),
        panel("Gradient norm before clipping", of("grad_norm"), log=True),
        panel("Learning rate", of("lr")),
        panel("Cases per second", [Line("all processes", series(events, "steps", "cases_per_s"))]),
    ]


def duration(seconds: float) -> str:
    """A time as people say it: 45 s, 12 min, 3 h 20 min, 2 days 4 h."""
    whole = timedelta(seconds=round(max(0.0, seconds)))
    hours, rest = divmod(whole.seconds, 3600)
    if whole.days:
        return f"{whole.days} day{'s' * (whole.days > 1)} {hours} h"
    if hours:
        return f"{hours} h {rest // 60} min"
    return f"{rest // 60} min" if rest >= 120 else f"{rest} s"
