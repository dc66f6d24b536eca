"""What this machine offers spondyl: versions, processors, memory, projector, optional packages, and known traps."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from spondyl import __version__
from spondyl.memory import free_memory_gb

State = Literal["ok", "missing", "problem"]

# Distribution names, as in pyproject.toml. A test holds the two together.
CORE: tuple[str, ...] = (
    "torch",
    "numpy",
    "scipy",
    "numba",
    "nibabel",
    "pillow",
    "jaxtyping",
    "typer",
    "rich",
    "jinja2",
    "safetensors",
    "pydantic",
    "pyyaml",
    "accelerate",
    "typing-extensions",
    "monai",
)
EXTRAS: dict[str, tuple[str, ...]] = {
    "dicom": ("pydicom", "python-gdcm"),
    "itk": ("SimpleITK",),
    "web": ("fastapi", "uvicorn"),
    "cluster": ("submitit",),
}
# Below this a 512 x 512 x 500 CT and its materials do not fit (float32 HU, labels and one working copy: 1.3 GB).
SMALL_MEMORY_GB = 2.0


@dataclass(frozen=True)
class Finding:
    """One line of the doctor: about what, how it is, and in words (with what to do, where something is wrong).

    `missing` is an optional thing that is not there; `problem` is something that stops spondyl or makes it slow.
    """

    topic: str
    state: State
    text: str


def examine() -> tuple[Finding, ...]:
    """Everything worth knowing before a bug report, in the order to read it."""
    findings = [
        Finding("spondyl", "ok", __version__),
        Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        _core(),
        *_processors(),
        memory(),
        *_projectors(),
        *(_extra(name, packages) for name, packages in EXTRAS.items()),
        *_decoders(),
        torchvision(),
    ]
    return tuple(findings)


def version_of(distribution: str) -> str | None:
    """The installed version of a distribution, or None where it is not installed. Imports nothing."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _core() -> Finding:
    versions = {name: version_of(name) for name in CORE}
    absent = [name for name, version in versions.items() if version is None]
    if absent:
        return Finding("packages", "problem", f"not installed: {', '.join(absent)}; run: pip install spondyl")
    return Finding("packages", "ok", ", ".join(f"{name} {version}" for name, version in versions.items()))


def _processors() -> tuple[Finding, ...]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a shared library of torch that does not load
        return (Finding("torch", "problem", f"does not import ({_one_line(error)}); install torch again"),)
    cpu = Finding("cpu", "ok", f"{cores} cores for this process, torch uses {torch.get_num_threads()} threads")
    if not torch.cuda.is_available():
        built = "the installed torch is CPU-only" if torch.version.cuda is None else "no CUDA device answers"
        return (cpu, Finding("cuda", "missing", f"{built}; everything runs on the CPU"))
    names = []
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        names.append(f"{torch.cuda.get_device_name(index)} ({free / 2**30:.1f} of {total / 2**30:.1f} GB free)")
    return (cpu, Finding("cuda", "ok", "; ".join(names)))


def memory() -> Finding:
    """Free memory and free disk here, with a warning where a whole-spine CT would not fit."""
    disk = f"{shutil.disk_usage(Path.cwd()).free / 2**30:.1f} GB free on this disk"
    free = free_memory_gb()
    if free is None:
        return Finding("memory", "ok", f"free memory is not told by this system; {disk}")
    if free < SMALL_MEMORY_GB:
        advice = f"a whole-spine CT may not fit in less than {SMALL_MEMORY_GB:.0f} GB; close programs"
        return Finding("memory", "problem", f"{free:.1f} GB free; {advice}; {disk}")
    return Finding("memory", "ok", f"{free:.1f} GB free; {disk}")


def _projectors() -> tuple[Finding, ...]:
    try:
        from spondyl.xray.project import backends

        offered = backends()
    except (ImportError, OSError) as error:
        return (Finding("projector", "problem", f"does not import ({_one_line(error)})"),)
    able = [f"{backend.name} ({backend.reason})" for backend in offered if backend.available]
    unable = [f"{backend.name} ({backend.reason})" for backend in offered if not backend.available]
    text = f"in order of use: {', '.join(able)}{'; not here: ' + ', '.join(unable) if unable else ''}"
    return (Finding("projector", "ok" if able else "problem", text),)


def _extra(name: str, packages: tuple[str, ...]) -> Finding:
    absent = [package for package in packages if version_of(package) is None]
    if absent:
        text = f"{', '.join(absent)} not installed; if you want it: pip install 'spondyl[{name}]'"
        return Finding(f"extra {name}", "missing", text)
    return Finding(f"extra {name}", "ok", ", ".join(f"{package} {version_of(package)}" for package in packages))


def _decoders() -> tuple[Finding, ...]:
    if version_of("pydicom") is None:
        return ()
    from spondyl.io.decoders import decoders

    able = [d.name for d in decoders() if d.available]
    unable = [d.name for d in decoders() if not d.available]
    if unable:
        text = f"reads {', '.join(able)}; cannot read {', '.join(unable)}: pip install 'spondyl[dicom]'"
        return (Finding("dicom pixels", "missing", text),)
    return (Finding("dicom pixels", "ok", f"reads {', '.join(able)}"),)


def torchvision() -> Finding:
    """Whether a torchvision is installed that dies at import, found in a process of its own.

    spondyl never imports torchvision. A torchvision built for another torch ("operator torchvision::nms does not
    exist") takes down the packages that do, which a user then sees as a crash somewhere else.
    """
    version = version_of("torchvision")
    if version is None:
        return Finding("torchvision", "ok", "not installed, not needed")
    command = [sys.executable, "-c", "import torchvision"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return Finding("torchvision", "problem", f"{version} did not import within two minutes; uninstall it")
    if answer.returncode == 0:
        return Finding("torchvision", "ok", f"{version} imports; spondyl does not use it")
    said = answer.stderr.strip().splitlines()[-1] if answer.stderr.strip() else f"exit code {answer.returncode}"
    advice = f"built for another torch than {version_of('torch')}; run: pip uninstall torchvision (not needed here)"
    return Finding("torchvision", "problem", f"{version} dies at import ({said}); {advice}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
