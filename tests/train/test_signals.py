"""Signals are noted, not obeyed at once; a second one to stop goes to whoever listened before; time is kept."""

import signal
import threading
import time

import pytest

from spondyl.train.pace import Clock, Tally
from spondyl.train.player import Turn
from spondyl.train.signals import listening


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_wish_to_stop_is_noted_and_the_second_is_passed_on(number: signal.Signals) -> None:
    heard: list[int] = []
    before = signal.signal(number, lambda n, frame: heard.append(n))
    try:
        with listening() as wishes:
            signal.raise_signal(number)
            assert (wishes.stop, heard) == (number, [])
            signal.raise_signal(number)
            assert heard == [number]
        signal.raise_signal(number)
        assert heard == [number, number]
    finally:
        signal.signal(number, before)


def test_a_wish_for_a_checkpoint_does_not_stop() -> None:
    with listening() as wishes:
        signal.raise_signal(signal.SIGUSR1)
        assert (wishes.save, wishes.stop) == (True, 0)


def test_outside_the_main_thread_nothing_listens_and_nothing_breaks() -> None:
    stops: list[int] = []

    def inside() -> None:
        with listening() as wishes:
            stops.append(wishes.stop)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert stops == [0]


def test_a_budget_ends_before_a_step_would_go_past_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    clock = Clock(1.0, save_minutes=0.5)
    now[0] += 25
    clock.stepped()
    assert not clock.is_up()
    assert not clock.save_due()
    now[0] += 25
    clock.stepped()
    assert clock.left_s == 10
    assert clock.is_up()
    assert clock.save_due()
    clock.saved()
    assert not clock.save_due()
    assert not Clock(None, 1.0).is_up()


def test_a_tally_gives_means_the_last_rate_and_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    tally = Tally()
    assert tally.means() == {}
    tally.add({"a": Turn(1.0, 4.0, 0.5)}, cases=6, waited_s=1.0)
    tally.add({"a": Turn(3.0, 8.0, 0.25)}, cases=6, waited_s=1.0)
    now[0] = 10.0
    tally.skip(6.0)
    means = {"loss/a": 2.0, "grad_norm/a": 6.0, "lr/a": 0.25, "cases_per_s": 3.0, "data_share": 0.5}
    assert tally.means() == means
