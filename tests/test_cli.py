"""The command line: fast help, exit codes, one line an error, and nothing left behind when it is stopped."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spondyl import __version__
from spondyl.cli import run
from spondyl.cli.stopping import Stopped, failure_of, stoppable

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "numpy", "scipy", "numba", "monai", "nibabel", "pydicom", "SimpleITK", "PIL", "jinja2")


def spondyl(*arguments: str, code: str | None = None) -> "subprocess.Popen[str]":
    """The command in a process of its own; `code` replaces the module that is run."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    what = ["-m", "spondyl.cli"] if code is None else ["-c", code]
    return subprocess.Popen(
        [sys.executable, *what, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


@pytest.mark.parametrize(
    "arguments", [["--help"], ["project", "--help"], ["measure", "-h"], ["demo", "--help"], ["--version"]]
)
def test_help_and_version_load_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from spondyl.cli import run; code = run(sys.argv[1:]); "
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    process = spondyl(*arguments, code=code)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert err == "[]\n"
    assert out.strip()


def test_help_answers_soon() -> None:
    took = []
    for _ in range(3):
        start = time.perf_counter()
        spondyl("--help").communicate(timeout=60)
        took.append(time.perf_counter() - start)
    assert min(took) < 1.5  # half a second is the aim; a busy machine gets three


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr() == (f"spondyl {__version__}\n", "")


def test_no_arguments_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "project" in capsys.readouterr().out


def test_the_help_says_that_this_is_no_medical_device(capsys: pytest.CaptureFixture[str]) -> None:
    run(["--help"])
    assert "not a medical device" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["project"], "Missing argument 'CT'"),
        (["project", "x.nii.gz"], "Missing option '--out'"),
        (["project", "x", "-o", "y", "--nope"], "No such option"),
        (["project", "x", "-o", "y", "--kvp", "many"], "--kvp"),
        (["translate"], "No such command"),
        (["measure", "x", "-o", "y"], "--labels"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_two(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("spondyl: ")
    assert err.count("\n") == 1
    assert words in err
    assert "--help" in err


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ValueError("spacing is 0;\n wanted more"), 2, "spacing is 0; wanted more"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/pa.png"), 2, "the disk is full (/x/pa.png)"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 2, "Permission denied (/x)"),
        (OSError("cannot read x.dcm"), 2, "cannot read x.dcm"),
        (ModuleNotFoundError("No module named 'pydicom'", name="pydicom"), 2, "pip install 'spondyl[dicom]'"),
        (ModuleNotFoundError("No module named 'SimpleITK'", name="SimpleITK"), 2, "pip install 'spondyl[itk]'"),
        (MemoryError(), 2, "not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 2, "not enough memory"),
        (RuntimeError("odd"), 1, "unexpected RuntimeError: odd; this is a fault of spondyl; --debug"),
        (KeyboardInterrupt(), 130, "stopped by SIGINT"),
        (Stopped(signal.SIGTERM), 143, "stopped by SIGTERM"),
    ],
)
def test_every_error_has_its_line_and_its_exit_code(error: BaseException, code: int, words: str) -> None:
    failure = failure_of(error, "spondyl project")
    assert failure.code == code
    assert words in failure.line
    assert "\n" not in failure.line


@pytest.mark.parametrize(
    ("command", "way"),
    [
        ("project", "close programs or use a larger --spacing;"),
        ("simulate", "close programs or use a larger --spacing or fewer --workers;"),
        ("train", "close programs or use a smaller --batch;"),
        ("demo", "close programs; see"),
    ],
)
def test_a_lack_of_memory_names_flags_that_the_command_has(
    command: str, way: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert way in failure_of(MemoryError(), f"spondyl {command}").line
    run([command, "--help"])
    shown = capsys.readouterr().out
    assert all(word in shown for word in way.replace(";", "").split() if word.startswith("--"))


def test_debug_shows_the_traceback_wherever_the_flag_stands() -> None:
    for arguments in (
        ("--debug", "project", "nothing.nii.gz", "-o", "x"),
        ("project", "nothing.nii.gz", "-o", "x", "--debug"),
    ):
        process = spondyl(*arguments)
        _, err = process.communicate(timeout=60)
        assert "Traceback" in err
        assert process.returncode == 1


def test_signal_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stoppable():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_leaves_one_line_and_no_files(number: int, code: int, tmp_path: Path) -> None:
    slow = (
        "import sys, time; from spondyl import cli; from spondyl.io.folder import whole_folder\n"
        "from pathlib import Path; import spondyl.cli.commands as c\n"
        "def demo(out: Path):\n"
        "    with whole_folder(out) as staging:\n"
        "        (staging / 'pa.png').write_text('half'); print('writing', flush=True); time.sleep(60)\n"
        "c.app.command('slow')(demo); sys.exit(cli.run(['slow', sys.argv[1]]))\n"
    )
    process = spondyl(str(tmp_path / "out"), code=slow)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert err == f"spondyl: stopped by {signal.Signals(number).name}; nothing half-written was left\n"
    assert list(tmp_path.iterdir()) == []
