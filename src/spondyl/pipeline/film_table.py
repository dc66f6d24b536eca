"""angles.csv: one row a film, an empty cell for everything that was not measured."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from spondyl.pipeline.film_angles import SACRAL_SLOPE
from spondyl.report.film_record import FilmAngle, FilmRecord

CURVES = ("main", "second", "third")
SAGITTAL = {
    "kyphosis_t4_t12": "Kyphosis T4–T12",
    "kyphosis_t1_t12": "Kyphosis T1–T12",
    "kyphosis_t5_t12": "Kyphosis T5–T12",
    "lordosis_l1_s1": "Lordosis L1–S1",
    "sacral_slope": SACRAL_SLOPE,
}
ENDS = ("deg", "low_deg", "high_deg")
COLUMNS = (
    "file", "verdict", "reason", "view", "claimed_view", "lateral", "vertebrae", "levels", "level_certainty",
    *(f"{name}_{part}" for name in CURVES for part in (*ENDS, "upper", "lower", "apex", "side")),
    "sides_of",
    *(f"{name}_{part}" for name in SAGITTAL for part in ENDS),
    "balance_mm", "lenke_like", "score", "negative", "sha256",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One film of a folder: its path there, and its record or why it could not be read."""

    file: str
    record: FilmRecord | None
    reason: str = ""

    @property
    def rank(self) -> int:
        """0 for the gravest: unreadable, refused, flagged, accepted."""
        if self.record is None:
            return 0
        return 1 + ("refused", "flagged", "accepted").index(self.record.verdict)


def table_text(rows: Sequence[Row]) -> str:
    """The whole file, with a header line."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_cells(row) for row in rows)
    return out.getvalue()


def _cells(row: Row) -> list[str]:
    record = row.record
    if record is None:
        return [row.file, "unreadable", row.reason, *([""] * (len(COLUMNS) - 3))]
    refused = record.verdict == "refused"
    curves = [*record.curves[:3], *([None] * 3)][:3]
    return [
        row.file,
        record.verdict,
        "; ".join(record.reasons),
        "" if refused and not record.claim else record.view,
        record.claim,
        _number(record.lateral, 3),
        "" if refused else str(len(record.levels)),
        " ".join(record.levels),
        _number(record.level_sure, 3),
        *(cell for curve in curves for cell in _curve(curve)),
        "" if refused else record.sides,
        *(cell for name in SAGITTAL.values() for cell in _ends(record.sagittal(name))),
        _number(record.balance_mm, 1),
        record.lenke,
        _number(record.score, 3),
        "yes" if record.negative else "no",
        record.sha256,
    ]


def _curve(angle: FilmAngle | None) -> list[str]:
    if angle is None:
        return [""] * 7
    return [*_ends(angle), angle.upper.split()[0], angle.lower.split()[0], angle.apex, angle.side]


def _ends(angle: FilmAngle | None) -> list[str]:
    if angle is None:
        return ["", "", ""]
    return [_number(x, 2) for x in (angle.angle_deg, angle.low_deg, angle.high_deg)]


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"
