"""results.csv and results.json: every number, with nothing in them that depends on the time or the machine."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path

from torch import Tensor

from spondyl.evaluate.outcomes import Outcomes
from spondyl.evaluate.quantities import QUANTITIES
from spondyl.evaluate.table import Table
from spondyl.system.folder import replacing

CSV, JSON = "results.csv", "results.json"
COLUMNS = ("case", "patient", "system", "role", "quantity", "item", "unit", "truth", "value", "error", "failure")
FORMAT = 1


def write_csv(out: Path, done: Outcomes) -> None:
    """One line a case, system and quantity; an empty value is a failure.

    Raises:
        OSError: where it cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in done.rows:
        for case in done.cases:
            why = row.answers[case.id].failure if case.id in row.answers else ""
            for r in row.readings[case.id]:
                numbers = ("" if x is None else f"{x:.6g}" for x in (r.truth, r.value, r.error))
                unit = QUANTITIES[r.quantity].unit
                writer.writerow([case.id, case.patient, row.name, row.role, r.quantity, r.item, unit, *numbers, why])
    with replacing(out / CSV) as part:
        part.write_text(text.getvalue(), encoding="utf-8")


def write_json(out: Path, done: Outcomes, table: Table) -> None:
    """The protocol, every summary and every difference; null for what is not defined.

    Raises:
        OSError: where it cannot be written.
    """
    content = {
        "format": FORMAT,
        "protocol": plain(done.protocol),
        "summaries": [plain(summary) for summary in table.summaries],
        "differences": [plain(each) for each in table.differences],
    }
    with replacing(out / JSON) as part:
        part.write_text(json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def plain(thing: object) -> object:
    """A dataclass, tuple, tensor or number as JSON has them; NaN and infinity become null."""
    if is_dataclass(thing) and not isinstance(thing, type):
        return plain(asdict(thing))
    if isinstance(thing, Mapping):
        return {str(key): plain(value) for key, value in thing.items()}
    if isinstance(thing, Tensor):
        return plain(thing.tolist())
    if isinstance(thing, Sequence) and not isinstance(thing, str):
        return [plain(value) for value in thing]
    if isinstance(thing, float):
        return thing if math.isfinite(thing) else None
    return thing
