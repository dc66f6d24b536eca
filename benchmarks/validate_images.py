"""Images of virtual patients against published figures, a row a target: CT, radiograph, ultrasound, photograph, rater (13 to 17).

    python benchmarks/validate_images.py [--patients 16] [--truth 400] [--seed 7] [--only ct,film,ultrasound,rgbd,rater]

Each of a few patients without metal or brace, adolescents of screening and surgery in turns at 2 mm, is scanned once by every
sensor; what needs no picture (angles, hump, rater) is asked of many. About nine minutes of one core. Writes its rows into
benchmarks/validation.csv; with --only, or fewer than 12 patients, they are printed and not kept.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import back_rows
import ct_rows
import echo_rows
import film_rows
import torch
from cohort_rows import Row, keep
from rater_rows import cohort, rater_rows

from spondyl.pairs import Subject
from spondyl.sim.ct import CtSensor
from spondyl.sim.patient import Patient, draw, rasterise, skin_of
from spondyl.sim.seeds import generator_of
from spondyl.sim.ultrasound import UltrasoundSensor

PARTS = ("ct", "film", "ultrasound", "rgbd", "rater")
SPACING_MM = 2.0
LEAST_PATIENTS = 12  # smaller runs are a trial: they are printed and not kept
HUMPS = 120  # patients whose skin is made for the hump's row


@dataclass
class Found:
    """What the few patients gave, sensor by sensor; `reason` says why there is no photograph."""

    scans: list[ct_rows.Scan] = field(default_factory=list)
    films: list[film_rows.Film] = field(default_factory=list)
    echoes: list[echo_rows.Echo] = field(default_factory=list)
    backs: list[back_rows.Back] = field(default_factory=list)
    reason: str = ""


def measure(found: Found, patient: Patient, seed: int, number: int, parts: Sequence[str]) -> None:
    """One patient through every sensor that is asked for."""
    subject = Subject(rasterise(patient, spacing_mm=SPACING_MM), patient.spine, skin_of(patient))
    if "ct" in parts:
        sensor = CtSensor().randomised(generator=generator_of(seed, number, "ct settings"))
        scan = sensor(subject, generator=generator_of(seed, number, "ct"))
        found.scans.append(ct_rows.measured(scan, subject.volume, patient.spine))
    if "film" in parts:
        found.films.append(film_rows.measured(subject, generator=generator_of(seed, number, "film")))
    if "ultrasound" in parts:
        g = generator_of(seed, number, "ultrasound")
        found.echoes.append(echo_rows.measured(subject, UltrasoundSensor(), generator=g))
    if "rgbd" in parts and not found.reason:
        try:
            found.backs.append(back_rows.measured(patient, subject, generator=generator_of(seed, number, "rgbd")))
        except ValueError as error:
            found.reason = str(error)


def rows_of(found: Found, truth: Sequence[Patient], seed: int, parts: Sequence[str]) -> list[Row]:
    """The rows of the parts that are asked for."""
    rows: list[Row] = []
    if "ct" in parts:
        rows += ct_rows.ct_rows(found.scans)
    if "film" in parts:
        rows += film_rows.film_rows(found.films)
    if "ultrasound" in parts:
        rows += echo_rows.echo_rows(found.echoes, truth)
    if "rgbd" in parts:
        rows += back_rows.back_rows(found.backs, truth[:HUMPS], found.reason)
    if "rater" in parts:
        rows += rater_rows(truth, seed)
    return rows


def main() -> None:
    """Draw, scan, measure, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=16)
    parser.add_argument("--truth", type=int, default=400)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", default=",".join(PARTS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    parts, began = args.only.split(","), time.time()
    found, g = Found(), torch.Generator().manual_seed(args.seed)
    for k in range(args.patients):
        kind = "surgical" if k % 2 else "screening"
        measure(found, draw(generator=g, cohort=kind, instrumented=False, braced=False), args.seed, k, parts)
        print(f"patient {k + 1} of {args.patients}, {time.time() - began:.0f} s", flush=True)
    rows = rows_of(found, cohort(args.truth, args.seed), args.seed, parts)
    for r in rows:
        print(f"{r.number} {r.what}: {r.value:.3g} ({r.interval[0]:.3g} to {r.interval[1]:.3g}), n {r.n}, {r.verdict}")
    if set(parts) == set(PARTS) and args.patients >= LEAST_PATIENTS:
        keep("images", rows, args.seed)


if __name__ == "__main__":
    main()
