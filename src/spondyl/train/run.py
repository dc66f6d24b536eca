"""The folder of a run: events, checkpoints, pictures, the page, and the system to use. Only the first process has one."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spondyl.pairs import Pair
from spondyl.progress import Progress
from spondyl.system import BatchT
from spondyl.train.checkpoint import save
from spondyl.train.events import Event, Log
from spondyl.train.learner import Learner
from spondyl.train.pace import Clock
from spondyl.train.page import About, write_page
from spondyl.train.pictures import Row, rows
from spondyl.train.record import flat

PAGE_S = 5.0  # the page is not written more often


@dataclass
class Run:
    """What is written while a system learns.

    Args:
        folder: of the run.
        record: the settings of the run as JSON, see `record`.
        about: what the page says from the first to the last step.
        held_out: cases of the pictures and the second loss curve.
    """

    folder: Path
    record: str
    about: About
    held_out: Sequence[Pair]
    clock: Clock
    progress: Progress
    _rows: list[Row] = field(default_factory=list)
    _pictures_step: int = -1
    saved_step: int = -1  # of the newest checkpoint; where the run began, before there is one
    _page_written: float = 0.0

    def begin(self, learner: Learner[BatchT], notes: Sequence[str]) -> None:
        """Open the log with what there is to say."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._log = Log(self.folder)
        self.saved_step = learner.step
        self._log.add(Event("start", learner.step, text=f"begins at step {learner.step} on {self.about.device}"))
        for note in notes:
            self._log.add(Event("note", learner.step, text=note))
        self.progress.plan(max(1, -(-(self.about.steps - learner.step) // learner.settings.log_every)))
        self.page()

    def tell(self, step: int, means: dict[str, float]) -> None:
        """Report the steps since the last report."""
        if not means:
            return
        self._log.add(Event("steps", step, means))
        losses = ", ".join(f"{name[5:]} {value:.4g}" for name, value in means.items() if name.startswith("loss/"))
        self.progress.step(f"step {step} of {self.about.steps}: loss {losses}; {means['cases_per_s']:.3g} cases/s")
        if time.monotonic() - self._page_written > PAGE_S:
            self.page()

    def look(self, learner: Learner[BatchT]) -> None:
        """Make the pictures and the losses of the held-out cases."""
        if not self.held_out or self._pictures_step == learner.step:
            return
        self._log.add(Event("held_out", learner.step, learner.held_out(self.held_out)))
        try:
            self._rows = rows(learner.result, self.held_out, seed=learner.settings.seed)
        except ValueError as error:  # a young net may answer with what is no image yet
            self._log.add(Event("note", learner.step, text=f"no pictures: {error}"))
        self._pictures_step = learner.step
        self.page()

    def save(self, learner: Learner[BatchT]) -> None:
        """Write a checkpoint and the system as it is now; nothing where that was done at this step."""
        if self.saved_step == learner.step:
            return
        record = save(
            self.folder,
            learner.state(),
            learner.step,
            processes=learner.processes.count,
            seconds=self.clock.seconds,
            settings=self.record,
        )
        learner.result.save_pretrained(self.folder, card=self._card(learner.step))
        self.saved_step = learner.step
        self._log.add(Event("checkpoint", learner.step, text=f"sha256 {record.sha256}"))
        self.clock.saved()
        self.page()

    def end(self, step: int, words: str) -> None:
        """Close the log: why the run ends."""
        self._log.add(Event("end", step, text=words))
        self.page()

    def page(self) -> None:
        """Write the page."""
        write_page(self.folder, self.about, self._rows, pictures_step=self._pictures_step, left_s=self.clock.left_s)
        self._page_written = time.monotonic()

    def _card(self, step: int) -> str:
        rows = "\n".join(f"| {name} | {value} |" for name, value in flat(self.record).items())
        return (
            f"Trained for {step} of {self.about.steps} steps on {self.about.data}. It has not been evaluated: "
            f"see `spondyl evaluate`.\n\n| setting | value |\n|---|---|\n{rows}\n"
        )


def about(learner: Learner[BatchT], record: str, memory: str) -> About:
    """What the page says from the first to the last step."""
    content = json.loads(record)
    settings = learner.settings
    count = learner.processes.count
    device = learner.processes.device
    return About(
        system=learner.system.name,
        data=content["data"]["name"],
        steps=settings.steps,
        cases_a_step=settings.batch * settings.accumulate * count,
        count=content["data"]["count"],
        device=f"{device}" if count == 1 else f"{count} x {device.type}",
        memory=memory,
        settings=tuple(flat(record).items()),
    )
