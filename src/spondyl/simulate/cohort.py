"""The verb: a whole cohort in a folder, in pieces that survive being stopped.

    cohort.json       the plan, first
    parts/000012.tar  a case that is done and waits for the others of its shard
    shards/           the shards that are whole, each with its index
    manifest.jsonl, participants.tsv, index.html   last, when every shard is there

Every file is written under another name and renamed. So whatever stops a run, the same command goes on where it was, and
the folder in the end is byte for byte what an undisturbed run makes.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from spondyl.io.manifest import manifest_bytes, participants_bytes
from spondyl.io.outfile import output_file, saying_where
from spondyl.io.shards import MANIFEST, SHARDS, Cohort, assemble, is_whole_part, read_shard, shard_name
from spondyl.progress import Progress, Silent
from spondyl.sim.make import sensor_named
from spondyl.simulate.case import PARTS, make_part, part_path
from spondyl.simulate.page import PAGE, cohort_page
from spondyl.simulate.plan import Job, plan_of
from spondyl.simulate.scan import scan_notes

COHORT, PARTICIPANTS = "cohort.json", "participants.tsv"
WORK = "spondyl.simulate.case:make_part"


@runtime_checkable
class Failed(Protocol):
    """A case that could not be made, and why."""

    @property
    def unit(self) -> int:
        """The id of the case."""
        ...

    @property
    def reason(self) -> str:
        """One line."""
        ...


@runtime_checkable
class Runner(Protocol):
    """What does the units of work: an executor, with its number of workers and their memory already chosen."""

    def __call__(
        self, ids: Sequence[int], work: str, *, settings: str, on_done: Callable[[int], None]
    ) -> Sequence[Failed]:
        """Call the function that `work` names with each id and `settings`; report each that is done and all that failed."""
        ...


@dataclass(frozen=True)
class Made:
    """What `simulate` did: cases in the cohort, those of them made now, those that failed, and notes about the scan."""

    cases: int
    new: int
    failed: tuple[Failed, ...]
    notes: tuple[str, ...] = ()


def simulate(job: Job, *, run: Runner | None = None, work: str = WORK, progress: Progress | None = None) -> Made:
    """Make a cohort, or go on with one that was stopped.

    Args:
        job: what, and where. The folder is made if it is not there.
        run: does the units of work; None makes one case after another in this process.
        work: the unit of work, see `case.make_part`.

    Raises:
        ValueError: for a modality that is not installed, a folder that holds another cohort, or one that is being written.
        OSError: where something cannot be written; what is finished stays for the next run.
    """
    progress = progress or Silent()
    for modality in job.plan.modalities:
        sensor_named(modality)
    notes = () if job.scan is None else scan_notes(job.scan)
    with _alone(job.out):
        _begin(job)
        todo = {ids: _missing(job, ids) for ids in job.plan.shards()}
        for ids, wanted in todo.items():
            if not wanted:  # a run may have been stopped between a shard's last case and the shard
                _close_shard(job, ids)
        missing = [case_id for wanted in todo.values() for case_id in sorted(wanted)]
        progress.plan(len(missing) + 1)

        def on_done(case_id: int) -> None:
            progress.step(f"case {case_id} made")
            ids = job.plan.shard_of(case_id)
            todo[ids].discard(case_id)
            if not todo[ids]:
                _close_shard(job, ids)

        failed = tuple((run or in_this_process)(missing, work, settings=job.settings(), on_done=on_done))
        if not failed:
            progress.step("write the manifest and the page")
            _finish(job)
    return Made(job.plan.count, len(missing) - len(failed), failed, notes)


def in_this_process(
    ids: Sequence[int], work: str, *, settings: str, on_done: Callable[[int], None]
) -> tuple[Failed, ...]:
    """The simplest runner. The first case that cannot be made ends it, with the case's own error."""
    if work != WORK:
        raise ValueError(f"work is {work!r}; in this process only {WORK} is done; give a runner for another one")
    for case_id in ids:
        make_part(case_id, settings)
        on_done(case_id)
    return ()


def shard_path(out: Path, ids: range) -> Path:
    """The tar file of some cases."""
    return out / SHARDS / f"{shard_name(ids[0], ids[-1])}.tar"


def _begin(job: Job) -> None:
    """cohort.json, and a folder without what a killed run was writing."""
    path = job.out / COHORT
    if path.exists():
        difference = job.plan.difference(plan_of(path.read_bytes(), str(path)))
        if difference:
            raise ValueError(f"{job.out} holds another cohort: {difference}; name another folder with --out")
    else:
        with output_file(path) as part:
            part.write_text(job.plan.text(), encoding="ascii")
    for folder in (job.out, job.out / PARTS, job.out / SHARDS):
        for left in folder.glob(".*.part"):
            left.unlink()


def _is_closed(job: Job, ids: range) -> bool:
    tar = shard_path(job.out, ids)
    if not tar.with_suffix(".json").is_file() or not tar.is_file():
        return False
    try:
        return read_shard(tar.with_suffix(".json")).size == tar.stat().st_size
    except ValueError:
        return False


def _missing(job: Job, ids: range) -> set[int]:
    """The cases of a shard that are still to be made."""
    if _is_closed(job, ids):
        return set()
    return {case_id for case_id in ids if not is_whole_part(part_path(job.out, case_id), case_id)}


def _close_shard(job: Job, ids: range) -> None:
    """Make a shard of its cases, which are all there, and remove their pieces."""
    pieces = {case_id: part_path(job.out, case_id) for case_id in ids}
    if not _is_closed(job, ids):
        assemble(pieces, shard_path(job.out, ids))
    for path in pieces.values():
        path.unlink(missing_ok=True)


def _finish(job: Job) -> None:
    cohort = Cohort(job.out)
    records = [cohort.case(case_id).record for case_id in cohort.ids]
    for name, content in (
        (MANIFEST, manifest_bytes(records)),
        (PARTICIPANTS, participants_bytes(records)),
        (PAGE, cohort_page(job.plan, cohort, records).encode()),
    ):
        with output_file(job.out / name) as part:
            part.write_bytes(content)
    if (job.out / PARTS).is_dir():
        (job.out / PARTS).rmdir()


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """The folder, made where it is not there, and locked against a second run while the block lasts."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; wanted a folder for the cohort; name another one")
    with saying_where(out):
        out.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
        import os
    except ImportError:  # no locks on this system: two runs at once would only do work twice
        yield
        return
    handle = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"another run is writing {out}; wait for it, or name another folder") from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)
