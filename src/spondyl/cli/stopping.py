"""How a run ends early: a signal becomes an exception, and an exception becomes one line and an exit code."""

import errno
import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import typer

FAULT, MISTAKE = 1, 2
# typer carries its own copy of click in some versions and imports click in others; this class is of the right one.
UsageError = typer.BadParameter.__mro__[1]
# Import name -> the extra that brings it.
EXTRA_OF = {"pydicom": "dicom", "gdcm": "dicom", "SimpleITK": "itk"}
# Command -> the flag of it that saves memory.
SMALLER = {
    "spondyl project": "a larger --spacing",
    "spondyl simulate": "a larger --spacing or fewer --workers",
    "spondyl train": "a smaller --batch",
}


class Stopped(BaseException):
    """A signal asked the run to end. Not an Exception: nothing between here and the command line may swallow it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@dataclass(frozen=True)
class Failure:
    """What to write after `spondyl: `, and the exit code."""

    line: str
    code: int


@contextmanager
def stoppable() -> Iterator[None]:
    """While the block runs, SIGINT and SIGTERM raise Stopped in it, so that files in the making are cleaned up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def quiet(wanted: bool) -> Iterator[None]:
    """While the block runs, libraries warn and log nothing: what a user should know is in the notes of the report."""
    if not wanted:
        yield
        return
    level = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(level)


def failure_of(error: BaseException, command: str) -> Failure:
    """The one line and the exit code for an exception that ended `command`."""
    if isinstance(error, Stopped | KeyboardInterrupt):
        number = error.number if isinstance(error, Stopped) else int(signal.SIGINT)
        return Failure(f"stopped by {signal.Signals(number).name}; nothing half-written was left", 128 + number)
    if isinstance(error, UsageError):
        return Failure(f"{one_line(_usage(error))} (see: {command} --help)", MISTAKE)
    if isinstance(error, ImportError):
        return Failure(_import(error), MISTAKE)
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error) or "out of memory" in str(error):
        way = f" or use {SMALLER[command]}" if command in SMALLER else ""
        return Failure(f"not enough memory; close programs{way}; see: spondyl doctor", MISTAKE)
    if isinstance(error, OSError):
        return Failure(_os(error), MISTAKE)
    if isinstance(error, ValueError):
        return Failure(one_line(str(error)) or "a value is wrong; run again with --debug", MISTAKE)
    said = f"{type(error).__name__}: {one_line(str(error))}" if str(error) else type(error).__name__
    return Failure(f"unexpected {said}; this is a fault of spondyl; --debug shows the traceback", FAULT)


def one_line(text: str) -> str:
    """The text on one line."""
    return " ".join(text.split())


def _usage(error: BaseException) -> str:
    message = getattr(error, "format_message", None)
    return str(message()) if callable(message) else str(error)


def _import(error: ImportError) -> str:
    extra = EXTRA_OF.get((error.name or "").split(".")[0])
    if extra is not None and "pip install" not in str(error):
        return f"this needs {error.name}, which is not installed; run: pip install 'spondyl[{extra}]'"
    return one_line(str(error))


def _os(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename is not None else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"the disk is full{where}; free some space or name another folder with --out; nothing half-written was left"
        )
    if error.errno == errno.EFBIG:
        return f"a file grew past the size that is allowed here{where}; raise the limit; nothing half-written was left"
    if error.errno is not None and error.strerror:
        return one_line(f"{error.strerror}{where}; check the path and its permissions")
    return one_line(str(error)) or "a file could not be read or written; run again with --debug"
