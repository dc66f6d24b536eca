"""Units of work in supervised processes of this machine: one that dies is replaced, and its unit is tried again.

A process pool of the standard library breaks as a whole when the system kills one worker for its memory; here that costs
one unit's time. Every worker computes with one thread, so that numbers do not depend on how many there are.
"""

import contextlib
import errno
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import IO

from spondyl.executors.worker import find
from spondyl.memory import free_memory_gb

# Nothing that comes after can succeed where one of these stopped a unit: the run ends, with its reason.
STOPPING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM})
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
GRACE_S = 10.0  # a worker that is told to stop may finish a C call and remove what it was writing


@dataclass(frozen=True)
class Failure:
    """A unit that could not be done, and why."""

    unit: int
    reason: str


def choose_workers(units: int, memory_gb: float) -> int:
    """How many workers: one a core, as many as fit into the free memory, no more than units; at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    free = free_memory_gb()
    fitting = cores if free is None else int(free / memory_gb)
    return max(1, min(cores, fitting, units))


def run_cases(
    ids: Sequence[int],
    work: str,
    *,
    settings: str = "",
    workers: int | None = None,
    memory_gb: float = 1.0,
    tries: int = 3,
    on_done: Callable[[int], None] | None = None,
) -> tuple[Failure, ...]:
    """Do every unit once, in worker processes; returns the units that failed.

    A unit whose worker is killed, or which runs out of memory, is tried again, `tries` times in all. A unit that raises has
    failed. An error of the disk (full, read-only, not permitted) ends the run. When this function is left by an exception,
    a signal's for example, all workers are stopped first; units that were under way leave nothing behind.

    Args:
        ids: the units.
        work: "module:function"; called with a unit and `settings` in a process that imports the module afresh.
        workers: how many processes; None lets `choose_workers` say.
        memory_gb: what one worker may need: for the choice of their number, and before one that was killed is replaced.
        on_done: called here after each unit that is done, in the order in which they end.

    Raises:
        ValueError: for work that cannot be found, fewer than one worker or try.
        OSError: for an error of the disk, or where workers cannot be started.
    """
    find(work)
    if (workers is not None and workers < 1) or tries < 1 or not memory_gb > 0:
        raise ValueError(f"workers is {workers}, tries {tries}, memory_gb {memory_gb}; wanted at least one of each")
    if not ids:
        return ()
    count = choose_workers(len(ids), memory_gb) if workers is None else min(workers, len(ids))
    run = _Run(deque(ids), json.dumps({"work": work, "settings": settings}), count, memory_gb, tries, on_done)
    try:
        while run.go_on():
            pass
    finally:
        run.stop()
    return tuple(sorted(run.failed, key=lambda failure: failure.unit))


@dataclass(eq=False)
class _Worker:
    """One process, what it does, and what it has written so far."""

    process: "subprocess.Popen[bytes]"
    answers: int
    errors: IO[bytes]
    unit: int | None = None
    ready: bool = False
    heard: bytes = b""

    def tell(self, message: str) -> None:
        """Send a line; that a dead process does not take it is noticed when its answers end."""
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.write(message.encode() + b"\n")
                self.process.stdin.flush()

    def close(self) -> None:
        """Give back its files; the process must have ended."""
        os.close(self.answers)
        self.errors.close()
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()


@dataclass(eq=False)
class _Run:
    """The state of one `run_cases`."""

    pending: deque[int]
    first_line: str
    count: int
    memory_gb: float
    tries: int
    on_done: Callable[[int], None] | None
    workers: dict[int, _Worker] = field(default_factory=dict)
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    deaths: Counter[int] = field(default_factory=Counter)
    failed: list[Failure] = field(default_factory=list)
    false_starts: int = 0

    def go_on(self) -> bool:
        """Start what is missing, wait for news, act on it; False when nothing is left to do."""
        busy = sum(worker.unit is not None for worker in self.workers.values())
        if not self.pending and not busy:
            return False
        for worker in self.workers.values():
            busy += self._give(worker)
        while len(self.workers) < min(self.count, len(self.pending) + busy):
            self._start()
        for key, _ in self.selector.select():
            self._hear(self.workers[key.fd])
        return True

    def stop(self) -> None:
        """End every worker, kindly first."""
        try:
            for worker in self.workers.values():
                worker.process.terminate()
            end = time.monotonic() + GRACE_S
            for worker in self.workers.values():
                try:
                    worker.process.wait(max(0.0, end - time.monotonic()))
                except subprocess.TimeoutExpired:
                    worker.process.kill()
        finally:  # a second signal may have interrupted the waiting
            for worker in self.workers.values():
                worker.process.kill()
                worker.process.wait()
                worker.close()
            self.selector.close()

    def _start(self) -> None:
        answers, theirs = os.pipe()
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the worker
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "spondyl.executors.worker", str(theirs)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=(theirs,),
                env=_environment(),
                start_new_session=True,
            )
        except OSError:
            os.close(answers)
            errors.close()
            raise
        finally:
            os.close(theirs)
        worker = _Worker(process, answers, errors)
        self.workers[answers] = worker
        self.selector.register(answers, selectors.EVENT_READ)
        worker.tell(self.first_line)

    def _give(self, worker: _Worker) -> bool:
        """Hand the next unit to a worker that waits for one; whether it got one."""
        if not (worker.ready and worker.unit is None and self.pending):
            return False
        worker.unit = self.pending.popleft()
        worker.tell(json.dumps({"unit": worker.unit}))
        return True

    def _hear(self, worker: _Worker) -> None:
        news = os.read(worker.answers, 1 << 16)
        if not news:
            self._bury(worker)
            return
        *lines, worker.heard = (worker.heard + news).split(b"\n")
        for line in lines:
            self._act(worker, json.loads(line))

    def _act(self, worker: _Worker, said: dict[str, object]) -> None:
        unit, worker.unit = worker.unit, None
        if "broken" in said:
            raise ValueError(f"the work cannot begin: {said['broken']}")
        worker.ready, self.false_starts = True, 0
        if "failed" in said and unit is not None:
            self._failed(unit, str(said["kind"]), said["errno"], str(said["reason"]))
        self._give(worker)  # before on_done, which may take its time
        if "done" in said and unit is not None and self.on_done is not None:
            self.on_done(unit)

    def _failed(self, unit: int, kind: str, number: object, reason: str) -> None:
        if number in STOPPING:
            raise OSError(reason)
        if kind == "MemoryError" or "allocate memory" in reason or "out of memory" in reason:
            self._again(unit, "not enough memory")
        else:
            self.failed.append(Failure(unit, reason))

    def _bury(self, worker: _Worker) -> None:
        """A worker has ended by itself: give its unit to another one, and say why where that was the last try."""
        self.selector.unregister(worker.answers)
        del self.workers[worker.answers]
        code = worker.process.wait()
        reason = _cause(code, worker.errors)
        worker.close()
        if not worker.ready:
            self.false_starts += 1
            if self.false_starts >= self.tries:
                raise OSError(f"worker processes do not start: {reason}")
        if worker.unit is not None:
            self._again(worker.unit, reason)
        free = free_memory_gb()
        if code == -signal.SIGKILL and self.workers and free is not None and free < self.memory_gb:
            self.count = max(1, len(self.workers))  # one more would be killed like this one

    def _again(self, unit: int, reason: str) -> None:
        self.deaths[unit] += 1
        if self.deaths[unit] < self.tries:
            self.pending.appendleft(unit)
        else:
            self.failed.append(Failure(unit, f"{reason}, {self.tries} times"))


def _cause(code: int, errors: IO[bytes]) -> str:
    """Why a process ended, from its exit code and the last line that it wrote."""
    if code == -signal.SIGKILL:
        return "killed (out of memory?)"
    if code < 0:
        return f"crashed ({signal.Signals(-code).name})"
    errors.seek(0)
    last = errors.read().decode(errors="replace").strip().splitlines()[-1:]
    return f"its process ended with code {code}{': ' + last[0] if last else ''}"


def _environment() -> dict[str, str]:
    """This process's environment and import path, one thread, and the same order of sets everywhere."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return {**os.environ, **dict.fromkeys(ONE_THREAD, "1"), "PYTHONPATH": path, "PYTHONHASHSEED": "0"}
