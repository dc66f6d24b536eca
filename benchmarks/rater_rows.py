"""Target 17: what the virtual rater's readings of the cohort differ by, with fixed and with free end vertebrae.

python benchmarks/rater_rows.py      # finds the eye's two numbers anew and prints them
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from cohort_rows import Array, Row, mean, row

from spondyl.geometry import View
from spondyl.measure.cobb import cobb_from_corners, main_curve
from spondyl.measure.rater import INTER_FREE_DEG, INTRA_FREE_DEG, TWO_SIDED_95, Habit, Rater, read_cobb
from spondyl.sim.patient import Patient, draw
from spondyl.spine import Cobb, Corners

LEAST_DEG, MOST_DEG = 20.0, 60.0  # the curves of Morrissy's films: 50 films, mean 35 degrees
RATERS = 6  # an even number: they are compared in pairs
FILM = View.around((0.0, 0.0, 200.0), angle_deg=0.0, source_to_detector_mm=2000.0, source_to_centre_mm=1000.0,
                   pixel_spacing_mm=(0.2, 0.2), shape_px=(3000, 2200), beam="parallel")  # fmt: skip


def films(patients: Sequence[Patient]) -> list[tuple[Corners, Cobb]]:
    """Exact corners and main curve of those with a curve of LEAST_DEG to MOST_DEG degrees."""
    found = []
    for p in patients:
        corners = p.spine.project(FILM)
        curve = main_curve(cobb_from_corners(corners))
        if curve is not None and LEAST_DEG <= curve.angle_deg <= MOST_DEG:
            found.append((corners, curve))
    return found


def readings(found: Sequence[tuple[Corners, Cobb]], rater: Rater, *, free: bool, seed: int) -> Array:
    """Errors of each of RATERS' two readings of every film, degrees: [film, rater, reading]."""
    g = torch.Generator().manual_seed(seed)
    out = np.empty((len(found), RATERS, 2))
    for k, (corners, curve) in enumerate(found):
        for r in range(RATERS):
            habit = Habit.drawn(rater, len(corners.levels), generator=g)
            for t in range(2):
                read = read_cobb(corners, curve, rater, habit, generator=g, free=free)
                out[k, r, t] = read.angle_deg - curve.angle_deg
    return out


def intra(a: Array) -> float:
    """95 % limit between two readings of one rater: 1.96 SD of the differences about zero."""
    return TWO_SIDED_95 * math.sqrt(float(np.mean((a[:, :, 0] - a[:, :, 1]) ** 2)))


def inter(a: Array) -> float:
    """The same between readings of two raters."""
    return TWO_SIDED_95 * math.sqrt(float(np.mean((a[:, 0::2] - a[:, 1::2]) ** 2)))


def rater_rows(patients: Sequence[Patient], seed: int) -> list[Row]:
    """Target 17, each limit within a tenth."""
    found, rater = films(patients), Rater()
    fixed, free = (readings(found, rater, free=f, seed=seed + 1) for f in (False, True))
    rows = []
    for what, data, limit, statistic in (
        ("one rater, fixed ends", fixed, 3.8, intra),
        ("two raters, fixed ends", fixed, 6.3, inter),
        ("one rater, free ends", free, 4.9, intra),
        ("two raters, free ends", free, 7.2, inter),
    ):
        rows.append(row("17", f"95 % limit of {what}, degrees", 0.9 * limit, 1.1 * limit, data, statistic))
    rows.append(row("17", "bias of a reading with free ends, degrees", -3.0, 3.0, free, mean))
    return rows


def calibrated(found: Sequence[tuple[Corners, Cobb]], seed: int) -> Rater:
    """The rater whose eye gives the published limits with free ends: bisection of each part, the occasion's first."""
    rater = replace(Rater(), eye_habit_deg=0.0)
    for name, statistic, limit in (("eye_deg", intra, INTRA_FREE_DEG), ("eye_habit_deg", inter, INTER_FREE_DEG)):
        low, high = 0.0, 12.0
        for _ in range(8):
            middle = (low + high) / 2
            tried = replace(rater, **{name: middle})
            low, high = (
                (middle, high) if statistic(readings(found, tried, free=True, seed=seed)) < limit else (low, middle)
            )
        rater = replace(rater, **{name: (low + high) / 2})
    return rater


def cohort(count: int, seed: int) -> list[Patient]:
    """Screening and surgical patients in turns, as in `validate_cohort.py`."""
    g = torch.Generator().manual_seed(seed)
    return [draw(generator=g, cohort="surgical" if i % 2 else "screening") for i in range(count)]


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(calibrated(films(cohort(600, 11)), seed=5))
