"""The processes of one run and what they tell each other: who this one is, its device, means and agreed flags.

Accelerate reads the launcher's environment, picks the backend and places the devices. Gradients are averaged here and not by
DistributedDataParallel: its buckets are laid out anew after the first step of a process, so that sums over three or more
processes run in another order after a resume; and a player's turn leaves the weights of the others without gradient.
"""

import atexit
import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Processes:
    """This process among those of the run."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def mean_(self, tensors: Sequence[Tensor]) -> None:
        """Replace floating-point tensors by their means over the processes, as one sum in the order given."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([t.reshape(-1).float() for t in tensors])
        dist.all_reduce(flat)
        flat /= self.count
        begin = 0
        for tensor in tensors:
            tensor.copy_(flat[begin : begin + tensor.numel()].view_as(tensor))
            begin += tensor.numel()

    def from_first_(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by those of the first process."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor.detach(), src=0)

    def any(self, flags: Sequence[bool]) -> tuple[bool, ...]:
        """For each flag, whether it is set in any process: the same answer in all of them."""
        if self.count == 1:
            return tuple(flags)
        told = torch.tensor([float(flag) for flag in flags], device=self.device)
        dist.all_reduce(told, op=dist.ReduceOp.MAX)
        return tuple(bool(value) for value in told.tolist())

    def wait(self) -> None:
        """Go on when all processes have come here."""
        if self.count > 1:
            dist.barrier()


def join(device: str) -> Processes:
    """This process as torchrun (or srun with its variables) started it; alone where nothing did.

    Args:
        device: "auto", or what torch.device takes. Under a launcher only "auto" and "cpu": each process has its own GPU.

    Raises:
        ValueError: for a device that is not there.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Processes(0, 1, device_of(device))
    if device not in ("auto", "cpu"):
        raise ValueError(f"device is {device} with several processes; wanted auto or cpu")
    from accelerate import PartialState  # type: ignore[import-untyped]

    begun = dist.is_initialized()
    state = PartialState(cpu=device == "cpu" or not torch.cuda.is_available())
    if not begun:
        # the launcher's meeting point serves one group: it must last for every run of this program
        atexit.register(state.destroy_process_group)
    return Processes(state.process_index, state.num_processes, state.device)


def device_of(name: str) -> torch.device:
    """The device of a name; "auto" is the first GPU, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device is {name!r}; wanted auto, cpu, cuda or cuda:1") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {name} is not here; see: spondyl doctor; or use --device cpu")
    return device
