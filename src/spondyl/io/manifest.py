"""The two tables of a cohort: manifest.jsonl for programs, participants.tsv for people and statistics."""

from collections.abc import Iterable, Sequence
from dataclasses import fields

from spondyl.io.case_record import CaseRecord, Person, Truth

NOT_AVAILABLE = "n/a"  # as in BIDS
PERSON = tuple(f.name for f in fields(Person))
TRUTH = tuple(f.name for f in fields(Truth) if f.name not in ("levels", "curves"))
CURVE = ("cobb_deg", "upper", "lower", "apex", "side", "rotation_deg", "uca_deg", "spa_deg")
COLUMNS = (
    "participant_id", "split", "shape_split", "shape_regions", *PERSON, "levels", "curves",
    *(f"largest_{name}" for name in CURVE), *TRUTH,
)  # fmt: skip


def manifest_bytes(records: Iterable[CaseRecord]) -> bytes:
    """One line a case, in the order of the ids."""
    return b"".join(record.line() for record in sorted(records, key=lambda record: record.id))


def participants_bytes(records: Iterable[CaseRecord]) -> bytes:
    """One row a case with tabs between the columns: who it is, its largest curve (largest_...), and all other angles."""
    rows = [COLUMNS, *(_row(record) for record in sorted(records, key=lambda record: record.id))]
    return "".join("\t".join(row) + "\n" for row in rows).encode("ascii")


def _row(record: CaseRecord) -> Sequence[str]:
    truth = record.truth
    largest = max(truth.curves, key=lambda curve: curve.cobb_deg, default=None)
    return (
        f"case-{record.id:06d}",
        record.split,
        record.shape_split,
        ",".join(record.shape_regions) or NOT_AVAILABLE,
        *(_shown(None if record.person is None else getattr(record.person, name)) for name in PERSON),
        f"{truth.levels[0]}-{truth.levels[-1]}" if truth.levels else NOT_AVAILABLE,
        str(len(truth.curves)),
        *(_shown(None if largest is None else getattr(largest, name)) for name in CURVE),
        *(_shown(getattr(truth, name)) for name in TRUTH),
    )


def _shown(value: object) -> str:
    if value is None or value == "":
        return NOT_AVAILABLE
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
