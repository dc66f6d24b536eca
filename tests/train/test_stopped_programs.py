"""Training programs that are killed, alone and as two processes, and end with the bits of undisturbed ones."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from toy_systems import ToyGan, toy_cases, toy_training

from spondyl.train import build, train
from spondyl.train.checkpoint import newest

HERE = Path(__file__).parent
STEPS = 10
# sums over threads run in another order with another number of them
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}


def command(*words: str, processes: int = 1) -> list[str]:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    return [sys.executable, *launcher, str(HERE / "toy_run.py"), "toy_gan", str(STEPS), *words]


def here(out: Path, *, resume: bool = False) -> None:
    """The same training in this process."""
    settings = toy_training(STEPS, save_every=3)
    train(build(ToyGan, ToyGan.Config(), seed=1), toy_cases(), out, settings=settings, resume=resume, device="cpu")


def step_of(out: Path) -> int:
    found = newest(out)
    return 0 if found is None else found.record.step


def end_of(out: Path) -> str:
    found = newest(out)
    assert found is not None
    assert found.record.step == STEPS
    return found.record.sha256


def ended_by(number: signal.Signals, out: Path, *words: str) -> tuple[int, bytes]:
    """Exit code and words of a program that gets a signal as soon as it has written another checkpoint."""
    before = step_of(out)
    begun = subprocess.Popen(command("slow", *words), env=ENVIRONMENT, stdout=subprocess.PIPE)
    deadline = time.monotonic() + 90
    while step_of(out) == before and begun.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    begun.send_signal(number)
    said, _ = begun.communicate(timeout=60)
    return begun.returncode, said


@pytest.mark.slow
def test_a_program_killed_at_any_moment_resumes_with_the_same_bits(tmp_path: Path) -> None:
    out = tmp_path / "b"
    assert ended_by(signal.SIGKILL, out, str(out)) == (-signal.SIGKILL, b"")
    assert 3 <= step_of(out) < STEPS
    code, said = ended_by(signal.SIGTERM, out, f"{out}+resume")
    assert (code, said) == (128 + signal.SIGTERM, f"signal {step_of(out)}\n".encode())
    here(out, resume=True)
    here(tmp_path / "a")
    assert end_of(out) == end_of(tmp_path / "a")


@pytest.mark.slow
def test_two_processes_stop_together_and_resume_with_the_same_bits(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"

    def lines(*words: str) -> list[str]:
        done = subprocess.run(
            command(*words, processes=2), capture_output=True, text=True, timeout=150, env=ENVIRONMENT, check=False
        )
        assert done.stdout, done.stderr
        return sorted(done.stdout.splitlines())

    # case 5 falls to one of the two processes; the signal reaches that one alone
    said = lines(str(a), f"{b}+stop=5")
    assert 0 < step_of(b) < STEPS
    assert said == [*[f"done {STEPS}"] * 2, *[f"signal {step_of(b)}"] * 2]
    assert lines(f"{b}+resume") == [f"done {STEPS}"] * 2
    assert end_of(b) == end_of(a)
    here(tmp_path / "alone")
    assert end_of(tmp_path / "alone") != end_of(a)
