"""The baked tables of X-ray physics: numbers by row and column, read once.

`benchmarks/bake_tables.py` writes the files under `tables/` from spekpy's copy of the NIST data; the first line of each file
names its source.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Table:
    """A table of numbers whose columns are named; its rows too, where the file's first column is text.

    Args:
        columns: names of the numeric columns.
        rows: names of the rows, or () where the first column is a number (it is then a column like the others).
        values: the numbers, float64.
    """

    columns: tuple[str, ...]
    rows: tuple[str, ...]
    values: Float[Tensor, "r c"]

    def column(self, name: str) -> Float[Tensor, "r"]:
        """One column. Raises ValueError for an unknown name."""
        return self.values[:, _index(self.columns, name)]

    def row(self, name: str) -> Float[Tensor, "c"]:
        """One row of a table whose rows are named. Raises ValueError for an unknown name."""
        return self.values[_index(self.rows, name)]


def _index(names: tuple[str, ...], name: str) -> int:
    if name not in names:
        raise ValueError(f"{name!r} is not in the table; wanted one of {', '.join(names)}")
    return names.index(name)


@cache
def read_table(name: str) -> Table:
    """A table of the package by its file name without ".csv"; the same object at every call."""
    text = (files("spondyl.xray") / "tables" / f"{name}.csv").read_text(encoding="utf-8")
    lines = [line.split(",") for line in text.splitlines() if line and not line.startswith("#")]
    header, body = lines[0], lines[1:]
    named = header[0] == "name"
    first = 1 if named else 0
    values = torch.tensor([[float(cell) for cell in line[first:]] for line in body], dtype=torch.float64)
    return Table(tuple(header[first:]), tuple(line[0] for line in body) if named else (), values)
