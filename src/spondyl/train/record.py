"""What a run is: its settings as one JSON text in every checkpoint, and what a resumed run changes in them."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from spondyl.system import BatchT, System, Training
from spondyl.train.sampler import Cases

# They change when things are done, not what is learnt.
FREE = frozenset({"train.workers", "train.log_every", "train.picture_every", "train.save_every", "train.save_minutes"})


def settings_text(system: System[BatchT], settings: Training, cases: Cases, processes: int) -> str:
    """The whole record of a run as JSON."""
    content = {
        "system": system.name,
        "model": system.config.model_dump(mode="json"),
        "train": settings.model_dump(mode="json"),
        "data": {"name": cases.name, "count": cases.count},
        "processes": processes,
    }
    return json.dumps(content, sort_keys=True)


def flat(text: str) -> dict[str, str]:
    """A record with dotted keys, values as text."""
    found: dict[str, str] = {}

    def walk(prefix: str, value: object) -> None:
        if isinstance(value, dict) and value:
            for key, part in value.items():
                walk(f"{prefix}.{key}" if prefix else key, part)
        else:
            found[prefix] = "none" if value is None else str(value)

    walk("", json.loads(text))
    return found


def changes(before: str, now: str) -> tuple[str, ...]:
    """Sentences for what a resumed run does otherwise than the run that it goes on with.

    Raises:
        ValueError: where the network is another one.
    """
    old, new = flat(before), flat(now)
    differing = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key) and key not in FREE]
    for key in differing:
        if key == "system" or key.startswith("model."):
            raise ValueError(
                f"{key} is {new.get(key, 'not set')}, the run has {old.get(key, 'not set')}; "
                "resume with the same system and model settings, or begin in another folder"
            )
    return tuple(
        f"resumed with {key} {new.get(key, 'not set')} instead of {old.get(key, 'not set')}: from here on another run"
        for key in differing
    )


@contextmanager
def repeatable(wanted: bool) -> Iterator[None]:
    """While the block runs, torch takes kernels that give the same numbers again; a few operations on a GPU have none."""
    if not wanted:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS, "Results reproducibility"
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn
