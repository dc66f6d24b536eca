"""The local executor: every unit done once, whatever happens to the processes that do them."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import units_of_work

from spondyl.executors import choose_workers, local, run_cases

ROOT = Path(__file__).resolve().parents[2]


def done(folder: Path) -> dict[int, str]:
    return {int(path.stem): path.read_text() for path in folder.glob("*.txt")}


def squares(units: range) -> dict[int, str]:
    return {unit: f"{unit * unit} 1\n" for unit in units}


@pytest.mark.parametrize("workers", [1, 3])
def test_every_unit_is_done_with_one_thread(workers: int, tmp_path: Path) -> None:
    heard: list[int] = []
    failed = run_cases(range(7), "units_of_work:write", settings=str(tmp_path), workers=workers, on_done=heard.append)
    assert failed == ()
    assert done(tmp_path) == squares(range(7))
    assert sorted(heard) == list(range(7))


def test_no_units_start_no_process() -> None:
    assert run_cases([], "units_of_work:write") == ()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_worker_is_replaced_and_its_unit_done(workers: int, tmp_path: Path) -> None:
    assert run_cases(range(4), "units_of_work:die_once", settings=str(tmp_path), workers=workers) == ()
    assert (tmp_path / "died").exists()
    assert done(tmp_path) == squares(range(4))


def test_a_unit_that_kills_every_worker_is_given_up_and_the_rest_done(tmp_path: Path) -> None:
    (failure,) = run_cases(range(4), "units_of_work:die_always", settings=str(tmp_path), workers=2)
    assert (failure.unit, failure.reason) == (1, "killed (out of memory?), 3 times")
    assert (tmp_path / "deaths").read_text() == "xxx"
    assert set(done(tmp_path)) == {0, 2, 3}


def test_the_last_word_of_a_process_is_the_reason(tmp_path: Path) -> None:
    (failure,) = run_cases([2], "units_of_work:leave", settings=str(tmp_path), workers=1, tries=1)
    assert failure.reason == "its process ended with code 7: the last word, 1 times"


def test_a_unit_that_raises_fails_at_once_and_in_one_line(tmp_path: Path) -> None:
    failed = run_cases(range(4), "units_of_work:refuse", settings=str(tmp_path), workers=2)
    assert [f.unit for f in failed] == [1, 3]
    assert failed[0].reason == "unit 1 is odd; wanted an even one"
    assert set(done(tmp_path)) == {0, 2}


def test_a_unit_without_memory_is_tried_again(tmp_path: Path) -> None:
    assert run_cases(range(2), "units_of_work:no_memory", settings=str(tmp_path), workers=1) == ()
    assert set(done(tmp_path)) == {0, 1}


def test_a_full_disk_ends_the_run_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no space left"):
        run_cases(range(50), "units_of_work:full_disk", settings=str(tmp_path), workers=1)
    assert set(done(tmp_path)) == {0, 1, 2}


def test_what_the_work_prints_is_no_answer(tmp_path: Path) -> None:
    heard: list[int] = []
    run_cases(range(2), "units_of_work:noisy", settings=str(tmp_path), workers=1, on_done=heard.append)
    assert heard == [0, 1]


@pytest.mark.parametrize(
    ("work", "words"),
    [("units_of_work:nothing", "wanted the name of a function"), ("units_of_work", "wanted the name")],
)
def test_work_that_is_not_there_is_refused(work: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        run_cases([1], work)


def test_an_error_in_on_done_stops_the_workers(tmp_path: Path) -> None:
    def stop(unit: int) -> None:
        raise RuntimeError("enough")

    before = threading.active_count()
    with pytest.raises(RuntimeError, match="enough"):
        run_cases(range(100), "units_of_work:write", settings=str(tmp_path), workers=2, on_done=stop)
    assert len(done(tmp_path)) < 20
    assert threading.active_count() == before


def wait_for(paths: list[Path]) -> None:
    end = time.monotonic() + 20
    while not all(path.exists() for path in paths):
        assert time.monotonic() < end, "the workers did not begin"
        time.sleep(0.02)


def parent(folder: Path) -> "subprocess.Popen[bytes]":
    """Two slow units in two workers; SIGTERM and SIGINT raise, even where the process was started with SIGINT ignored."""
    code = (
        "import signal, sys; from spondyl.executors import run_cases\n"
        "def stop(n, f): raise KeyboardInterrupt\n"
        "signal.signal(signal.SIGTERM, stop); signal.signal(signal.SIGINT, stop)\n"
        f"run_cases(range(2), 'units_of_work:slow', settings={str(folder)!r}, workers=2)\n"
    )
    path = os.pathsep.join([str(ROOT / "src"), str(Path(units_of_work.__file__).parent)])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.DEVNULL)


def children_of(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children")
    if not text.exists():
        pytest.skip("this system does not list the children of a process")
    return [int(word) for word in text.read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_stopped_parent_leaves_no_worker_and_no_half_file(number: int, tmp_path: Path) -> None:
    process = parent(tmp_path)
    parts = [tmp_path / "0.part", tmp_path / "1.part"]
    wait_for(parts)
    workers = children_of(process.pid)
    assert len(workers) == 2
    process.send_signal(number)
    process.wait(20)
    end = time.monotonic() + 20
    while any(Path(f"/proc/{pid}/cmdline").is_file() and Path(f"/proc/{pid}/cmdline").read_bytes() for pid in workers):
        assert time.monotonic() < end, "a worker outlived its parent"
        time.sleep(0.02)
    assert not any(part.exists() for part in parts)


def test_the_number_of_workers_follows_memory_cores_and_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "free_memory_gb", lambda: 5.0)
    monkeypatch.setattr(local.os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert choose_workers(100, 1.0) == 5
    assert choose_workers(3, 1.0) == 3
    assert choose_workers(100, 0.1) == 8
    assert choose_workers(100, 50.0) == 1
