"""The systems that `evaluate` compares: folders of weights, or names of weights that ship with the package."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from spondyl.evaluate import Entrant, sha256_of
from spondyl.system import System
from spondyl.system.folder import CONFIG, WEIGHTS
from spondyl.systems import SYSTEMS
from spondyl.weights import weights_folder


def entrants_of(names: Sequence[str], device: str) -> list[Entrant]:
    """The systems with their weights, each under a name of its own.

    Raises:
        ValueError: where there is no such folder or name, or it holds no system.
        OSError: where a file cannot be read.
    """
    place = _device(device)
    found: list[Entrant] = []
    for given in names:
        folder = Path(given) if Path(given).is_dir() else _shipped(given)
        system = _loaded(folder).to(place)
        name = (folder.resolve().name or "system") if Path(given).is_dir() else given
        taken = [e.name for e in found]
        unique = next(n for n in (name, *(f"{name}-{k}" for k in range(2, len(names) + 2))) if n not in taken)
        found.append(Entrant(unique, system, sha256_of(folder / WEIGHTS), given))
    return found


def alike(entrants: Sequence[Entrant]) -> None:
    """Raises ValueError where two systems do not answer the same question."""
    first = entrants[0]
    for other in entrants[1:]:
        for what, a, b in (
            ("takes", first.system.source.__name__, other.system.source.__name__),
            ("answers", first.system.target.__name__, other.system.target.__name__),
        ):
            if a != b:
                raise ValueError(f"{first.name} {what} {a}, {other.name} {what} {b}; evaluate them apart")


def _shipped(name: str) -> Path:
    try:
        return weights_folder(name)
    except ValueError as error:
        raise ValueError(f"{name} is neither a folder nor the name of weights that ship: {error}") from error


def _loaded(folder: Path) -> System:
    path = folder / CONFIG
    if not path.is_file():
        raise ValueError(f"{folder} has no {CONFIG}; wanted a folder that spondyl train wrote")
    try:
        content = json.loads(path.read_bytes())
    except (UnicodeDecodeError, json.JSONDecodeError):
        content = None
    name = content.get("system") if isinstance(content, dict) else None
    if not isinstance(name, str) or name not in SYSTEMS:
        raise ValueError(f"{path} names the system {name!r}; wanted one of: {', '.join(sorted(SYSTEMS))}")
    return SYSTEMS[name].from_pretrained(folder)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"--device is {name!r}; wanted auto, cpu, cuda or cuda:1") from None
    if device.type == "cuda" and not (torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()):
        raise ValueError(f"device {name} is not here; use --device cpu, or see: spondyl doctor")
    return device
