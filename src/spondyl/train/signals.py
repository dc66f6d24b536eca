"""Signals while a run trains: SIGTERM and SIGINT end it after the step, SIGUSR1 asks for a checkpoint."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Wishes:
    """What signals have asked for so far. A second request to stop is passed on to whoever listened before."""

    def __init__(self) -> None:
        self.stop: int = 0
        self.save = False


@contextmanager
def listening() -> Iterator[Wishes]:
    """While the block runs, signals are only noted. Outside the main thread nothing is."""
    wishes = Wishes()
    if threading.current_thread() is not threading.main_thread():
        yield wishes
        return

    def stop(number: int, frame: FrameType | None) -> None:
        if not wishes.stop:
            wishes.stop = number
            return
        earlier = before[number]
        signal.signal(number, earlier)
        if callable(earlier):
            earlier(number, frame)
        else:
            signal.raise_signal(number)

    def save(number: int, frame: FrameType | None) -> None:
        wishes.save = True

    handlers = {signal.SIGTERM: stop, signal.SIGINT: stop}
    if hasattr(signal, "SIGUSR1"):
        handlers[signal.SIGUSR1] = save
    before = {int(number): signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield wishes
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
