"""A whole virtual patient, stage by stage: seconds and peak memory, 2 mm and 1 mm: `python benchmarks/bench_patient.py`.

Each case has a process of its own with two threads, so that its peak is its own; the first patient of a process is untimed.
Cost per patient is compared between the first and the last third of a run. Two workers with a thread each, as a cohort is
made, are timed too. There is no peer that makes all modalities of one
patient, so the table gives seconds, and says on which machine.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
THREADS = 2
STAGES = ("draw", "volume and labels", "skin", "PA and lateral", "CT, ultrasound, colour and depth")
LIMITS = {2.0: (3.0, None), 1.0: (20.0, 2.5)}  # seconds a patient, GB: what the project wants of itself
COUNT = {2.0: 12, 1.0: 4}


def one_patient(seed: int, spacing_mm: float, timed: Callable[[str, float], None]) -> None:
    """Draw and image one patient; `timed` hears the seconds of every stage."""
    from spondyl.pairs import Subject
    from spondyl.sim.make import Wish, images, patient_for, sensor_named
    from spondyl.sim.patient import rasterise, skin_of
    from spondyl.sim.seeds import generator_of

    begin = time.perf_counter()

    def stage(name: str) -> None:
        nonlocal begin
        now = time.perf_counter()
        timed(name, now - begin)
        begin = now

    patient = patient_for(Wish(cohort="screening"), generator=generator_of(seed, "patient"))
    stage("draw")
    volume = rasterise(patient, spacing_mm=spacing_mm)
    stage("volume and labels")
    subject = Subject(volume, patient.spine, skin_of(patient))
    stage("skin")
    for name, modalities in zip(STAGES[3:], (("pa", "lateral"), ("ct", "ultrasound", "rgbd")), strict=True):
        sensors = {modality: sensor_named(modality) for modality in modalities}
        images(subject, sensors, {m: generator_of(seed, m) for m in modalities})
        stage(name)


def measure(spacing_mm: float, count: int, threads: int) -> dict[str, list[float]]:
    """Seconds by stage for `count` patients after a first, untimed one; runs inside a process of its own."""
    import torch

    torch.set_num_threads(threads)
    seconds: dict[str, list[float]] = {name: [] for name in STAGES}
    one_patient(1000, spacing_mm, lambda name, s: None)
    for seed in range(count):
        one_patient(seed, spacing_mm, lambda name, s: seconds[name].append(s))
    seconds["peak_gb"] = [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6]
    return seconds


def throughput(spacing_mm: float, count: int) -> float:
    """Seconds a patient when two processes with one thread each make them side by side."""
    words = [sys.executable, __file__, "--child", str(spacing_mm), "--threads", "1", "--count", str(count)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    children = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    found = [json.loads(child.communicate()[0].splitlines()[-1]) for child in children]
    return float(np.mean([np.sum([one[name] for name in STAGES], axis=0).mean() for one in found])) / 2


def table(results: dict[float, dict[str, list[float]]], machine: str) -> str:
    """Markdown: medians by stage, the whole patient with its range, the peak, and whether the cost stays flat."""
    spacings = list(results)
    head = "| stage | " + " | ".join(f"{s:g} mm, s" for s in spacings) + " |"
    lines = [head, "|---|" + "--:|" * len(spacings)]
    for name in STAGES:
        lines.append(f"| {name} | " + " | ".join(f"{np.median(results[s][name]):.2f}" for s in spacings) + " |")
    totals = {s: np.sum([results[s][name] for name in STAGES], axis=0) for s in spacings}
    lines.append(
        "| **one patient, median (range)** | "
        + " | ".join(f"**{np.median(t):.2f}** ({t.min():.2f} to {t.max():.2f}), n = {len(t)}" for t in totals.values())
        + " |"
    )
    lines.append("| wanted at most | " + " | ".join(f"{LIMITS[s][0]:g}" for s in spacings) + " |")
    pairs = [f"{results[s]['side_by_side'][0]:.2f}" for s in spacings]
    lines.append("| a patient, two workers of one thread | " + " | ".join(pairs) + " |")
    peaks = [f"{results[s]['peak_gb'][0]:.2f} GB" for s in spacings]
    lines.append("| peak memory of the process | " + " | ".join(peaks) + " |")
    wanted = ["–" if LIMITS[s][1] is None else f"{LIMITS[s][1]:g} GB" for s in spacings]
    lines.append("| wanted at most | " + " | ".join(wanted) + " |")
    third = {s: max(len(t) // 3, 1) for s, t in totals.items()}
    flat = [f"{np.median(t[-third[s] :]) / np.median(t[: third[s]]):.2f}" for s, t in totals.items()]
    lines.append("| last third over first third of the run | " + " | ".join(flat) + " |")
    return "\n".join([*lines, "", machine]) + "\n"


def machine() -> str:
    """The processor, for the foot of the table."""
    name = platform.processor() or platform.machine()
    try:
        text = Path("/proc/cpuinfo").read_text()
        name = next(line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}, {os.cpu_count()} cores, {THREADS} threads; seeds 0 to n - 1 of the screening cohort, one process a column."


def main() -> int:
    """Run every spacing in a process of its own, print the table and keep it."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--child", type=float, help=argparse.SUPPRESS)
    options.add_argument("--threads", type=int, default=THREADS, help=argparse.SUPPRESS)
    options.add_argument("--count", type=int, help="patients a column")
    options.add_argument("--quick", action="store_true", help="one patient each, nothing is kept")
    given = options.parse_args()
    if given.child is not None:
        print(json.dumps(measure(given.child, given.count or COUNT[given.child], given.threads)))
        return 0
    results = {}
    for spacing in LIMITS:
        words = [sys.executable, __file__, "--child", str(spacing), *(["--count", "1"] if given.quick else [])]
        environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS)}
        done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
        results[spacing] = json.loads(done.stdout.splitlines()[-1])
        results[spacing]["side_by_side"] = [throughput(spacing, 1 if given.quick else COUNT[spacing] // 2)]
        print(f"{spacing:g} mm done", flush=True)
    text = table(results, machine())
    print(text)
    if not given.quick:
        (HERE / "patient.md").write_text(text, encoding="utf-8")
        (HERE / "patient.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
