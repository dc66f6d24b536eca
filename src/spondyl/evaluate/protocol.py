"""What was evaluated and how: everything that another person needs to do it again."""

import hashlib
import platform
from dataclasses import dataclass
from pathlib import Path

import torch

from spondyl import __version__

BLOCK = 1 << 20


@dataclass(frozen=True)
class Weights:
    """A system of the table: its name, its class's name, where its weights come from and their SHA-256 in hex."""

    name: str
    system: str
    origin: str
    sha256: str


@dataclass(frozen=True)
class Protocol:
    """The facts of an evaluation. None of them depends on the time.

    Args:
        data: name of the data, for people.
        data_sha256: of its manifest or table.
        split: which part; "all" where the data have none. split_by: "patient", "shape" or "".
        cases, patients: how many.
        seed: of the systems' noise, of the shuffling and of every interval.
        mean_of: where the mean predictor takes its means from.
        command: as it was given.
        systems: who took part.
        notes: what a reader of the table should know.
        spondyl, torch, python: versions.
    """

    data: str
    data_sha256: str
    split: str
    split_by: str
    cases: int
    patients: int
    seed: int
    mean_of: str
    command: str
    systems: tuple[Weights, ...]
    notes: tuple[str, ...] = ()
    spondyl: str = __version__
    torch: str = torch.__version__
    python: str = platform.python_version()


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex. Raises OSError where it cannot be read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
