"""What users get wrong: each mistake is one line on stderr, exit code 2, and a folder without leftovers."""

import gzip
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from mistakes import MISTAKES, Mistake, on_a_good_ct, trunk

from spondyl.cli import run

ROOT = Path(__file__).resolve().parents[1]


def leftovers(folder: Path, before: set[Path]) -> list[str]:
    """Everything that the run made."""
    return sorted(str(path.relative_to(folder)) for path in set(folder.rglob("*")) - before)


def check_line(err: str, says: str) -> None:
    """One line: who speaks, no traceback, a sentence of some length, and the word that names the mistake."""
    assert err.startswith("spondyl: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    assert "unexpected" not in err
    assert len(err) > 40
    assert says in err


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.name)
def test_a_mistake_is_one_line_and_leaves_nothing(
    mistake: Mistake, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = [*mistake.prepare(tmp_path), "-o", str(tmp_path / "out")]
    before = set(tmp_path.rglob("*"))
    assert run(arguments) == 2
    check_line(capfd.readouterr().err, mistake.says)
    assert leftovers(tmp_path, before) == []


def test_there_are_at_least_twenty_mistakes() -> None:
    assert len({mistake.name for mistake in MISTAKES}) >= 20


def in_a_process(arguments: list[str], largest_file: int | None = None) -> "subprocess.CompletedProcess[str]":
    """The command line in a process of its own, where files may not grow beyond a number of bytes."""

    def limit() -> None:
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "spondyl.cli", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, env=environment, preexec_fn=limit, check=False
    )


@pytest.mark.parametrize("mistake", [MISTAKES[8], MISTAKES[9]], ids=lambda m: m.name)
def test_a_mistake_is_one_line_in_a_real_process_too(mistake: Mistake, tmp_path: Path) -> None:
    arguments = [*mistake.prepare(tmp_path), "-o", str(tmp_path / "out")]
    before = set(tmp_path.rglob("*"))
    done = in_a_process(arguments)
    assert done.returncode == 2
    check_line(done.stderr, mistake.says)
    assert leftovers(tmp_path, before) == []


def test_a_disk_without_room_leaves_nothing_half_written(tmp_path: Path) -> None:
    ct = trunk(tmp_path / "ct.nii.gz")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    before = set(tmp_path.rglob("*"))
    done = in_a_process(["project", str(ct), "-o", str(tmp_path / "out"), "--format", "nifti"], largest_file=2000)
    assert done.returncode == 2
    check_line(done.stderr, "")
    assert leftovers(tmp_path, before) == []
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"


def test_a_disk_that_fills_up_in_the_middle_leaves_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ct = trunk(tmp_path / "ct.nii.gz")
    before = set(tmp_path.rglob("*"))
    written: list[Path] = []
    write = Path.write_text

    def full(self: Path, data: str, encoding: str | None = None) -> int:
        if self.name == "report.html":  # the last file of all
            written.extend(p for p in self.parent.iterdir())
            raise OSError(28, "No space left on device", str(self))
        return write(self, data, encoding=encoding)

    monkeypatch.setattr(Path, "write_text", full)
    assert run(["project", str(ct), "-o", str(tmp_path / "out")]) == 2
    err = capfd.readouterr().err
    check_line(err, "disk is full")
    assert ".part" not in err
    assert len(written) > 3
    assert leftovers(tmp_path, before) == []


def test_the_good_ct_of_these_tests_is_good(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run([*on_a_good_ct()(tmp_path), "-o", str(tmp_path / "out")]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert len(out.splitlines()) == 6 + 3
    assert gzip.decompress((tmp_path / "ct.nii.gz").read_bytes())
    assert (tmp_path / "out" / "report.html").is_file()
