"""`spondyl simulate` and `spondyl validate`: whatever is killed, the same command ends in the same bytes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cohort_stand_in
import pytest
from cohort_stand_in import tree

from spondyl.cli import commands
from spondyl.cli.stopping import failure_of

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "numpy", "scipy", "numba", "nibabel", "PIL", "jinja2")
QUICK = "--seed 7 --modalities pa --spacing 10 --shard 2"
# The commands as `spondyl` has them; with STAND_IN the cases are made by the quick patients of these tests.
COMMANDS = """
import sys
from spondyl.cli import commands
"""
STAND_IN = """
from spondyl.simulate import cohort
cohort.simulate.__kwdefaults__["work"] = "cohort_stand_in:make_part"
"""
RUN = "sys.exit(commands.run(sys.argv[1:]))"


def command(line: str, *, quick: bool = True, slow_s: float = 0.0) -> "subprocess.Popen[str]":
    """The command in a process of its own."""
    path = os.pathsep.join([str(ROOT / "src"), str(Path(cohort_stand_in.__file__).parent)])
    environment = {**os.environ, "PYTHONPATH": path, "SLOW_CASES_S": str(slow_s)}
    return subprocess.Popen(
        [sys.executable, "-c", COMMANDS + (STAND_IN if quick else "") + RUN, *line.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def done(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort of five that nothing disturbed, made by one worker."""
    out = tmp_path_factory.mktemp("cohort") / "whole"
    code, _, err = done(command(f"simulate -n 5 {QUICK} -o {out} --workers 1"))
    assert (code, err) == (0, "")
    return out


def made(out: Path) -> frozenset[str]:
    """Cases and shards that are there."""
    return frozenset(path.name for folder in ("parts", "shards") for path in (out / folder).glob("[!.]*.tar"))


def wait_for_a_case(out: Path, process: "subprocess.Popen[str]", before: frozenset[str] = frozenset()) -> None:
    end = time.monotonic() + 60
    while not made(out) - before:
        assert process.poll() is None, "the run ended before a case was made"
        assert time.monotonic() < end
        time.sleep(0.01)


def children_of(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    if not path.exists():
        pytest.skip("this system does not list the children of a process")
    return [int(word) for word in path.read_text().split()]


def test_four_workers_of_which_one_is_killed_make_the_bytes_of_one(whole: Path, tmp_path: Path) -> None:
    process = command(f"simulate -n 5 {QUICK} -o {tmp_path / 'out'} --workers 4", slow_s=0.3)
    wait_for_a_case(tmp_path / "out", process)
    os.kill(children_of(process.pid)[0], signal.SIGKILL)
    code, out, err = done(process)
    assert (code, err) == (0, "")
    assert "SIMULATED: 5 cases of pa, 5 of them made now" in out
    assert tree(tmp_path / "out") == tree(whole)


@pytest.mark.slow
def test_a_run_stopped_again_and_again_ends_in_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    line = f"simulate -n 5 {QUICK} -o {tmp_path / 'out'} --workers 1"
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
        before = made(tmp_path / "out")
        process = command(line, slow_s=0.2)
        wait_for_a_case(tmp_path / "out", process, before)
        process.send_signal(number)
        assert process.wait(60) == code
        assert not (tmp_path / "out" / "manifest.jsonl").exists()
        if number != signal.SIGKILL:
            assert not list((tmp_path / "out").rglob(".*.part"))
    code, out, err = done(command(line))
    assert (code, err) == (0, "")
    assert "5 cases of pa, 5 of them" not in out
    assert tree(tmp_path / "out") == tree(whole)


def test_validate_says_that_a_cohort_is_whole_and_what_is_wrong(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_here(f"validate {whole}")
    assert "is whole: 5 cases" in capsys.readouterr().out
    shutil.copytree(whole, tmp_path / "out")
    tar = tmp_path / "out" / "shards" / "cases-000002-000003.tar"
    content = bytearray(tar.read_bytes())
    content[2000] ^= 255
    tar.write_bytes(content)
    assert failing(f"validate {tmp_path / 'out'}") == f"{tmp_path / 'out'} has 1 fault"
    assert "cases-000002-000003.tar: " in capsys.readouterr().out


@pytest.mark.slow
def test_real_patients_go_the_whole_way(tmp_path: Path) -> None:
    line = "simulate -n 2 --seed 1 --cohort surgical --modalities pa --spacing 8"
    for name, workers in (("one", 1), ("two", 2)):
        code, _, err = done(command(f"{line} -o {tmp_path / name} --workers {workers}", quick=False))
        assert (code, err) == (0, "")
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    run_here(f"validate {tmp_path / 'one'}")


@pytest.mark.parametrize("name", ["simulate", "validate"])
def test_help_loads_nothing_heavy(name: str) -> None:
    code = COMMANDS + f"code = commands.run(['{name}', '--help'])\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert process.stdout.splitlines()[-1] == "[]"
    assert "Usage" in process.stdout


def run_here(line: str) -> None:
    """The command in this process, its errors as exceptions."""
    commands.app(line.split(), standalone_mode=False)


def failing(line: str) -> str:
    """The one line of a command that fails, run here."""
    try:
        run_here(line)
    except BaseException as error:
        failure = failure_of(error, "spondyl simulate")
        assert failure.code == 2
        assert "\n" not in failure.line
        return failure.line
    raise AssertionError("it did not fail")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("-n 0", "count is 0; wanted 1 to"),
        ("-n 1 --cobb 200", "cobb_deg is 200.0; wanted 0 to 80"),
        ("-n 1 --age -4", "age_years is -4.0; wanted 4 to 99"),
        ("-n 1 --cohort none", "cohort is 'none'; wanted one of normal"),
        ("-n 1 --modalities mri", "modality is 'mri'; wanted some of ct,pa"),
        ("-n 1 --spacing 99", "spacing_mm is 99.0"),
        ("-n 1 --workers 0", "workers is 0; wanted 1 or more"),
        ("-n 1 --from-ct x.nii.gz", "--from-ct and --labels belong together"),
        ("-n 1 --curve-type 9", "curve_type is '9'; wanted one of"),
        ("-n 1 --from-ct nothing.nii.gz --labels nothing.nii.gz", "nothing.nii.gz"),
    ],
)
def test_what_cannot_be_simulated_is_one_line(flags: str, words: str, tmp_path: Path) -> None:
    assert words in failing(f"simulate {flags} -o {tmp_path / 'out'}")
    assert not (tmp_path / "out").exists()


def test_validating_nothing_is_one_line(tmp_path: Path) -> None:
    assert "is not a folder" in failing(f"validate {tmp_path / 'nothing'}")


def test_cases_that_fail_are_named_and_the_others_kept(tmp_path: Path) -> None:
    script = COMMANDS + STAND_IN.replace(":make_part", ":fail") + RUN
    path = os.pathsep.join([str(ROOT / "src"), str(Path(cohort_stand_in.__file__).parent)])
    line = f"simulate -n 3 {QUICK} -o {tmp_path / 'out'} --workers 1"
    process = subprocess.run(
        [sys.executable, "-c", script, *line.split()],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        timeout=60,
    )
    assert process.returncode == 2
    wanted = "spondyl: 1 of 3 cases were not made (case 1: this patient cannot stand); the others are kept\n"
    assert process.stderr == wanted
