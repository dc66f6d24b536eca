"""How far a long job is: a bar with the time left on a terminal, one plain line a step anywhere else.

A verb knows only `Progress`; what is drawn, and whether anything is, is the caller's choice.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Protocol, cast, runtime_checkable

if TYPE_CHECKING:
    from rich.progress import Progress as RichBar
    from rich.progress import TaskID


@runtime_checkable
class Stream(Protocol):
    """What lines and bars are written to: sys.stderr, or anything like it."""

    def write(self, text: str, /) -> int:
        """Write the text."""
        ...

    def flush(self) -> None:
        """Send on what was written."""

    def isatty(self) -> bool:
        """Whether a person looks at it as it comes."""
        ...


@runtime_checkable
class Progress(Protocol):
    """What a verb tells about its way through the work."""

    def plan(self, steps: int) -> None:
        """Say how many steps there will be. May be called again when more is known."""

    def step(self, name: str) -> None:
        """The step before this one is done, and `name` begins."""


class Silent:
    """Tells nothing."""

    def plan(self, steps: int) -> None:
        """Nothing."""

    def step(self, name: str) -> None:
        """Nothing."""


class Lines:
    """One line a step, for logs and pipes: `[2/5] project pa`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._steps = 0
        self._begun = 0

    def plan(self, steps: int) -> None:
        """Set the number after the stroke."""
        self._steps = steps

    def step(self, name: str) -> None:
        """Write the line at once, so that a log shows what runs now."""
        self._begun += 1
        self._stream.write(f"[{self._begun}/{max(self._steps, self._begun)}] {name}\n")
        self._stream.flush()


class Bar:
    """A rich progress bar: the step that runs now, how much is done, time taken and time left."""

    def __init__(self, bar: "RichBar", task: "TaskID") -> None:
        self._bar = bar
        self._task = task
        self._begun = 0

    def plan(self, steps: int) -> None:
        """Set the bar's whole length."""
        self._bar.update(self._task, total=steps)

    def step(self, name: str) -> None:
        """Move the bar to the steps already finished and show the new name."""
        self._bar.update(self._task, completed=self._begun, description=name)
        self._begun += 1


@contextmanager
def progress_on(terminal: Stream, lines: Stream) -> Iterator[Progress]:
    """A bar on `terminal` where that is one, else plain lines on `lines`; the bar is wiped when the block ends."""
    if not terminal.isatty():
        yield Lines(lines)
        return
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichBar

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with RichBar(*columns, console=Console(file=cast("IO[str]", terminal)), transient=True) as bar:
        yield Bar(bar, bar.add_task("start", total=None))
