"""Whole output files whose failures are one sentence: what could not be written, and why."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spondyl.io.atomic import whole_file


@contextmanager
def saying_where(path: Path) -> Iterator[None]:
    """Turn an OSError of the block (full disk, no permission, a file in the place of a folder) into one sentence."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error) or type(error).__name__).splitlines()[0].lower()
        raise OSError(f"cannot write {path}: {reason}; choose another place or make room") from error


@contextmanager
def output_file(path: Path) -> Iterator[Path]:
    """A temporary path that becomes `path` when the block ends well; see `whole_file`.

    Raises:
        OSError: with one sentence; `path` is then as it was.
    """
    with saying_where(path), whole_file(path) as part:
        yield part
