"""Uncompressed tar whose bytes depend on its members alone, written here and read with plain offsets.

POSIX.1-1988 (ustar) headers with no owner and no time, so that the same members make the same file on any day. The reader
knows such members only; it opens no links and writes no files, so a foreign archive can do no harm.
"""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

BLOCK = 512
END = bytes(2 * BLOCK)
REGULAR = (b"0", b"\0")


@dataclass(frozen=True)
class Member:
    """Where the bytes of one member lie in the file."""

    name: str
    offset: int
    size: int

    @property
    def end(self) -> int:
        """The first byte after the member and its padding."""
        return self.offset + padded(self.size)


def padded(size: int) -> int:
    """A size rounded up to whole blocks."""
    return -(-size // BLOCK) * BLOCK


def member_bytes(name: str, content: bytes) -> bytes:
    """Header, content and padding of one member.

    Raises:
        ValueError: for a name that the format cannot hold in 100 ASCII characters.
    """
    if not (0 < len(name) <= 100 and name.isascii()):
        raise ValueError(f"member name is {name!r}; wanted 1 to 100 ASCII characters")
    info = tarfile.TarInfo(name)
    info.size = len(content)
    header = info.tobuf(tarfile.USTAR_FORMAT)
    return header + content + bytes(padded(len(content)) - len(content))


def members_of(handle: int, size: int) -> Iterator[Member]:
    """Every member of an open file of `size` bytes, in order, up to the end mark or the end of the file.

    Raises:
        ValueError: where the file is cut off or damaged, or holds anything but plain files.
    """
    at = 0
    while at < size:
        header = os.pread(handle, BLOCK, at)
        if not header.strip(b"\0"):
            return
        member = _member(header, at)
        if member.end > size:
            raise ValueError(f"{member.name} is cut off at byte {size}")
        yield member
        at = member.end


def read_at(handle: int, offset: int, size: int) -> bytes:
    """`size` bytes from an offset, fewer where the file ends; in as many reads as the system wants (Linux: 2 GB each)."""
    pieces, left = [], size
    while left > 0 and (piece := os.pread(handle, left, offset + size - left)):
        pieces.append(piece)
        left -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _member(header: bytes, at: int) -> Member:
    if len(header) < BLOCK:
        raise ValueError(f"a header is cut off at byte {at + len(header)}")
    try:
        info = tarfile.TarInfo.frombuf(header, "ascii", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError):
        raise ValueError(f"no tar header at byte {at}") from None
    if info.type not in REGULAR:
        raise ValueError(f"{info.name} at byte {at} is not a plain file")
    return Member(info.name, at + BLOCK, info.size)
