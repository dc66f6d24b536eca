"""Trainings of a toy as a program, alone or under torchrun: python toy_run.py NAME STEPS [slow] OUT[+resume][+stop=INDEX] ..."""

import os
import signal
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[2] / "src")]

from toy_systems import TOYS, toy_pair, toy_training  # noqa: E402

from spondyl.pairs import Pair  # noqa: E402
from spondyl.train import Cases, build, train  # noqa: E402


def one(name: str, steps: int, slow: bool, out: str, *words: str) -> int:
    """One training; returns the signal that stopped it."""
    stop = next((int(word[5:]) for word in words if word.startswith("stop=")), -1)

    def pair(index: int) -> Pair:
        if index == stop:
            os.kill(os.getpid(), signal.SIGTERM)
        if slow:
            time.sleep(0.03)
        return toy_pair(index)

    # other processes begin with other weights, and must get those of the first
    system = build(TOYS[name], TOYS[name].Config(), seed=1 + int(os.environ.get("RANK", "0")))
    settings = toy_training(steps, save_every=3)
    done = train(system, Cases(pair, 10, "toys"), Path(out), settings=settings, resume="resume" in words, device="cpu")
    print(done.why, done.step, flush=True)
    return done.signal


def main() -> int:
    name, steps, *runs = sys.argv[1:]
    slow = runs[0] == "slow"
    signals = [one(name, int(steps), slow, *run.split("+")) for run in runs[slow:]]
    return 128 + signals[-1] if signals[-1] else 0


if __name__ == "__main__":
    sys.exit(main())
