"""Work for the tests of executors: each function is called in a worker process with a unit and a folder."""

import errno
import os
import signal
import time
from pathlib import Path


def write(unit: int, folder: str) -> None:
    """A file with the unit's square and with what the process was told to be."""
    Path(folder, f"{unit}.txt").write_text(f"{unit * unit} {os.environ['OMP_NUM_THREADS']}\n")


def die_once(unit: int, folder: str) -> None:
    """Unit 1 kills its process the first time."""
    mark = Path(folder, "died")
    if unit == 1 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    write(unit, folder)


def die_always(unit: int, folder: str) -> None:
    """Unit 1 kills its process each time."""
    if unit == 1:
        with Path(folder, "deaths").open("a") as file:
            file.write("x")
        os.kill(os.getpid(), signal.SIGKILL)
    write(unit, folder)


def leave(unit: int, folder: str) -> None:
    """Unit 2 ends the process with a code and a last word."""
    if unit == 2:
        os.write(2, b"the last word\n")
        os._exit(7)
    write(unit, folder)


def refuse(unit: int, folder: str) -> None:
    """Odd units are refused."""
    if unit % 2:
        raise ValueError(f"unit {unit} is odd;\n wanted an even one")
    write(unit, folder)


def no_memory(unit: int, folder: str) -> None:
    """Memory lacks the first time."""
    mark = Path(folder, f"tried-{unit}")
    if not mark.exists():
        mark.touch()
        raise MemoryError
    write(unit, folder)


def full_disk(unit: int, folder: str) -> None:
    """Unit 3 finds the disk full."""
    if unit == 3:
        raise OSError("cannot write it: no space left on device") from OSError(errno.ENOSPC, "No space left on device")
    write(unit, folder)


def slow(unit: int, folder: str) -> None:
    """Takes a minute; says that it began, and removes what it was writing when it is stopped."""
    part = Path(folder, f"{unit}.part")
    part.touch()
    try:
        time.sleep(60)
    finally:
        part.unlink()


def noisy(unit: int, folder: str) -> None:
    """Prints what looks like an answer."""
    print('{"done": 99}', flush=True)
    write(unit, folder)
