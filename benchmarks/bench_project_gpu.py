"""The projector's CUDA path against nanodrr's Triton path, in one run: `python benchmarks/bench_project_gpu.py`.

The columns are those of bench_project.py. Both run in this process, call by call in turns, so both must be installed:
`pip install -e . nanodrr==0.1.7`. Writes results_gpu.csv and results_gpu.md beside this file.
"""

import gc
import importlib.util
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from bench_project import commit
from peers.job import Array, Job, stacked_cameras
from scene import COLUMNS, ROOT, Column, job, relative_error, true_image, true_twist, twist
from table import Row, Run, as_csv, as_markdown
from torch import Tensor

WARM_CALLS, ROUNDS = 3, 30
SAMPLES = 500  # nanodrr's default


@dataclass
class Contender:
    """One projector set up for one column: the call to time, and the two tensors that may have a gradient."""

    name: str
    version: str
    call: Callable[[], Tensor]
    volume: Tensor
    pose: Tensor
    seconds: list[float] = field(default_factory=list)
    peak_mib: float = 0.0


def main() -> int:
    """Measure every column where there is a CUDA device; else say so in one line."""
    if not torch.cuda.is_available():
        print("no CUDA device here; bench_project.py measures the CPU")
        return 2
    missing = [name for name in ("spondyl", "nanodrr", "triton") if importlib.util.find_spec(name) is None]
    if missing:
        print(f"not installed: {', '.join(missing)}; see benchmarks/README.md")
        return 2
    rows = [row for column in COLUMNS for row in measure(column, torch.device("cuda"), ROUNDS)]
    gpu = torch.cuda.get_device_properties(0)
    run = Run(
        datetime.now(UTC).strftime("%Y-%m-%d"), commit(), gpu.name,
        f"{gpu.multi_processor_count} multiprocessors, {os.cpu_count()} CPU cores",
    )  # fmt: skip
    out = Path(__file__).resolve().parent
    (out / "results_gpu.csv").write_text(as_csv(rows, run), encoding="utf-8")
    (out / "results_gpu.md").write_text(as_markdown(rows, run), encoding="utf-8")
    print(as_markdown(rows, run))
    return 0


def measure(column: Column, device: torch.device, rounds: int) -> list[Row]:
    """One column: warm both up, let them take turns, judge their answers."""
    data = ROOT / "out" / "bench"
    asked = job(column, data, data / "unused.npz", threads=torch.get_num_threads())
    contenders = [build(asked, device) for build in (ours, nanodrr)]
    for c in contenders:
        c.peak_mib = _warm(c, device)
    for _ in range(rounds):
        for c in contenders:
            c.seconds.append(_timed(c, device))
    truth, twisted = true_image(asked), true_twist(asked) if column.gradient == "pose" else None
    return [_row(c, column, asked, truth, twisted) for c in contenders]


def ours(asked: Job, device: torch.device) -> Contender:
    """`project_channels` by the backend that it chooses for tensors on the device."""
    from spondyl.geometry import View
    from spondyl.xray.project import choose_backend, project_channels

    channels = torch.from_numpy(asked.load())[None].to(device).requires_grad_(asked.gradient == "volume")
    world_from_voxel = torch.from_numpy(asked.world_from_voxel()).float().to(device)
    placed = torch.from_numpy(np.stack([p.matrix for p in asked.poses])).float().to(device)
    placed = (placed[0] if len(asked.poses) == 1 else placed).requires_grad_(asked.gradient == "pose")
    distances_mm = torch.full(placed.shape[:-2], asked.poses[0].source_to_detector_mm, device=device)
    pitch_mm = (asked.pixel_mm, asked.pixel_mm)

    def call() -> Tensor:
        view = View(placed, distances_mm, pitch_mm, asked.detector_px)
        return project_channels(channels, world_from_voxel, view)

    return Contender(f"spondyl {choose_backend(channels)}", f"torch {torch.__version__}", call, channels, placed)


def nanodrr(asked: Job, device: torch.device) -> Contender:
    """Its DRR module by the backend that it chooses for tensors on the device."""
    from nanodrr.camera import make_k_inv
    from nanodrr.data import Subject
    from nanodrr.drr import DRR

    volume = torch.from_numpy(asked.load())[None, None]
    affine = torch.from_numpy(asked.world_from_voxel())
    subject = Subject(
        volume, torch.zeros(1, 1, 1, 1, 1), affine.float(), affine.inverse().float(),
        Subject._make_voxel_to_grid(volume.shape), torch.zeros(3), convert_to_mu=False,
    ).to(device)  # fmt: skip
    density = subject._image_hu.requires_grad_(asked.gradient == "volume")
    (h, w), pitch, distance_mm = asked.detector_px, asked.pixel_mm, asked.poses[0].source_to_detector_mm
    drr = DRR(make_k_inv(distance_mm, pitch, pitch, 0.0, 0.0, h, w), torch.tensor([distance_mm]), h, w).to(device)
    pose = torch.from_numpy(stacked_cameras(asked.poses)).to(device).requires_grad_(asked.gradient == "pose")

    def call() -> Tensor:
        backend = "triton" if device.type == "cuda" else "torch"  # never its fall-back unnoticed
        image: Tensor = drr(subject, pose, n_samples=SAMPLES, backend=backend)
        return image

    return Contender("nanodrr Triton", f"nanodrr {version('nanodrr')}", call, density, pose)


def _once(c: Contender) -> Tensor:
    """One call, with the backward pass where a gradient is wanted."""
    c.volume.grad = c.pose.grad = None
    wanted = c.volume.requires_grad or c.pose.requires_grad
    with torch.set_grad_enabled(wanted):
        image = c.call()
    if wanted:
        image.square().sum().backward()
    return image.detach()


def _timed(c: Contender, device: torch.device) -> float:
    _synchronise(device)
    begin = time.perf_counter()
    _once(c)
    _synchronise(device)
    return time.perf_counter() - begin


def _warm(c: Contender, device: torch.device) -> float:
    """The untimed calls; gives the peak of allocated MiB beyond what was there before."""
    gc.collect()
    if device.type != "cuda":
        _once(c)
        return 0.0
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    for _ in range(WARM_CALLS):
        _once(c)
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _row(c: Contender, column: Column, asked: Job, truth: Array, twisted: Array | None) -> Row:
    image = _once(c).cpu()
    gradient_error = None
    if c.volume.grad is not None:
        inner = float((c.volume.detach().double() * c.volume.grad.double()).sum())
        gradient_error = abs(inner / (2 * float((image.double() ** 2).sum())) - 1)
    if c.pose.grad is not None and twisted is not None:
        placed, gradient = (x.detach().double().cpu().reshape(4, 4).numpy() for x in (c.pose, c.pose.grad))
        gradient_error = relative_error(twist(placed, gradient), twisted)
    ms = [1000 * s for s in c.seconds]
    return Row(
        c.name, column.name, "ok", c.version, "", len(ms), min(ms), statistics.median(ms), max(ms),
        relative_error(image.numpy(), truth), gradient_error, c.peak_mib,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
