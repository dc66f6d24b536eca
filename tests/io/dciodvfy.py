"""The DICOM validator of dicom3tools, and the one fault of ours that it reports wrongly."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

# Builds up to 2022 do not know Synthetic Data, (0008,001C) of PS3.3 C.12.1, which came with DICOM 2023b.
UNKNOWN_THERE = ("Error - </(0008,001c)> - Attribute with an even group number is not a recognized standard attribute",)


def complaints(path: Path) -> list[str]:
    """Error lines of `dciodvfy -new`, the known wrong ones left out; the test skips where the program is absent."""
    return [line for line in report(path) if line.startswith("Error") and line not in UNKNOWN_THERE]


def report(path: Path) -> list[str]:
    """All lines of `dciodvfy -new`."""
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed (Debian: apt-get install dicom3tools)")
    done = subprocess.run([program, "-new", str(path)], capture_output=True, text=True, timeout=60, check=False)
    lines = re.split(r"\r?\n", done.stdout + done.stderr)
    assert any("Image" in line for line in lines), f"dciodvfy did not name the object: {lines}"
    return [line for line in lines if line]


def series_complaints(paths: list[Path]) -> list[str]:
    """What `dcentvfy` says about the consistency of a series; the test skips where the program is absent."""
    program = shutil.which("dcentvfy")
    if program is None:
        pytest.skip("dcentvfy is not installed (Debian: apt-get install dicom3tools)")
    done = subprocess.run([program, *map(str, paths)], capture_output=True, text=True, timeout=60, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if line]
