"""Whether a run fits into memory, found before it begins: one case through every player, counted, times the batch."""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from spondyl.memory import GB, free_memory_bytes
from spondyl.system import BatchT, System, Training
from spondyl.train.player import Player, players_of

# Beside what is kept for the gradient: the gradients themselves, the kernels' copies, holes in the heap. Measured on a CPU, per
# case: 0.43 (thirteen convolutions), 0.6 (a 2-D U-Net), 1.25 (a 3-D U-Net) of what is kept; see docs/training.md.
WORKING_SHARE = 0.75
# Of the free memory, what a run may plan with: other programs and the file cache want some.
USABLE_SHARE = 0.9
NO_ROOM = ("out of memory", "can't allocate memory", "not enough memory")


@dataclass(frozen=True)
class Need:
    """Memory of a run on its device, bytes: what is there with any batch, and what each case of a batch adds.

    `held` is the part of `fixed` that is taken already: weights and their average.
    """

    fixed: int
    per_case: int
    held: int = 0

    def total(self, batch: int) -> int:
        """Bytes with a batch."""
        return self.fixed + batch * self.per_case


def measure_need(system: System[BatchT], one: BatchT, settings: Training, device: torch.device) -> Need:
    """What a run needs, from the loss of a batch of one case.

    Counted are weights with their gradients, two moments and average, the case itself, and what each player's loss keeps for its
    gradient and works with, the greedier player deciding. Nothing of the system changes: a copy does the work.
    """
    trial = copy.deepcopy(system).train()
    weights = _bytes(list(trial.parameters()))
    players = players_of(trial, settings)
    learnt = _bytes([p for player in players for p in player.parameters])
    try:
        kept = max(_kept_bytes(player, trial, one, device) for player in players)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(words in str(error).lower() for words in NO_ROOM):
            raise
        raise ValueError("needs more memory than is free, even with --batch 1: use a smaller preset") from error
    average = weights if settings.ema_decay else 0
    case = _bytes(_tensors(one)) * settings.accumulate
    per_case = case + math.ceil(kept * (1 + WORKING_SHARE))
    return Need(weights + 3 * learnt + average, per_case, held=weights + average)


def _kept_bytes(player: Player, trial: System[BatchT], one: BatchT, device: torch.device) -> int:
    """Bytes that the loss of a player keeps for its gradient. Each piece of memory counts once, weights do not."""
    weights = {w.untyped_storage().data_ptr() for w in (*trial.parameters(), *trial.buffers())}
    kept: dict[int, int] = {}

    def pack(value: Tensor) -> Tensor:
        memory = value.untyped_storage()
        if memory.data_ptr() not in weights:
            kept[memory.data_ptr()] = memory.nbytes()
        return value

    player.alone(trial)
    with saved_tensors_hooks(pack, lambda value: value):
        player.loss(trial, one, (0, 0, 0), device, "trial")
    return sum(kept.values())


def check_fits(need: Need, batch: int, free: int | None, *, sharing: int = 1) -> None:
    """Refuse a run that needs more than is free, and say which batch fits.

    Args:
        free: bytes that the run may have, those that it holds included; None where nobody knows: nothing is refused then.
        sharing: processes that take from the same memory.

    Raises:
        ValueError: "needs about 7.0 GB, 4.0 GB free: use --batch 4".
    """
    if free is None or sharing * need.total(batch) <= free * USABLE_SHARE:
        return
    room = free * USABLE_SHARE / sharing - need.fixed
    fitting = int(room // need.per_case) if need.per_case else 0
    way = (
        f"use --batch {fitting}"
        if fitting >= 1
        else f"even --batch 1 needs {_gb(sharing * need.total(1))}: use a smaller preset"
    )
    raise ValueError(f"needs about {_gb(sharing * need.total(batch))}, {_gb(free)} free: {way}")


def sentence(need: Need, batch: int, free: int | None) -> str:
    """What a run needs, in a few words."""
    return f"needs about {_gb(need.total(batch))}" + ("" if free is None else f", {_gb(free)} were free")


def free_bytes(device: torch.device) -> int | None:
    """Memory that a process can still take on a device, bytes; for the CPU what the machine or its container leaves."""
    if device.type == "cuda":
        torch.cuda.empty_cache()  # what this process keeps for later is free for it
        return torch.cuda.mem_get_info(device)[0]
    return free_memory_bytes()


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def _tensors(value: object) -> list[Tensor]:
    """Every tensor of a batch."""
    if isinstance(value, Tensor):
        return [value]
    if is_dataclass(value) and not isinstance(value, type):
        return [t for f in fields(value) for t in _tensors(getattr(value, f.name))]
    if isinstance(value, Mapping):
        return [t for part in value.values() for t in _tensors(part)]
    return [t for part in value for t in _tensors(part)] if isinstance(value, tuple | list) else []


def _gb(size: int) -> str:
    return f"{size / GB:.1f} GB" if size >= GB / 20 else f"{size / 2**20:.1f} MB"
