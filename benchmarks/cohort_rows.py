"""What every row of the validation tables is: a target, its value with an interval, and the file that keeps them all.

`validation.csv` holds the rows of every script that ran, each under its script's name; a script replaces its own rows only.
Intervals are 95 % percentiles of 300 bootstrap draws over patients (or films), with everything of one patient kept together.
"""

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
RESULTS = Path(__file__).with_name("validation.csv")
DRAWS = 300
HEAD = ("table", "row", "target", "wanted_low", "wanted_high", "n", "value", "lo", "hi", "pass", "seed", "note")


@dataclass(frozen=True)
class Row:
    """One target. `value` is NaN where it was not measured, and `note` says why; `n` counts patients, films or views."""

    number: str
    what: str
    low: float
    high: float
    value: float
    interval: tuple[float, float]
    n: int = 0
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the value lies in the target's range."""
        return self.low <= self.value <= self.high

    @property
    def verdict(self) -> str:
        """One of pass, fail, not measured."""
        return "not measured" if math.isnan(self.value) else "pass" if self.passed else "fail"


def row(
    number: str,
    what: str,
    low: float,
    high: float,
    data: Array,
    statistic: Callable[[Array], float],
    *,
    who: Sequence[int] | None = None,
    note: str = "",
) -> Row:
    """A target on a statistic of rows of data, with a bootstrap interval.

    Args:
        data: one row a patient, or several where `who` says whose each is.
        who: the patient of each row, by a number.
    """
    data = np.asarray(data, dtype=np.float64)
    if not len(data):
        return missing(number, what, low, high, "no patient fits")
    rows_of: dict[int, list[int]] = {}
    for k, name in enumerate(range(len(data)) if who is None else who):
        rows_of.setdefault(name, []).append(k)
    members = [np.array(rows) for rows in rows_of.values()]
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(DRAWS):
        picked = rng.integers(0, len(members), len(members))
        draws.append(statistic(data[np.concatenate([members[k] for k in picked])]))
    interval = float(np.nanpercentile(draws, 2.5)), float(np.nanpercentile(draws, 97.5))
    return Row(number, what, low, high, float(statistic(data)), interval, len(members), note)


def missing(number: str, what: str, low: float, high: float, reason: str) -> Row:
    """A target that was not measured, and why."""
    return Row(number, what, low, high, math.nan, (math.nan, math.nan), 0, reason)


def keep(table: str, rows: Sequence[Row], seed: int, path: Path = RESULTS) -> None:
    """Write the rows of one table into the results, in place of those it had."""
    old = [r for r in stored(path) if r["table"] != table] if path.exists() else []
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEAD)
    for r in old:
        writer.writerow([r[name] for name in HEAD])
    for r in rows:
        figures = [_text(x) for x in (r.value, *r.interval)]
        writer.writerow([table, r.what, r.number, f"{r.low:g}", f"{r.high:g}", r.n, *figures, r.verdict, seed, r.note])
    part = path.with_suffix(".part")
    part.write_text(out.getvalue(), encoding="utf-8")
    part.replace(path)


def stored(path: Path = RESULTS) -> list[dict[str, str]]:
    """The rows of the results file as text, by the names of HEAD."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def markdown(rows: Sequence[dict[str, str]]) -> str:
    """Rows of the results file as a table for the docs, and how many pass."""
    lines = ["| target | what | wanted | found | 95 % interval | n | |", "|---|---|---|---|---|---|---|"]
    for r in rows:
        bounds = f"{r['wanted_low']} to {r['wanted_high']}"
        mark = {"pass": "pass", "fail": "**fail**"}.get(r["pass"], r["pass"])
        mark += f": {r['note']}" if r["note"] and r["pass"] != "pass" else ""
        what = r["row"].replace("|", "\\|")
        between = f"{r['lo']} to {r['hi']}" if r["value"] else ""
        lines.append(f"| {r['target']} | {what} | {bounds} | {r['value']} | {between} | {r['n']} | {mark} |")
    judged = [r for r in rows if r["pass"] in ("pass", "fail")]
    seeds = ", ".join(dict.fromkeys(r["seed"] for r in rows))
    passed = sum(r["pass"] == "pass" for r in judged)
    lines += ["", f"{passed} of {len(judged)} rows that were measured pass; seed {seeds}."]
    return "\n".join(lines)


def _text(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3g}"


def mean(a: Array) -> float:
    """Mean."""
    return float(np.mean(a))


def largest(a: Array) -> float:
    """The largest value."""
    return float(np.max(a))


def spread(a: Array) -> float:
    """Sample standard deviation."""
    return float(np.std(a, ddof=1))


def correlation(a: Array) -> float:
    """Pearson r of two columns."""
    return float(np.corrcoef(a[:, 0], a[:, 1])[0, 1])


def slope(a: Array) -> float:
    """Slope of the second column on the first."""
    return float(np.polyfit(a[:, 0], a[:, 1], 1)[0])


def slope_through_zero(a: Array) -> float:
    """Slope of the second column on the first through the origin."""
    return float((a[:, 0] @ a[:, 1]) / (a[:, 0] @ a[:, 0]))
