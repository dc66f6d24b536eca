"""The verb: steps over players, and what happens between two steps.

    RUN/model.safetensors, config.json, card.md   the system (its averaged weights) as of the newest checkpoint
    RUN/checkpoints/                               the two newest, see `checkpoint`
    RUN/events.jsonl, RUN/index.html               see `events` and `page`

A step's outcome is a function of the state before it and of (seed, step, process). So a run that was stopped anywhere and resumed
from its newest checkpoint ends with the same bits as one that was not.
"""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from spondyl.pairs import Pair
from spondyl.progress import Progress, Silent
from spondyl.sim.seeds import seed_of
from spondyl.system import BatchT, Settings, System, Training
from spondyl.train.checkpoint import Found, has_checkpoints, newest
from spondyl.train.learner import Learner
from spondyl.train.loader import batches, moved
from spondyl.train.pace import Clock, Tally
from spondyl.train.preflight import check_fits, free_bytes, measure_need, sentence
from spondyl.train.processes import join
from spondyl.train.record import changes, repeatable, settings_text
from spondyl.train.run import Run, about
from spondyl.train.sampler import Cases
from spondyl.train.signals import Wishes, listening


@dataclass(frozen=True)
class Trained:
    """How a run ended: steps done and wanted, why, the signal that stopped it (else 0), and notes for the user."""

    step: int
    steps: int
    why: Literal["done", "time", "signal"]
    signal: int = 0
    notes: tuple[str, ...] = ()


def build(kind: type[System[BatchT]], config: Settings, *, seed: int) -> System[BatchT]:
    """A system whose first weights are a function of the seed; the global random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "weights"))
        return kind(config)


def train(
    system: System[BatchT],
    cases: Cases,
    out: Path,
    *,
    settings: Training,
    held_out: Sequence[Pair] = (),
    resume: bool = False,
    minutes: float | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Trained:
    """Train a system in a folder, as one of the processes that torchrun started, or alone.

    Args:
        system: as `build` makes it; its weights are changed.
        out: folder of the run; made if it is not there.
        held_out: cases that are not learnt from, for the pictures and a curve of the page.
        resume: go on from the newest whole checkpoint in `out`; begin where there is none.
        minutes: stop, with a checkpoint, before this much time has gone.
        device: "auto", "cpu", "cuda", "cuda:1".
        progress: told of every `log_every` steps, in the first process.

    Raises:
        ValueError: for settings that the system cannot have, a folder that holds another run, too little memory, a case that
            cannot be read, a loss that is not finite: one line; the checkpoints stay.
        OSError: where a file cannot be written.
    """
    if minutes is not None and not minutes > 0:
        raise ValueError(f"minutes is {minutes}; wanted more than 0")
    clock = Clock(minutes, settings.save_minutes)
    processes = join(device)
    if has_checkpoints(out) and not resume:
        raise ValueError(f"{out} holds a run; add --resume to go on with it, or name another folder")
    with repeatable(settings.deterministic), listening() as wishes:
        learner = Learner(system, settings, processes)
        memory = _preflight(learner, cases)
        found = newest(out) if resume else None
        record = settings_text(system, settings, cases, processes.count)
        notes = _notes(found, record, resume)
        if found is not None:
            learner.restore(found)
        processes.wait()  # until every process has read what the first one may soon remove
        run = Run(out, record, about(learner, record, memory), held_out, clock, progress or Silent())
        return _go(learner, cases, run if processes.first else None, clock, wishes, notes)


def _notes(found: Found | None, record: str, resume: bool) -> tuple[str, ...]:
    if found is None:
        return ("nothing to resume: begins at step 0",) if resume else ()
    return (*found.notes, *changes(found.record.settings, record))


def _preflight(learner: Learner[BatchT], cases: Cases) -> str:
    """Refuse what does not fit; else say in a few words what is needed."""
    device, settings = learner.processes.device, learner.settings
    first = learner.sampler(cases).indices(0)[0][0]
    one = moved(learner.system.collate([cases.pair(first)]), device)
    need = measure_need(learner.system, one, settings, device)
    sharing = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if device.type == "cpu" else 1
    now = free_bytes(device)
    free = None if now is None else now + sharing * need.held
    check_fits(need, settings.batch, free, sharing=sharing)
    return sentence(need, settings.batch, free)


def _go(
    learner: Learner[BatchT], cases: Cases, run: Run | None, clock: Clock, wishes: Wishes, notes: tuple[str, ...]
) -> Trained:
    """Begin, step, end; whatever ends the run is in its log."""
    if run is not None:
        run.begin(learner, notes)
    try:
        why, number = _steps(learner, cases, run, clock, wishes)
    except (ValueError, OSError, FloatingPointError) as error:
        line = str(error) if not isinstance(error, FloatingPointError) else f"{error}; {_advice(run)}"
        if run is not None:
            run.end(learner.step, line)
        raise (ValueError(line) if isinstance(error, FloatingPointError) else error) from error
    except BaseException as error:
        if run is not None:
            run.end(learner.step, f"ended by {type(error).__name__}")
        raise
    words = {"done": "done", "time": "stopped: the time is up", "signal": f"stopped by {_name(number)}"}[why]
    if run is not None:
        run.end(learner.step, words)
    return Trained(learner.step, learner.settings.steps, why, number, notes)


def _steps(
    learner: Learner[BatchT], cases: Cases, run: Run | None, clock: Clock, wishes: Wishes
) -> tuple[Literal["done", "time", "signal"], int]:
    """Steps until they are done or something asks for an end; every process ends after the same step."""
    settings, processes = learner.settings, learner.processes
    todo = range(learner.step, settings.steps)
    ready = batches(cases, learner.sampler(cases), learner.system.collate, steps=todo, workers=settings.workers)
    per_step = settings.batch * settings.accumulate * processes.count
    tally = Tally()
    for _ in todo:
        asked = time.monotonic()
        taken = next(ready)
        waited = time.monotonic() - asked
        tally.add(learner.learn(taken), cases=per_step, waited_s=waited)
        clock.stepped()
        done = learner.step
        last = done == settings.steps
        asked_to_save, wishes.save = wishes.save, False
        stop, save, late = processes.any(
            [
                wishes.stop != 0,
                asked_to_save or (processes.first and clock.save_due()),
                processes.first and clock.is_up() and not last,
            ]
        )
        if run is not None:
            begun = time.monotonic()
            told = done % settings.log_every == 0 or stop or late or last
            if told:
                run.tell(done, tally.means())
            if save or stop or late or last or done % settings.save_every == 0:
                run.save(learner)
            if last or late or (done % settings.picture_every == 0 and not stop):
                run.look(learner)
            if told:
                tally = Tally()
            else:
                tally.skip(time.monotonic() - begun)
        if stop and not last:
            return "signal", wishes.stop or int(signal.SIGTERM)
        if late:
            return "time", 0
    return "done", 0


def _advice(run: Run | None) -> str:
    kept = (
        "no checkpoint was written yet"
        if run is None or run.saved_step <= 0
        else f"the checkpoint of step {run.saved_step} is whole"
    )
    return f"{kept}; try a smaller train.optim.lr"


def _name(number: int) -> str:
    return signal.Signals(number).name if number else ""
