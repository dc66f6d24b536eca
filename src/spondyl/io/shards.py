"""A cohort on disk: tar files of many cases, a JSON index beside each, and a reader that goes straight to any case.

    DIR/cohort.json                      what the cohort is
    DIR/manifest.jsonl                   one line a case, see `case_record`
    DIR/shards/cases-000000-000015.tar   members 000000/pa.npy, 000000/pa.json, 000000/spine.json, ..., 000000/case.json
    DIR/shards/cases-000000-000015.json  where each member lies, how long it is, and its SHA-256

The tar files are plain: any tar program opens them. The reader needs no more than an offset and `os.pread`, so it can be
shared by threads and by forked processes.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from spondyl.io.case_record import CaseRecord, Split, record_of
from spondyl.io.image_members import image_of
from spondyl.io.json_line import Fields, json_object
from spondyl.io.outfile import output_file
from spondyl.io.spine_json import spine_of_bytes
from spondyl.io.tar import END, Member, member_bytes, members_of, read_at
from spondyl.pairs import Image
from spondyl.spine import SpineCurve

FORMAT = 1
SHARDS, MANIFEST = "shards", "manifest.jsonl"
CASE, SPINE, LANDMARKS = "case.json", "spine.json", "landmarks.json"
NOT_IMAGES = frozenset({CASE, SPINE, LANDMARKS})


@dataclass(frozen=True)
class Stored:
    """Where one member of a case lies in its tar file, and the SHA-256 of its bytes in hex."""

    offset: int
    size: int
    sha256: str


@dataclass(frozen=True)
class Shard:
    """One tar file and its index: id -> file name -> place."""

    tar: Path
    size: int
    sha256: str
    cases: Mapping[int, Mapping[str, Stored]]


def shard_name(first: int, last: int) -> str:
    """The name of the shard of the cases from `first` to `last`, without suffix."""
    return f"cases-{first:06d}-{last:06d}"


def write_part(path: Path, case_id: int, members: Mapping[str, bytes]) -> None:
    """One case as a piece of a tar file, whole or not at all. `members` must hold case.json; it goes last.

    Raises:
        OSError: in one sentence, where the file cannot be written.
    """
    with output_file(path) as part, part.open("wb") as file:
        for name in sorted(members, key=lambda name: (name == CASE, name)):
            file.write(member_bytes(f"{case_id:06d}/{name}", members[name]))


def is_whole_part(path: Path, case_id: int) -> bool:
    """Whether a piece is there and complete: it is not after a crash of the machine, where the disk lost its end."""
    try:
        members = _members(path)
    except (OSError, ValueError):
        return False
    return bool(members) and members[-1].name == f"{case_id:06d}/{CASE}"


def assemble(parts: Mapping[int, Path], tar: Path) -> None:
    """The shard of some cases in the order of their ids, and then its index: where that is there, the shard is whole."""
    whole, offset = hashlib.sha256(), 0
    cases: list[dict[str, object]] = []
    with output_file(tar) as part, part.open("wb") as file:
        for case_id in sorted(parts):
            members, content = _members(parts[case_id]), parts[case_id].read_bytes()
            places = {
                m.name.split("/", 1)[1]: [offset + m.offset, m.size, _sha(content[m.offset : m.offset + m.size])]
                for m in members
            }
            cases.append({"id": case_id, "members": places})
            for piece in (content,) if case_id != max(parts) else (content, END):
                whole.update(piece)
                offset += file.write(piece)
    lines = ",\n".join(json.dumps(case, sort_keys=True, separators=(",", ":")) for case in cases)
    head = json.dumps({"format": FORMAT, "tar": tar.name, "size": offset, "sha256": whole.hexdigest()}, sort_keys=True)
    with output_file(tar.with_suffix(".json")) as part:
        part.write_text(f'{head[:-1]}, "cases": [\n{lines}\n]}}\n', encoding="ascii")


def read_shard(index: Path) -> Shard:
    """The shard of an index file; the tar file itself is not touched.

    Raises:
        ValueError: where the index is damaged or of another format.
        OSError: where it cannot be read.
    """
    f = Fields(json_object(index.read_bytes(), index.name), index.name)
    if f.whole("format") != FORMAT:
        raise ValueError(f"{index.name} is of format {f.whole('format')}; this version reads {FORMAT}")
    cases = {case.whole("id"): _places(case.inner("members")) for case in f.inners("cases")}
    return Shard(index.with_name(Path(f.text("tar")).name), f.whole("size"), f.text("sha256"), cases)


class Cohort:
    """A cohort to read: any case by its id, or all cases of a split in order.

    Args:
        folder: made by `spondyl simulate`, or by anything that writes the same files.

    Raises:
        ValueError: where the folder holds no finished cohort, or an id twice.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        indices = sorted((folder / SHARDS).glob("cases-*.json"))
        if not indices:
            raise ValueError(
                f"{folder} holds no shards of a cohort; make one with spondyl simulate, or name another folder"
            )
        self.shards = tuple(read_shard(index) for index in indices)
        self._shard_of = {case_id: shard for shard in self.shards for case_id in shard.cases}
        if len(self._shard_of) < sum(len(shard.cases) for shard in self.shards):
            raise ValueError(f"{folder} holds a case twice; see: spondyl validate {folder}")
        self.ids: tuple[int, ...] = tuple(sorted(self._shard_of))

    def __len__(self) -> int:
        return len(self.ids)

    def case(self, case_id: int) -> "StoredCase":
        """One case by its id; nothing is read before its parts are asked for.

        Raises:
            ValueError: for an id that the cohort does not hold.
        """
        if case_id not in self._shard_of:
            raise ValueError(f"case {case_id} is not in {self.folder}; wanted one of {self.ids[0]} to {self.ids[-1]}")
        shard = self._shard_of[case_id]
        return StoredCase(case_id, shard.tar, shard.cases[case_id])

    def iterate(
        self, *, split: Split | None = None, shape_split: Split | None = None, modalities: tuple[str, ...] = ()
    ) -> Iterator["StoredCase"]:
        """The cases of a split in the order of their ids, those alone that hold all the modalities named."""
        for record in self.records:
            case = self.case(record.id)
            wanted = split in (None, record.split) and shape_split in (None, record.shape_split)
            if wanted and set(modalities) <= set(case.modalities):
                yield case

    @cached_property
    def records(self) -> tuple[CaseRecord, ...]:
        """The manifest, in the order of the ids.

        Raises:
            ValueError: where there is none: the cohort is not finished.
        """
        path = self.folder / MANIFEST
        if not path.is_file():
            raise ValueError(
                f"{self.folder} has no {MANIFEST}: it is not finished; run the same spondyl simulate again"
            )
        lines = path.read_bytes().splitlines()
        found = [record_of(line, f"{MANIFEST} line {i}") for i, line in enumerate(lines, start=1)]
        return tuple(sorted(found, key=lambda record: record.id))


@dataclass(frozen=True)
class StoredCase:
    """One case on disk: its record, its exact spine and its images, each read when it is asked for."""

    id: int
    tar: Path
    members: Mapping[str, Stored]

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the images that are there."""
        return tuple(
            sorted(n.removesuffix(".json") for n in self.members if n.endswith(".json") and n not in NOT_IMAGES)
        )

    @property
    def record(self) -> CaseRecord:
        """What is known of the case."""
        return record_of(self.content(CASE), f"{CASE} of case {self.id}")

    @property
    def spine(self) -> SpineCurve:
        """The exact spine."""
        return spine_of_bytes(self.content(SPINE), f"{SPINE} of case {self.id}")

    def image(self, modality: str) -> Image:
        """One image as its word.

        Raises:
            ValueError: where the case has no such image, or it is damaged.
        """
        if modality not in self.modalities:
            raise ValueError(f"case {self.id} has no {modality!r}; it has {', '.join(self.modalities) or 'no image'}")
        return image_of(modality, self.content, frozenset(self.members))

    def content(self, name: str) -> bytes:
        """The bytes of one member.

        Raises:
            ValueError: for an unknown name, or where the tar file is cut off.
            OSError: where it cannot be read.
        """
        if name not in self.members:
            raise ValueError(f"case {self.id} has no {name}; it has {', '.join(sorted(self.members))}")
        place = self.members[name]
        handle = os.open(self.tar, os.O_RDONLY)
        try:
            content = read_at(handle, place.offset, place.size)
        finally:
            os.close(handle)
        if len(content) < place.size:
            raise ValueError(f"{self.tar.name} ends inside {name} of case {self.id}; it is cut off; make it again")
        return content


def _members(path: Path) -> list[Member]:
    with path.open("rb") as file:
        return list(members_of(file.fileno(), os.fstat(file.fileno()).st_size))


def _places(f: Fields) -> dict[str, Stored]:
    places = {}
    for name in f.raw:
        parts = f.things(name)
        if (
            len(parts) != 3
            or not all(isinstance(p, int) and p >= 0 for p in parts[:2])
            or not isinstance(parts[2], str)
        ):
            raise ValueError(f"{f.name}: {name} is {parts}; wanted offset, size and SHA-256")
        places[name] = Stored(int(str(parts[0])), int(str(parts[1])), parts[2])
    return places


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
