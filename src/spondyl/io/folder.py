"""Write a whole folder of results or nothing: everything is made beside its place first, then moved in."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_folder(out: Path, *, last: tuple[str, ...] = ()) -> Iterator[Path]:
    """A hidden folder to write into, whose files move to `out` when the block ends well and vanish when it does not.

    `out` is made where it is not there; what else lies in it stays; files of the same name are replaced, one rename
    each. When the block fails or is stopped, `out` is as it was before.

    Args:
        last: names to move in last: where they are there, all the rest is.

    Raises:
        ValueError: where `out` is a file, or has a folder of a result's name in it.
        OSError: where it cannot be made or written.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; wanted a folder for the results; name another one")
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".spondyl-", suffix=".part", dir=out))
        try:
            yield staging
            _move_in(staging, out, last)
        except OSError as error:  # the user knows `out`, not where its files are made
            if str(staging) not in str(error):
                raise
            if error.errno is not None and error.filename is not None:
                raise OSError(error.errno, error.strerror, _named(error.filename, staging, out)) from error
            raise OSError(_named(error, staging, out)) from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except BaseException:
        for folder in made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        raise


def _named(said: object, staging: Path, out: Path) -> str:
    return str(said).replace(str(staging), str(out))


def _move_in(staging: Path, out: Path, last: tuple[str, ...]) -> None:
    names = sorted((path.name for path in staging.iterdir()), key=lambda name: (name in last, name))
    for name in names:
        if (out / name).is_dir():
            raise ValueError(
                f"{out / name} is a folder where a result of that name goes; move it or name another --out"
            )
    for name in names:
        os.replace(staging / name, out / name)
