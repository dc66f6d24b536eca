"""The readers' figures as rows of validation.csv, and the calibration of their intervals, from what `read_cohort.py` wrote.

    python benchmarks/read_rows.py CALIBRATION.jsonl TEST.jsonl [--real FILMS.jsonl] [--weights DIR] [--seed 7]

Intervals are calibrated on the first file's patients (split conformal, `measure.interval.calibrate`) and their coverage counted on
the second's, which holds shapes that the first does not. `--weights` writes calibration.json into the folder of the weights;
`--real` is what `read_aasce.py` wrote. Rows go into benchmarks/validation.csv as the table "readers".
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from cohort_rows import Array, Row, keep, missing, row

from spondyl.measure.interval import AngleSpread, Calibration, calibrate
from spondyl.metrics.reliability import icc_agreement, mean_squares
from spondyl.spine import LEVELS

CONFIDENCE = 0.9
NAMED = {"kyphosis T4-T12": ("T4 superior", "T12 inferior"), "lordosis L1-L5": ("L1 superior", "L5 inferior")}
Lines = list[dict]
Readings = list[tuple[int, float, float | None, float | None, float]]  # patient, truth, read, sd, bias


def main_curves(lines: Lines) -> Readings:
    """The largest angle of every patient with a curve of 10 degrees, ends chosen by the reader."""
    out = []
    for k, line in enumerate(lines):
        pa = line["pa"]
        if pa["truth"] is not None and pa["truth"] >= 10:
            out.append((k, pa["truth"], pa["read"], pa.get("sd"), pa.get("bias", 0.0)))
    return out


def all_curves(lines: Lines) -> Readings:
    """Every true curve of 10 degrees, read between the same two endplates."""
    return [
        (k, c["truth"], c["read"], c.get("sd"), 0.0)
        for k, line in enumerate(lines)
        for c in line["pa"].get("curves", [])
        if c["truth"] >= 10
    ]


def sagittal(lines: Lines, name: str | None = None) -> Readings:
    """Sagittal angles of the lateral films: the one of a name, or kyphosis and lordosis together."""
    wanted = NAMED.values() if name is None else [NAMED[name]]
    return [
        (k, a["truth"], a["read"], a.get("sd"), 0.0)
        for k, line in enumerate(lines)
        for a in line.get("lateral", {}).get("angles", [])
        if (a["upper"], a["lower"]) in wanted
    ]


def ultrasound(lines: Lines) -> Readings:
    """The ultrasound curve angle of every patient's main curve."""
    parts = [(k, line["ultrasound"]) for k, line in enumerate(lines) if "ultrasound" in line]
    return [(k, u["truth"], u["read"], None, 0.0) for k, u in parts if u["truth"] is not None]


def calibrated(readings: Readings) -> Calibration:
    """Conformal factor of a kind of angle."""
    seen = [r for r in readings if r[2] is not None and r[3] is not None]
    spreads = [AngleSpread(r[2], r[4], r[3]) for r in seen]
    truth, who = torch.tensor([r[1] for r in seen]), torch.tensor([r[0] for r in seen])
    return calibrate(spreads, truth, who, confidence=CONFIDENCE)


def coverage(readings: Readings, calibration: Calibration, *, least_deg: float) -> Array:
    """Patient and whether the interval holds the truth, for every angle that was read."""
    rows = []
    for who, truth, read, sd, bias in readings:
        if read is not None and sd is not None:
            low, high = calibration.interval_deg(AngleSpread(read, bias, sd), least_deg=least_deg)
            rows.append((who, float(low <= truth <= high), high - low))
    return np.array(rows)


def error_rows(name: str, target: str, readings: Readings, learnt: Readings, wanted: float) -> list[Row]:
    """MAE with the mean predictor in the note, ICC(2,1) where it is asked for, and the share that was not read."""
    seen = np.array([(r[0], r[1], r[2]) for r in readings if r[2] is not None])
    if not len(seen):
        return [missing(target, f"{name}: mean absolute error, deg", 0, wanted, "nothing was read")]
    middle = float(np.mean([r[1] for r in learnt]))
    mean_predictor = float(np.abs(np.array([r[1] for r in readings]) - middle).mean())
    error = seen[:, 2] - seen[:, 1]
    order = np.random.default_rng(0).permutation(len(seen))
    shuffled = float(np.abs(seen[order, 2] - seen[:, 1]).mean())
    note = (
        f"mean predictor {mean_predictor:.1f}, shuffled films {shuffled:.1f}; bias {error.mean():+.2f}, "
        f"SD {error.std(ddof=1):.2f}, median {np.median(np.abs(error)):.2f}, within 5 deg {np.mean(np.abs(error) <= 5):.0%}; "
        f"not read {len(readings) - len(seen)} of {len(readings)}"
    )
    who = seen[:, 0].astype(int).tolist()
    mae: Callable[[Array], float] = lambda x: float(np.abs(x[:, 2] - x[:, 1]).mean())  # noqa: E731
    return [row(target, f"{name}: mean absolute error, deg", 0, wanted, seen, mae, who=who, note=note)]


def icc(data: Array) -> float:
    """ICC(2,1) of truth and reading."""
    return float(icc_agreement(mean_squares(torch.from_numpy(data[:, 1:3]))))


def end_errors(lines: Lines) -> Array:
    """Patient and distance in levels of each end vertebra of the main curve from the true one's."""
    rows = []
    for k, line in enumerate(lines):
        pa = line["pa"]
        if pa.get("read") is not None and (pa["truth"] or 0) >= 10:
            for a, b in zip(pa["truth_ends"], pa["read_ends"], strict=True):
                rows.append((k, abs(_number(a) - _number(b))))
    return np.array(rows)


def _number(level: str) -> int:
    return [name for name in LEVELS if name not in ("T13", "L6")].index(level if level != "T13" else "T12")


def simulated_rows(learnt: Lines, lines: Lines, fits: dict[str, Calibration]) -> list[Row]:
    """All rows of the simulated test cohort."""
    main, ends = main_curves(lines), end_errors(lines)
    rows = error_rows("main Cobb, free ends", "reader", main, main_curves(learnt), 1.5)
    seen = np.array([(r[0], r[1], r[2]) for r in main if r[2] is not None])
    rows.append(row("reader", "main Cobb: ICC(2,1)", 0.98, 1, seen, icc))
    distance: Callable[[Array], float] = lambda x: float(x[:, 1].mean())  # noqa: E731
    who = ends[:, 0].astype(int).tolist()
    rows.append(row("reader", "main Cobb: end vertebra, levels off", 0, 0.6, ends, distance, who=who))
    rows += error_rows("every curve, true ends", "reader", all_curves(lines), all_curves(learnt), 1.5)
    for name in NAMED:
        rows += error_rows(name, "reader", sagittal(lines, name), sagittal(learnt, name), 3)
    rows += error_rows("UCA of the main curve", "reader", ultrasound(lines), ultrasound(learnt), 2.5)
    for name, readings, kind, least in (
        ("main Cobb", main, "coronal", 0.0),
        ("kyphosis and lordosis", sagittal(lines), "sagittal", -180.0),
    ):
        held = coverage(readings, fits[kind], least_deg=least)
        note = f"median width {np.median(held[:, 2]):.1f} deg; factor {fits[kind].factor:.2f} from {fits[kind].patients} patients"
        who = held[:, 0].astype(int).tolist()
        share: Callable[[Array], float] = lambda x: float(x[:, 1].mean())  # noqa: E731
        rows.append(
            row("reader", f"{name}: 90 % interval holds the truth", 0.85, 0.95, held, share, who=who, note=note)
        )
    right = np.array(
        [[float(line["pa"]["level_shift"] == 0)] for line in lines if line["pa"]["level_shift"] is not None]
    )
    rows.append(row("reader", "PA: levels named right, share of films", 0.9, 1, right, lambda x: float(x.mean())))
    return rows


def real_rows(films: Lines) -> list[Row]:
    """Rows of the real films: patients are films, the challenge's three angles, refusals counted as failures.

    Film 480 counts in every row but one: the corners of its L5 are tangled, so its label is 156 degrees.
    """
    failed = np.array([[float(f["read"] is None)] for f in films])
    seen = [f for f in films if f["read"] is not None]
    both = np.array([[f["truth"], f["read"]] for f in seen])  # n 2 3
    flat = both.reshape(len(seen), 6)
    middle = float(np.mean([f["truth"][0] for f in films]))
    guess = float(np.mean([abs(f["truth"][0] - middle) for f in films]))
    error = flat[:, 3] - flat[:, 0]
    note = f"mean predictor {guess:.1f}; bias {error.mean():+.2f}, within 5 deg {np.mean(np.abs(error) <= 5):.0%}"
    table: list[tuple[str, float, float, Callable[[Array], float], str]] = [
        ("main angle: mean absolute error, deg", 0, 5, lambda x: float(np.abs(x[:, 3] - x[:, 0]).mean()), note),
        ("main angle: median absolute error, deg", 0, 3.5, lambda x: float(np.median(np.abs(x[:, 3] - x[:, 0]))), ""),
        ("main angle: correlation", 0.93, 1, lambda x: float(np.corrcoef(x[:, 0], x[:, 3])[0, 1]), ""),
        (
            "SMAPE over the three angles, percent",
            0,
            16,
            _smape,
            "films that were read; not the challenge's own test films",
        ),
    ]
    rows = [row("real films", f"AASCE, {what}", low, high, flat, f, note=n) for what, low, high, f, n in table]
    untangled = np.array([f["truth"] + f["read"] for f in seen if "480" not in f["image"]])
    less: Callable[[Array], float] = lambda x: float(np.abs(x[:, 3] - x[:, 0]).mean())  # noqa: E731
    r = float(np.corrcoef(untangled[:, 0], untangled[:, 3])[0, 1])
    rows.append(
        row(
            "real films",
            "AASCE without film 480, main angle: MAE, deg",
            0,
            5,
            untangled,
            less,
            note=f"correlation {r:.3f}",
        )
    )
    whole = row("real films", "AASCE, films not read, share", 0, 0.05, failed, lambda x: float(x.mean()))
    return [*rows, whole]


def _smape(x: Array) -> float:
    truth, read = x[:, :3], x[:, 3:]
    return float((np.abs(read - truth).sum(1) / (read + truth).sum(1)).mean() * 100)


def load(path: Path) -> Lines:
    """The lines of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("calibration", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--dry", action="store_true", help="print the rows, keep nothing")
    asked = parser.parse_args(arguments)
    learnt, lines = load(asked.calibration), load(asked.test)
    fits = {"coronal": calibrated(main_curves(learnt)), "sagittal": calibrated(sagittal(learnt))}
    rows = simulated_rows(learnt, lines, fits)
    if asked.real is not None:
        rows += real_rows(load(asked.real))
    for r in rows:
        low, high = r.interval
        print(f"{r.verdict:13} {r.what:55} {r.value:8.3f} ({low:.3f} to {high:.3f}) n {r.n}  {r.note}")
    if asked.weights is not None:
        text = {
            k: {"confidence": c.confidence, "factor": round(c.factor, 4), "patients": c.patients}
            for k, c in fits.items()
        }
        (asked.weights / "calibration.json").write_text(json.dumps(text, indent=2) + "\n", encoding="utf-8")
    if not asked.dry:
        keep("readers", rows, asked.seed)


if __name__ == "__main__":
    main()
