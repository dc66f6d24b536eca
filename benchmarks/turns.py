"""Peers in processes of their own that take turns, so that what else happens on the machine hits all of them alike."""

import json
import os
import select
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from peers.job import Job, Reply

HERE = Path(__file__).resolve().parent
REPLY_S = 420.0  # the slowest call known takes 75 s on two quiet cores
KEEP_FIRST_S = 10.0  # a first call as long as this cannot be long because of its warming up
PAUSE_S = 0.05  # threads of the last turn may still spin
THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)  # fmt: skip


@dataclass(frozen=True)
class Peer:
    """A row of the table: the script in peers/, its argument, and the variable that names its interpreter."""

    name: str
    script: str
    argument: str = ""

    @property
    def variable(self) -> str:
        """The environment variable with the path of the interpreter that has this peer."""
        return f"SPONDYL_BENCH_{self.script.upper()}_PYTHON"


@dataclass
class Figure:
    """What one peer gave in one column; `state` is "ok", or why there is no figure."""

    peer: Peer
    seconds: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    state: str = "ok"
    version: str = ""
    note: str = ""
    peak_mib: float = 0.0
    first_call: bool = False

    @property
    def median_s(self) -> float:
        """Median of the timed calls."""
        return statistics.median(self.seconds)


class Turns:
    """One peer's process for one figure, from set-up to its last word. Use in a `with`: it never outlives it."""

    def __init__(self, peer: Peer, asked: Job, interpreter: str, folder: Path) -> None:
        self.figure = Figure(peer)
        self._asked = asked
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed in __exit__
        file = folder / f"{peer.name.replace(' ', '_')}.json"
        asked.write(file)
        command = [interpreter, "-m", f"peers.{peer.script}", str(file), *([peer.argument] if peer.argument else [])]
        env = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(asked.threads))}
        self._process: subprocess.Popen[str] | None = None
        try:
            self._process = subprocess.Popen(
                command, cwd=HERE, env=env, text=True, bufsize=1,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
            )  # fmt: skip
        except OSError:
            self.figure.state = "not installed"

    def __enter__(self) -> "Turns":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._errors.close()

    @property
    def alive(self) -> bool:
        """Whether the figure can still take a turn."""
        return self._process is not None

    def wait_ready(self) -> None:
        """Wait until the peer has loaded the volume."""
        if self.alive:
            self.figure.version = self._hear().version

    def warm(self) -> None:
        """The untimed first call. One so long that its warming up cannot matter is kept as the figure."""
        reply, others = self._watched("warm")
        if self.alive and len(self._asked.poses) == 1 and reply.seconds[0] > KEEP_FIRST_S:
            self.figure.seconds.append(reply.seconds[0])
            self.figure.others.append(others)
            self.figure.first_call = True

    def turn(self) -> None:
        """One turn: a burst of timed calls."""
        reply, others = self._watched("go")
        if self.alive:
            self.figure.seconds += reply.seconds
            self.figure.others.append(others)

    def _watched(self, word: str) -> tuple[Reply, float]:
        """The reply to an order, and the share of the cores that other programs took meanwhile."""
        busy0, wall0 = busy_s(), time.perf_counter()
        reply = self._order(word)
        wall = time.perf_counter() - wall0
        return reply, max((busy_s() - busy0 - reply.cpu_s) / (wall * (os.cpu_count() or 1)), 0.0)

    def end(self) -> None:
        """Ask for the last word (memory, notes, the answer's file) and let the process go."""
        if not self.alive:
            return
        reply = self._order("end")
        self.figure.peak_mib, self.figure.note = reply.peak_mib, reply.note
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def _order(self, word: str) -> Reply:
        time.sleep(PAUSE_S)
        if self._process is None or self._process.stdin is None:
            return Reply("failed")
        with suppress(OSError):  # it has died: what it left on stderr says why
            self._process.stdin.write(word + "\n")
        return self._hear()

    def _hear(self) -> Reply:
        """The next message; a peer that is missing, dies or hangs ends here, and its figure says so."""
        assert self._process is not None
        assert self._process.stdout is not None
        heard = select.select([self._process.stdout], [], [], REPLY_S)[0]
        line = self._process.stdout.readline() if heard else ""
        reply = Reply(**json.loads(line)) if line else Reply("failed", note=self._last_words(bool(heard)))
        if reply.kind in ("missing", "failed"):
            self.figure.state = reply.note
            self._process.kill()
            self._process.communicate()
            self._process = None
        return reply

    def _last_words(self, died: bool) -> str:
        if not died:
            return f"failed: no answer in {REPLY_S:.0f} s"
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return f"failed: {lines[-1][:160] if lines else 'its process ended'}"


def take_turns(peers: Sequence[Turns], rounds: int, patience_s: float) -> None:
    """A B C A B C ...: every peer once a round, the order turned by one each round.

    A peer leaves when its timed calls add up to `patience_s`, and frees its memory then.
    """
    for peer in peers:
        peer.warm()
    for k in range(rounds):
        for peer in [*peers[k % len(peers) :], *peers[: k % len(peers)]]:
            if peer.alive and sum(peer.figure.seconds) < patience_s and not peer.figure.first_call:
                peer.turn()
            elif peer.alive:
                peer.end()
    for peer in peers:
        peer.end()


def busy_s() -> float:
    """Seconds that all cores of the machine have worked so far; 0 where the system does not say."""
    try:
        fields = [int(f) for f in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except OSError:
        return 0.0
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")
