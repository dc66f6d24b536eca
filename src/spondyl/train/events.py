"""The events of a run, one JSON object a line in RUN/events.jsonl, and what they come to when they are read again."""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

EVENTS = "events.jsonl"
Kind = Literal["start", "steps", "held_out", "checkpoint", "note", "end"]


@dataclass(frozen=True)
class Event:
    """One line.

    Args:
        kind: "start" and "end" of a process; "steps": means since the line before; "held_out"; "checkpoint"; "note".
        step: steps done.
        values: by name: of steps "loss/PLAYER", "grad_norm/PLAYER", "lr/PLAYER", "cases_per_s", "data_share"; of held_out
            "loss/PLAYER".
        text: for people.
        time: seconds since 1970.
    """

    kind: Kind
    step: int
    values: Mapping[str, float] = field(default_factory=dict)
    text: str = ""
    time: float = field(default_factory=time.time)

    def line(self) -> str:
        """The event as JSON; a number that is not finite becomes text, which JSON has no number for."""
        content = asdict(self)
        content["values"] = {k: v if math.isfinite(v) else str(v) for k, v in self.values.items()}
        content["time"] = round(self.time, 3)
        return json.dumps(content, sort_keys=True)


class Log:
    """The file of events: every line is on its way to the disk when `add` returns."""

    def __init__(self, run: Path) -> None:
        self.path = run / EVENTS
        if self.path.is_file() and not self.path.read_bytes().endswith(b"\n"):
            self._write("\n")  # a line that a kill cut off stays alone

    def add(self, event: Event) -> None:
        """Append one event."""
        self._write(event.line() + "\n")

    def _write(self, text: str) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text)


def read_events(run: Path) -> list[Event]:
    """The events of a run as one story: where it went back to a checkpoint, what had come after that is left out.

    Lines that are cut off are left out too. Notes and ends stay.
    """
    path = run / EVENTS
    story: list[Event] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []:
        event = _event(line)
        if event is None:
            continue
        if event.kind == "start":
            story = [e for e in story if e.step <= event.step or e.kind in ("note", "end")]
        story.append(event)
    return story


def series(events: list[Event], kind: Kind, name: str) -> list[tuple[float, float]]:
    """(step, value) of one name in the events of a kind."""
    return [(float(e.step), e.values[name]) for e in events if e.kind == kind and name in e.values]


def _event(line: str) -> Event | None:
    try:
        content = json.loads(line)
        values = {str(k): float(v) for k, v in content["values"].items()}
        return Event(content["kind"], int(content["step"]), values, str(content["text"]), float(content["time"]))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
