"""Training steps of the film reader, and reading one film, beside a plain U-Net in one run: `python benchmarks/bench_train.py`.

The peer is MONAI's BasicUNet of the same widths. "net alone" has the reader's normalisation and sees the same cells (2 x 2 pixels
as channels), forward and backward with AdamW: no training picture is made, no loss of the reader, no average, so nothing that
trains this network can be faster. "whole canvas" sees every pixel instead, as one would write it without that rearrangement.

Every row has a process of its own, in which all three take turns step by step after one untimed step each. Peaks are of processes
that do one thing only, beyond what was resident before their first step. Cases are simulated here: layers of tissue from behind and
from the side.
"""

import argparse
import csv
import ctypes
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from bench_patient import machine
from train_scene import ALONE, CANVAS, FILM, cells, one_film, pairs, peer_net, peer_step

if TYPE_CHECKING:
    import torch

HERE = Path(__file__).resolve().parent
CASES = 3
OURS = "spondyl"
PEERS = (OURS, ALONE, CANVAS)
STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Task:
    """What one child process does; `peers` take turns in it."""

    what: str
    threads: int
    rounds: int
    peers: tuple[str, ...]
    batch: int | None
    spacing_mm: float
    weights: str


@dataclass(frozen=True)
class Row:
    """One line of the tables, seconds; `cases` of a step. A peak is in GB (10^9 bytes), empty where it is not told."""

    what: str
    threads: int
    cases: int
    rounds: int
    spondyl_s: float
    least_s: float
    most_s: float
    alone_s: float
    canvas_s: float
    peak_gb: float | None
    alone_peak_gb: float | None
    note: str


def main() -> int:
    """Run every row, print the table, and keep it unless it was a trial."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--child", help=argparse.SUPPRESS)
    options.add_argument("--rounds", type=int, default=5, help="timed steps of each")
    options.add_argument(
        "--weights", type=Path, help="a trained reader for the reading rows; default: the one that ships"
    )
    options.add_argument(
        "--quick", action="store_true", help="tiny alone, one case, one round, a coarse patient; nothing is kept"
    )
    given = options.parse_args()
    if given.child is not None:
        task = json.loads(given.child)
        print(json.dumps(child(Task(**{**task, "peers": tuple(task["peers"])}))))
        return 0
    weights = _weights(given.weights)
    rows = []
    for what in ("tiny", "read") if given.quick else ("tiny", "small", "read"):
        for threads in (2,) if given.quick else (1, 2):
            batch, spacing = (1, 5.0) if given.quick else (None, 2.0)
            rounds = 1 if given.quick else given.rounds
            rows.append(measure(Task(what, threads, rounds, PEERS, batch, spacing, weights)))
            print(f"{what}, {threads} threads done", flush=True)
    foot = _foot(weights)
    text = table(rows, foot)
    print(text)
    if not given.quick:
        (HERE / "train.md").write_text(text, encoding="utf-8")
        with (HERE / "train.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [f.name for f in fields(Row)], lineterminator="\n")
            writer.writeheader()
            writer.writerows(asdict(row) for row in rows)
    return 0


def measure(task: Task) -> Row:
    """One row: a child that takes the times, and one each for the peaks of ours and of the net alone."""
    timed = _run(task)
    peaks = [_run(Task(**{**asdict(task), "peers": (peer,), "rounds": 1})) for peer in (OURS, ALONE)]
    seconds = {peer: np.array(timed["seconds"][peer]) for peer in PEERS}
    return Row(
        what=task.what,
        threads=task.threads,
        cases=timed["cases"],
        rounds=len(seconds[OURS]),
        spondyl_s=float(np.median(seconds[OURS])),
        least_s=float(seconds[OURS].min()),
        most_s=float(seconds[OURS].max()),
        alone_s=float(np.median(seconds[ALONE])),
        canvas_s=float(np.median(seconds[CANVAS])),
        peak_gb=peaks[0]["peak_gb"],
        alone_peak_gb=peaks[1]["peak_gb"],
        note=timed["note"],
    )


def _run(task: Task) -> dict:
    words = [sys.executable, __file__, "--child", json.dumps(asdict(task))]
    environment = {**os.environ, "OMP_NUM_THREADS": str(task.threads)}
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def child(task: Task) -> dict:
    """Seconds of every round by peer, and how far the peak of memory rose. Runs in a process of its own."""
    import torch

    torch.set_num_threads(task.threads)
    torch.manual_seed(0)
    steps, cases, note = _reading(task) if task.what == "read" else _training(task)
    peak = _rise(steps[task.peers[0]]) if len(task.peers) == 1 else None
    seconds: dict[str, list[float]] = {peer: [] for peer in task.peers}
    for peer in task.peers if peak is None else ():
        steps[peer]()
    for _ in range(task.rounds if peak is None else 0):
        for peer in task.peers:
            begin = time.perf_counter()
            steps[peer]()
            seconds[peer].append(time.perf_counter() - begin)
    return {"seconds": seconds, "cases": cases, "peak_gb": peak, "note": note}


def _training(task: Task) -> tuple[dict[str, Callable[[], object]], int, str]:
    """A whole step of the learner, and the peers' steps on as many pictures of the same canvas and precision."""
    import torch

    from spondyl.systems.xray_to_corners import XrayToCorners
    from spondyl.train.learner import Learner
    from spondyl.train.player import DTYPES
    from spondyl.train.processes import Processes

    preset = XrayToCorners.presets[task.what]
    batch = task.batch or preset.train.batch
    settings = preset.train.model_copy(update={"batch": batch})
    system = XrayToCorners(preset.model)
    learner = Learner(system, settings, Processes(0, 1, torch.device("cpu")))
    made = pairs(task.spacing_mm, min(CASES, batch))
    films = system.collate([made[i % len(made)] for i in range(batch)])
    size = (len(films.layers), *preset.model.canvas)
    dtype = DTYPES.get(settings.precision)
    steps = {OURS: lambda: learner.learn([films])}
    steps |= {peer: peer_step(system, peer, size, dtype) for peer in (ALONE, CANVAS)}
    note = f"{size[0]} pictures of {size[1]} x {size[2]}, {settings.precision}"
    return steps, batch, note


def _reading(task: Task) -> tuple[dict[str, Callable[[], object]], int, str]:
    """One film read, every look of it, and the peers' forward passes on canvases of those sizes."""
    import torch

    from spondyl.systems.xray_to_corners import XrayToCorners

    system = XrayToCorners(XrayToCorners.presets["small"].model)
    if task.weights:
        system = XrayToCorners.from_pretrained(Path(task.weights))
    system = system.eval()
    film, sizes = one_film(task.spacing_mm), []
    hook = system.net.register_forward_pre_hook(lambda net, given: sizes.append(tuple(given[0].shape)))
    read = system.find(film)
    hook.remove()
    steps: dict[str, Callable[[], object]] = {OURS: lambda: system.find(film)}
    for peer in (ALONE, CANVAS):
        net = peer_net(system, peer).eval()
        canvases = [torch.randn(cells(peer, n, h, w)) for n, _, h, w in sizes]

        def passes(net: "torch.nn.Module" = net, canvases: "Sequence[torch.Tensor]" = canvases) -> None:
            with torch.no_grad():
                for canvas in canvases:
                    net(canvas)

        steps[peer] = passes
    found = len(read.chain.levels)
    return steps, 1, f"{FILM[0]} x {FILM[1]} pixels, {len(sizes)} passes of the network, vertebrae found: {found}"


def _rise(step: Callable[[], object]) -> float | None:
    """GB by which two steps raise the peak of resident memory; None where the system does not tell."""
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # what making the cases left behind would hide what a step takes
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak counts from now on
        before = _status_gb("VmRSS")
        step()
        step()
        return _status_gb("VmHWM") - before
    except OSError:
        return None


def _status_gb(name: str) -> float:
    line = next(row for row in STATUS.read_text().splitlines() if row.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024 / 1e9


def _weights(given: Path | None) -> str:
    """The folder of a trained reader, "" where there is none."""
    from spondyl.weights import weights_folder

    try:
        return str(given or weights_folder("xray_to_corners"))
    except ValueError:
        return ""


def _foot(weights: str) -> str:
    from importlib.metadata import version

    name = machine().split(",")[0]
    reader = "" if weights else " No trained reader was there, so looks after the first were not made."
    return (
        f"{name}, {os.cpu_count()} cores; torch {version('torch')}, MONAI {version('monai')}. Median of the rounds and their "
        f"range. A case is a PA and a lateral picture.{reader}"
    )


def table(rows: Sequence[Row], foot: str) -> str:
    """Markdown: seconds and cases per second, both peers with our time over theirs, and the peaks."""
    head = (
        "what",
        "threads",
        "spondyl, s",
        "per second",
        "net alone, s",
        "ratio",
        "whole canvas, s",
        "ratio",
        "peak",
        "net alone, peak",
    )
    lines = ["| " + " | ".join(head) + " |", "|---|" + "--:|" * (len(head) - 1)]
    for r in rows:
        name = f"read a film: {r.note}" if r.what == "read" else f"train `{r.what}`, {r.cases} cases a step: {r.note}"
        rate = f"{r.cases / r.spondyl_s:.2f} {'films' if r.what == 'read' else 'cases'}"
        peaks = ["–" if gb is None else f"{1000 * gb:.0f} MB" for gb in (r.peak_gb, r.alone_peak_gb)]
        ours = f"**{r.spondyl_s:.2f}** ({r.least_s:.2f} to {r.most_s:.2f}), n = {r.rounds}"
        ratios = [f"{other:.2f} | {r.spondyl_s / other:.2f}" for other in (r.alone_s, r.canvas_s)]
        lines.append(
            f"| {name} | {r.threads} | {ours} | {rate} | {ratios[0]} | {ratios[1]} | {peaks[0]} | {peaks[1]} |"
        )
    return "\n".join([*lines, "", foot]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
