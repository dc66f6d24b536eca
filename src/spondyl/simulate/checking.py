"""Check a cohort on disk, a user's own too: each fault in one line, with what to do.

Asked in this order, so that one broken file is named once: are the files there, do index and tar file agree, are the bytes the
ones that were written; then, for what can be read, do the tables agree with the cases, do numbers lie in their ranges, and
do the recorded truths follow from the spine. A folder without cohort.json is checked as far as it says what it is.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from spondyl.io.case_record import CaseRecord, record_of
from spondyl.io.manifest import manifest_bytes, participants_bytes
from spondyl.io.shards import CASE, MANIFEST, SHARDS, Shard, StoredCase, read_shard
from spondyl.io.tar import members_of, read_at
from spondyl.progress import Progress, Silent
from spondyl.simulate.case import PARTS, case_seed, patient_name, shape_split_of, split_of
from spondyl.simulate.checking_case import case_faults
from spondyl.simulate.cohort import COHORT, PARTICIPANTS
from spondyl.simulate.page import PAGE
from spondyl.simulate.plan import Plan, plan_of

AGAIN = "run the same spondyl simulate again"
MOST_NAMED = 8  # ids in one line


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: the file or case, and one sentence."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True)
class Checked:
    """What was looked at: cases that could be read, their files, and every fault."""

    cases: int
    files: int
    faults: tuple[Fault, ...]


def validate_cohort(folder: Path, *, progress: Progress | None = None) -> Checked:
    """Read every byte of a cohort and say what is wrong with it.

    Raises:
        ValueError: where the folder does not exist.
        OSError: where a file cannot be read.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; wanted one that spondyl simulate made")
    progress = progress or Silent()
    faults: list[Fault] = []
    plan = _plan(folder, faults)
    indices = sorted((folder / SHARDS).glob("cases-*.json"))
    progress.plan(len(indices) + 1)
    faults += _stray_faults(folder, indices)
    records: dict[int, CaseRecord] = {}
    seen: dict[int, str] = {}
    files = 0
    for index in indices:
        progress.step(index.stem)
        shard, broken = _shard(index, faults)
        if shard is None:
            continue
        for case_id, members in shard.cases.items():
            if case_id in seen:
                faults.append(Fault(index.name, f"case {case_id} is also in {seen[case_id]}; keep one of them"))
            seen[case_id] = index.name
            files += len(members)
            if case_id not in broken:
                record = _case(StoredCase(case_id, shard.tar, members), plan, faults)
                records |= {} if record is None else {case_id: record}
    progress.step("the tables")
    faults += _id_faults(folder, plan, set(seen))
    faults += _table_faults(folder, plan, records, whole=set(records) == set(seen))
    faults += _leaks(records)
    return Checked(len(records), files, tuple(faults))


def _plan(folder: Path, faults: list[Fault]) -> Plan | None:
    path = folder / COHORT
    if not path.is_file():
        return None
    try:
        return plan_of(path.read_bytes(), COHORT)
    except ValueError as error:
        faults.append(Fault(COHORT, f"{error}; nothing that depends on it is checked"))
        return None


def _stray_faults(folder: Path, indices: list[Path]) -> Iterator[Fault]:
    if not indices:
        yield Fault(str(folder), f"holds no shard ({SHARDS}/cases-*.json); if it was stopped, {AGAIN}")
    for tar in sorted((folder / SHARDS).glob("*.tar")):
        if tar.with_suffix(".json") not in indices:
            yield Fault(tar.name, f"has no index beside it, so it is not finished; {AGAIN}")
    if (folder / PARTS).is_dir():
        yield Fault(PARTS, f"is there, so the cohort is not finished; {AGAIN}")
    for left in sorted([*folder.glob(".*.part"), *(folder / SHARDS).glob(".*.part")]):
        yield Fault(left.name, "is half of a file that a killed run left; remove it")


def _shard(index: Path, faults: list[Fault]) -> tuple[Shard | None, set[int]]:
    """The shard, None where it cannot be used, and the cases whose bytes are not to be trusted."""
    try:
        shard = read_shard(index)
    except ValueError as error:
        faults.append(Fault(index.name, f"{error}; remove it and its tar file, then {AGAIN}"))
        return None, set()
    if not shard.tar.is_file():
        faults.append(Fault(index.name, f"{shard.tar.name} is not there; remove the index, then {AGAIN}"))
        return None, set()
    size = shard.tar.stat().st_size
    if size != shard.size:
        faults.append(Fault(shard.tar.name, f"is {size} bytes, its index says {shard.size}; it was cut off or changed"))
    found = list(_byte_faults(shard, size))
    faults += [fault for fault, _ in found]
    return shard, {case_id for _, ids in found for case_id in ids}


def _byte_faults(shard: Shard, size: int) -> Iterator[tuple[Fault, set[int]]]:
    """Differences between index and tar file, each with the cases that it spoils."""
    wanted = {
        f"{case_id:06d}/{name}": (place, case_id) for case_id, m in shard.cases.items() for name, place in m.items()
    }
    whole, faulty, end = hashlib.sha256(), False, 0
    with shard.tar.open("rb") as file:
        handle = file.fileno()
        try:
            for member in members_of(handle, size):
                block = read_at(handle, end, member.end - end)
                whole.update(block)
                content = block[member.offset - end :][: member.size]
                end = member.end
                place, case_id = wanted.pop(member.name, (None, -1))
                if place is None:
                    fault = f"holds {member.name}, which its index does not name; the index is not of this file"
                elif (place.offset, place.size) != (member.offset, member.size):
                    fault = f"{member.name} lies elsewhere than its index says; the index is not of this file"
                elif place.sha256 != hashlib.sha256(content).hexdigest():
                    fault = (
                        f"{member.name} is not what was written (SHA-256 differs); copy the file again or make it again"
                    )
                else:
                    continue
                faulty = True
                yield Fault(shard.tar.name, fault), {case_id}
            whole.update(read_at(handle, end, size - end))
        except ValueError as error:
            faulty = True
            yield Fault(shard.tar.name, f"{error}; copy the file again or make it again"), set()
    if wanted:
        names = sorted(wanted)
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield Fault(shard.tar.name, f"lacks {names[0]}{more}, which its index names"), {i for _, i in wanted.values()}
    elif not faulty and whole.hexdigest() != shard.sha256:
        yield Fault(shard.tar.name, "has another SHA-256 than its index says, though every member is whole"), set()


def _case(case: StoredCase, plan: Plan | None, faults: list[Fault]) -> CaseRecord | None:
    where = f"case {case.id}"
    try:
        record = case.record
    except ValueError as error:
        faults.append(Fault(where, str(error)))
        return None
    faults += [Fault(where, what) for what in case_faults(case, record)]
    if record.id != case.id:
        faults.append(Fault(where, f"its record is of case {record.id}; the index names the wrong one"))
    if plan is not None:
        faults += [Fault(where, what) for what in _plan_faults(plan, record)]
    return record


def _plan_faults(plan: Plan, record: CaseRecord) -> Iterator[str]:
    name = patient_name(plan, record.id)
    wanted = {
        "config": plan.config,
        "seed": case_seed(plan.seed, record.id),
        "patient": name,
        "split": split_of(name),
        "shape_split": shape_split_of(name, record.shape_regions),
    }
    for key, value in wanted.items():
        if getattr(record, key) != value:
            yield f"{key} is {getattr(record, key)}, {COHORT} makes it {value}; it is of another cohort"
    if set(record.sensors) != set(plan.modalities):
        yield f"has {', '.join(sorted(record.sensors))}, {COHORT} wants {', '.join(plan.modalities)}"


def _id_faults(folder: Path, plan: Plan | None, ids: set[int]) -> Iterator[Fault]:
    wanted = set(range(plan.count)) if plan is not None else set()
    if wanted - ids:
        yield Fault(str(folder), f"lacks {_named(wanted - ids)}; {AGAIN}")
    if plan is not None and ids - wanted:
        yield Fault(str(folder), f"holds {_named(ids - wanted)}, which {COHORT} does not count")


def _table_faults(folder: Path, plan: Plan | None, records: dict[int, CaseRecord], whole: bool) -> Iterator[Fault]:
    path = folder / MANIFEST
    if not path.is_file():
        yield Fault(MANIFEST, f"is not there; {AGAIN}")
        return
    listed: dict[int, bytes] = {}
    for i, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
        try:
            record = record_of(line, f"line {i}")
        except ValueError as error:
            yield Fault(MANIFEST, str(error))
            continue
        if record.id in listed:
            yield Fault(MANIFEST, f"line {i} is of case {record.id}, which has a line already")
        listed[record.id] = line
    if whole and set(records) - set(listed):
        yield Fault(MANIFEST, f"has no line for {_named(set(records) - set(listed))}; {AGAIN}")
    if whole and set(listed) - set(records):
        yield Fault(MANIFEST, f"has a line for {_named(set(listed) - set(records))}, which no shard holds")
    differing = {i for i in set(listed) & set(records) if record_of(listed[i], MANIFEST) != records[i]}
    if differing:
        yield Fault(MANIFEST, f"differs from {CASE} of {_named(differing)}; {AGAIN}")
    elif plan is not None and whole and path.read_bytes() == manifest_bytes(records.values()):
        yield from _other_tables(folder, records)


def _other_tables(folder: Path, records: dict[int, CaseRecord]) -> Iterator[Fault]:
    table = folder / PARTICIPANTS
    if not table.is_file() or table.read_bytes() != participants_bytes(records.values()):
        yield Fault(PARTICIPANTS, f"{'is not there' if not table.is_file() else 'differs from the manifest'}; {AGAIN}")
    if not (folder / PAGE).is_file():
        yield Fault(PAGE, f"is not there; {AGAIN}")


def _leaks(records: dict[int, CaseRecord]) -> Iterator[Fault]:
    """The same person in two splits: what is learned of it is then tested on it."""
    splits: dict[str, set[str]] = defaultdict(set)
    for record in records.values():
        splits[record.patient].add(record.split)
    for patient, found in sorted(splits.items()):
        if len(found) > 1:
            yield Fault(
                f"patient {patient}", f"is in the splits {', '.join(sorted(found))}; put all its cases into one"
            )


def _named(ids: set[int]) -> str:
    few = ", ".join(str(i) for i in sorted(ids)[:MOST_NAMED])
    return f"case{'s' * (len(ids) > 1)} {few}{f' and {len(ids) - MOST_NAMED} more' if len(ids) > MOST_NAMED else ''}"
