"""Checkpoints: folders that are there whole or not at all, the two newest kept, a damaged one passed over.

RUN/checkpoints/step-00000500/state.safetensors   see `state`
RUN/checkpoints/step-00000500/record.json         step, size and SHA-256 of the state, the settings of the run
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from spondyl import __version__
from spondyl.system.folder import read_tensors

FOLDER, STATE, RECORD = "checkpoints", "state.safetensors", "record.json"
KEPT = 2
FORMAT = 1


@dataclass(frozen=True)
class Record:
    """What a checkpoint says of itself. `step` counts the steps done; `settings` are the run's, as JSON text."""

    step: int
    size: int
    sha256: str
    processes: int
    seconds: float
    settings: str
    spondyl: str = __version__
    format: int = FORMAT


@dataclass(frozen=True)
class Found:
    """The newest whole checkpoint and its state, and one sentence for every newer one that was passed over."""

    record: Record
    state: Mapping[str, Tensor]
    notes: tuple[str, ...]


def has_checkpoints(run: Path) -> bool:
    """Whether a run has written any."""
    return bool(_folders(run))


def save(run: Path, state: Mapping[str, Tensor], step: int, *, processes: int, seconds: float, settings: str) -> Record:
    """Write the state after `step` steps and remove the older checkpoints but one.

    Raises:
        OSError: in one sentence, where it cannot be written; the older checkpoints are then as they were.
    """
    from safetensors.torch import save_file

    target = run / FOLDER / f"step-{step:08d}"
    part = target.with_name(f".{target.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        save_file(dict(state), part / STATE)
        record = Record(step, (part / STATE).stat().st_size, _sha256(part / STATE), processes, seconds, settings)
        (part / RECORD).write_text(json.dumps(asdict(record), sort_keys=True, indent=1) + "\n", encoding="ascii")
        for path in (part / STATE, part / RECORD, part):
            _to_disk(path)
        shutil.rmtree(target, ignore_errors=True)  # one of the same step: damaged, or it would have been resumed from
        part.rename(target)
        _to_disk(target.parent)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        reason = (error.strerror or str(error)).splitlines()[0].lower()
        raise OSError(f"cannot write {target}: {reason}; make room; the checkpoints before it are whole") from error
    for old in _folders(run)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    return record


def newest(run: Path) -> Found | None:
    """The newest checkpoint that is whole; None where none was written.

    Raises:
        ValueError: where there are some and all are damaged.
    """
    notes: list[str] = []
    folders = _folders(run)
    for folder in folders:
        try:
            record = read_record(folder)
            if (folder / STATE).stat().st_size != record.size or _sha256(folder / STATE) != record.sha256:
                raise ValueError("its state is not the one that was written")
            return Found(record, read_tensors(folder / STATE), tuple(notes))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            notes.append(f"checkpoint {folder.name} is damaged ({reason.lower()}): passed over")
    if folders:
        raise ValueError(f"{run}: every checkpoint is damaged; {notes[0]}; begin again in another folder")
    return None


def read_record(folder: Path) -> Record:
    """The record of one checkpoint. Raises ValueError where it is damaged or of another format."""
    try:
        content = json.loads((folder / RECORD).read_bytes())
        record = Record(**content)
    except (UnicodeDecodeError, json.JSONDecodeError, TypeError) as error:
        raise ValueError(f"{RECORD} cannot be read") from error
    if record.format != FORMAT:
        raise ValueError(f"of format {record.format}; this version reads {FORMAT}")
    return record


def _folders(run: Path) -> list[Path]:
    """The checkpoints' folders, the newest first."""
    return sorted((p for p in (run / FOLDER).glob("step-*") if p.is_dir()), reverse=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
