"""One torch thread for work on many small tensors."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[int]:
    """One torch thread inside: a patient is thousands of small boxes, on which threads wait more than they work.

    Gives the number of threads that there were: as many as may work side by side instead.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield before
    finally:
        torch.set_num_threads(before)
