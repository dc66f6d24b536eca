"""The process of one peer: it sets up a job, then projects when it is told to. One line of JSON a message."""

import ctypes
import importlib.util
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np

from peers.job import Answer, Array, Image, Job, Reply

BURST_S, BURST_CALLS = 0.25, 5  # a turn lasts this long or this many calls, and one call at least


class MissingError(Exception):
    """The peer, or a part of it that this figure needs, is not here."""


Project = Callable[[int], Answer]  # projects the first so many poses of the job


def need(*modules: str) -> None:
    """Refuse politely where a module is not installed."""
    for name in modules:
        if importlib.util.find_spec(name) is None:
            raise MissingError("not installed")


def versions(*packages: str) -> str:
    """Names and versions of installed distributions, for the table."""
    return ", ".join(f"{p} {version(p)}" for p in packages)


def serve(
    build: Callable[[Job], tuple[Project, str]], *, note: Callable[[], str] = str, children: bool = False
) -> None:
    """Run a peer's process: set up the job named by the first argument, then obey "warm", "go" and "end" on stdin.

    `build` gives the call to time and the peer's version; `note` is asked at the end. `children` says that the work and
    its memory are in child processes.
    """
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries print; the messages keep a channel of their own

    def say(reply: Reply) -> None:
        print(json.dumps(asdict(reply)), file=out)

    job = Job.read(sys.argv[1])
    try:
        project, name = build(job)
    except MissingError as reason:
        return say(Reply("missing", note=str(reason)))
    base_mib = Path(job.volume).stat().st_size / 2**20 if children else _start_of_memory()
    say(Reply("ready", version=name))
    answer: Answer | None = None
    for word in sys.stdin:
        if word.strip() == "end":
            break
        answer, reply = _turn(project, len(job.poses), warm=word.strip() == "warm")
        say(reply)
    peak_mib = _peak_mib(children) - base_mib
    if answer is not None:
        kept = {k: v for k, v in _judged(job, answer).items() if v is not None}
        np.savez(job.answer, **kept)  # type: ignore[arg-type]
    return say(Reply("done", peak_mib=peak_mib, note=note()))


def _turn(project: Project, views: int, *, warm: bool) -> tuple[Answer, Reply]:
    """Calls for one turn. Warming takes one view first, and all of them once more where that is short."""
    counts = [1, views] if warm else [views] * BURST_CALLS
    cpu0, start = _cpu_s(), time.perf_counter()
    seconds: list[float] = []
    for k, count in enumerate(counts):
        spent = time.perf_counter() - start
        if k and spent > (1 / views if warm else BURST_S):
            break
        begin = time.perf_counter()
        answer = project(count)
        seconds.append(time.perf_counter() - begin)
    return answer, Reply("ran", tuple(seconds), _cpu_s() - cpu0)


def _judged(job: Job, answer: Answer) -> dict[str, Array | Image | None]:
    """Image, pose gradient, and <volume, gradient>: for a sum of squares of a linear map it is twice that sum."""
    inner = None
    if answer.volume_gradient is not None:
        density, gradient = (x.astype(np.float64).ravel() for x in (job.load(), answer.volume_gradient))
        inner = np.full((), density @ gradient)
    return {"image": answer.image, "inner": inner, "pose": answer.pose, "pose_gradient": answer.pose_gradient}


def _cpu_s() -> float:
    t = os.times()
    return t.user + t.system + t.children_user + t.children_system


def _start_of_memory() -> float:
    """Resident MiB just before the first call, with the kernel's record of the peak set back to it."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # pages freed during set-up would hide as much of the peak
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):
        pass
    return _status_mib("VmRSS")


def _peak_mib(children: bool) -> float:
    if children:
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return _status_mib("VmHWM")


def _status_mib(field: str) -> float:
    """A field of /proc/self/status, MiB; the process's peak where there is no such file."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(field + ":"))
