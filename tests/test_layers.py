"""Imports run one way: every import statement is read with ast, and a backward or a forbidden one fails by name."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src"
PACKAGE = "spondyl"

WORDS = frozenset({"geometry", "spine", "images", "pairs"})
INSTRUMENTS = frozenset({"xray", "measure", "generate", "metrics", "reading"})
VERBS = frozenset({"simulate", "train", "pipeline", "evaluate", "report", "demo", "doctor", "drawing", "progress"})
EVERYTHING = WORDS | INSTRUMENTS | VERBS | {"nets", "system", "systems", "weights", "sim", "io", "memory"}
RIM = frozenset({"cli", "web", "executors"})

# What each part of the package may import of the others. A part that has no row fails: give it one, and think.
MAY_IMPORT: dict[str, frozenset[str]] = {
    # words: a word has no opinion
    "geometry": frozenset(),
    "spine": frozenset({"geometry"}),
    "images": frozenset({"geometry", "spine"}),
    "pairs": frozenset({"geometry", "spine", "images"}),
    # instruments: they do not know each other; generate, metrics and nets are tensors and numbers only
    "xray": WORDS,
    "measure": WORDS,
    "generate": frozenset(),
    "metrics": frozenset(),
    "reading": WORDS,
    "nets": frozenset(),
    # the world does not know who learns from it
    "sim": WORDS | {"xray", "measure"},
    # a paper never imports another paper, sim, io or measure
    "system": WORDS | INSTRUMENTS,
    "systems": WORDS | {"system", "generate", "xray", "metrics", "reading", "nets", "weights"},
    "weights": frozenset(),
    # files to words and words to files
    "io": WORDS,
    # verbs; train and evaluate take iterables and a System, so they see neither systems nor io
    "train": EVERYTHING - VERBS - {"systems", "io"} | {"progress"},
    "evaluate": EVERYTHING - VERBS - {"systems", "io"} | {"progress"},
    "simulate": EVERYTHING - VERBS | {"drawing", "progress", "report"},
    "pipeline": EVERYTHING - VERBS | {"drawing", "progress", "report"},
    "report": WORDS | INSTRUMENTS | {"io", "drawing"},
    "drawing": WORDS | INSTRUMENTS,
    "progress": frozenset(),
    "memory": frozenset(),
    "demo": EVERYTHING - {"demo"},
    "doctor": frozenset({"xray", "io", "memory"}),
    # the rim leans on everything, nothing leans on the rim
    "executors": EVERYTHING,
    "web": EVERYTHING,
    "cli": EVERYTHING | {"executors", "web"},
}

NOWHERE = frozenset({"torchvision", "torchmetrics", "lightning", "pytorch_lightning", "diffusers", "spekpy", "pickle"})
# Outside libraries that belong to one part of the package only.
ONLY_IN: dict[str, frozenset[str]] = {
    **dict.fromkeys(("pydicom", "highdicom", "gdcm", "nibabel", "SimpleITK", "itk", "tifffile"), frozenset({"io"})),
    **dict.fromkeys(("fastapi", "starlette", "uvicorn", "flask", "aiohttp", "gradio"), frozenset({"web"})),
    **dict.fromkeys(("typer", "click", "argparse", "optparse"), frozenset({"cli"})),
    **dict.fromkeys(("submitit", "ray", "dask"), frozenset({"executors"})),
    "rich": frozenset({"cli", "progress", "doctor"}),
}
SILENT = WORDS | INSTRUMENTS | {"nets", "sim", "io"}


@dataclass(frozen=True)
class Import:
    """One import statement: who imports what, where, and whether that happens when the file is first loaded."""

    importer: str
    target: str
    line: int
    at_load: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.target}"


def imports_of(source: str, importer: str, *, is_package: bool = False) -> Iterator[Import]:
    """Every import in a file, those inside functions included, with relative ones resolved."""
    tree = ast.parse(source)
    inside = {
        id(inner)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        for target in targets_of(node, importer, is_package):
            yield Import(importer, target, getattr(node, "lineno", 0), id(node) not in inside)


def targets_of(node: ast.AST, importer: str, is_package: bool) -> list[str]:
    """Dotted names that one node brings in: import, from-import, and import_module("...") with a literal."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parts = importer.split(".")
            parents = parts[: len(parts) - node.level + is_package]
            base = ".".join([*parents, *([node.module] if node.module else [])])
        return [f"{base}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and ast.unparse(node.func) in {
        "import_module",
        "importlib.import_module",
        "__import__",
    }:
        first = node.args[0] if node.args else None
        return [first.value] if isinstance(first, ast.Constant) and isinstance(first.value, str) else []
    return []


def part_of(module: str) -> str | None:
    """The part of the package that a dotted name belongs to; None outside it, "" for the package itself."""
    names = module.split(".")
    if names[0] != PACKAGE:
        return None
    # `from spondyl import View` names a word, not a part: the package re-exports by hand
    return names[1] if len(names) > 1 and names[1] in MAY_IMPORT else ""


def faults(found: Import) -> list[str]:
    """What is wrong with one import; empty where nothing is."""
    mine = found.importer.split(".")[1] if "." in found.importer else ""
    theirs = part_of(found.target)
    if theirs is None:
        return outside_faults(found, mine)
    if theirs == "":
        if found.target == f"{PACKAGE}.__version__":
            return []
        return [f"{found}: import the module that defines it, not the package's front"] if mine else []
    if mine not in MAY_IMPORT:
        return [f"{found.importer} has no row in MAY_IMPORT"] if mine else []
    if theirs == mine:
        return paper_faults(found) if mine == "systems" else []
    return [] if theirs in MAY_IMPORT[mine] else [f"{found}: backward ({mine} may not know {theirs})"]


def paper_faults(found: Import) -> list[str]:
    """A paper must not know another paper: any one can be deleted."""
    here, there = found.importer.split("."), found.target.split(".")
    front = here[-1] == "systems" or len(there) < 3
    return [] if front or here[2] == there[2] else [f"{found}: a paper imports another paper"]


def outside_faults(found: Import, mine: str) -> list[str]:
    """Libraries that may stand nowhere, or in one part only, or must be imported late."""
    name = found.target.split(".")[0]
    if name in NOWHERE:
        return [f"{found}: {name} must not be on any import path"]
    if name in ONLY_IN and mine not in ONLY_IN[name]:
        return [f"{found}: {name} belongs to {' or '.join(sorted(ONLY_IN[name]))}"]
    file = found.importer.split(".")[-1]
    at_home = (name in {"pydicom", "highdicom"} and file.startswith("dicom_")) or (
        name == "nibabel" and file == "nifti"
    )
    if name in ONLY_IN and mine == "io" and found.at_load and not at_home:
        return [f"{found}: import {name} inside the function that needs it"]
    return []


def modules() -> list[tuple[str, Path]]:
    """Dotted name and file of every module of the package."""
    found = []
    for path in sorted((SRC / PACKAGE).rglob("*.py")):
        parts = path.relative_to(SRC).with_suffix("").parts
        found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


@pytest.mark.parametrize(("name", "path"), modules(), ids=[name for name, _ in modules()])
def test_a_module_imports_only_what_lies_below_it(name: str, path: Path) -> None:
    found = imports_of(path.read_text(encoding="utf-8"), name, is_package=path.name == "__init__.py")
    wrong = [fault for each in found for fault in faults(each)]
    assert not wrong, "\n".join(wrong)


def test_every_part_of_the_package_has_a_row() -> None:
    parts = {name.split(".")[1] for name, _ in modules() if "." in name}
    assert parts <= set(MAY_IMPORT), f"no row for {sorted(parts - set(MAY_IMPORT))}"


def test_the_table_itself_has_no_circle() -> None:
    done: set[str] = set()
    while len(done) < len(MAY_IMPORT):
        free = {part for part, below in MAY_IMPORT.items() if part not in done and below <= done}
        assert free, f"a circle among {sorted(set(MAY_IMPORT) - done)}"
        done |= free


@pytest.mark.parametrize(("name", "path"), modules(), ids=[name for name, _ in modules()])
def test_words_and_instruments_neither_print_nor_log(name: str, path: Path) -> None:
    if "." not in name or name.split(".")[1] not in SILENT:
        pytest.skip("the verbs and the rim may speak")
    assert not loud_lines(path.read_text(encoding="utf-8"))


def loud_lines(source: str) -> list[int]:
    """Lines that print, warn on the console or log."""
    calls = {"print", "logging.getLogger", "logging.info", "logging.warning", "sys.stdout.write", "sys.stderr.write"}
    return [n.lineno for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call) and ast.unparse(n.func) in calls]


@pytest.mark.parametrize(
    ("importer", "line", "fault"),
    [
        ("spondyl.geometry", "import spondyl.spine", "backward"),
        ("spondyl.images", "from spondyl.xray import project", "backward"),
        ("spondyl.xray.project", "from spondyl.measure.cobb import cobb", "backward"),
        ("spondyl.measure.cobb", "def f():\n    from spondyl.xray import project", "backward"),
        ("spondyl.measure.cobb", "from ..xray import project", "backward"),
        ("spondyl.io.nifti", "from spondyl.measure import cobb", "backward"),
        ("spondyl.io.nifti", "import importlib\nimportlib.import_module('spondyl.xray')", "backward"),
        ("spondyl.sim.ct", "import spondyl.system", "backward"),
        ("spondyl.train", "from spondyl.io.nifti import read_nifti", "backward"),
        ("spondyl.pipeline", "from spondyl.cli import app", "backward"),
        ("spondyl.systems.a", "from spondyl.systems.b import Net", "another paper"),
        ("spondyl.xray.cpu", "from spondyl import View", "not the package's front"),
        ("spondyl.newcomer", "import spondyl.geometry", "no row"),
        ("spondyl.metrics.image", "def f():\n    import torchvision", "any import path"),
        ("spondyl.xray.cpu", "import pydicom", "belongs to io"),
        ("spondyl.pipeline", "import SimpleITK as sitk", "belongs to io"),
        ("spondyl.pipeline", "import typer", "belongs to cli"),
        ("spondyl.cli", "import fastapi", "belongs to web"),
        ("spondyl.io.volumes", "import nibabel", "inside the function"),
        ("spondyl.io.nifti", "import pydicom", "inside the function"),
    ],
)
def test_the_reader_of_imports_sees_a_backward_one(importer: str, line: str, fault: str) -> None:
    wrong = [text for found in imports_of(line, importer) for text in faults(found)]
    assert len(wrong) == 1, wrong
    assert fault in wrong[0]


@pytest.mark.parametrize(
    ("importer", "line"),
    [
        ("spondyl.spine", "from spondyl.geometry import View"),
        ("spondyl.xray.cpu", "from .reference import march"),
        ("spondyl.io.nifti", "import nibabel"),
        ("spondyl.io.itk", "def f():\n    import SimpleITK"),
        ("spondyl.io.dicom_read", "import pydicom"),
        ("spondyl.systems.a", "from spondyl.system import System"),
        ("spondyl.cli", "import typer\nfrom spondyl.pipeline import run"),
        ("spondyl.xray.cpu", "import numpy as np\nfrom scipy import ndimage"),
    ],
)
def test_the_reader_of_imports_lets_a_right_one_pass(importer: str, line: str) -> None:
    assert [text for found in imports_of(line, importer) for text in faults(found)] == []


def test_the_reader_of_silence_hears_a_print() -> None:
    assert loud_lines("x = 1\nprint(x)\n") == [2]


def loaded_after(code: str, heavy: tuple[str, ...]) -> set[str]:
    """Which of `heavy` a fresh interpreter has loaded after running `code`."""
    count = f"print('\\nloaded', *sorted(m for m in {heavy!r} if m in sys.modules))"
    program = f"import sys; sys.path.insert(0, {str(SRC)!r})\n{code}\n{count}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.splitlines()[-1].split()[1:])


HEAVY = ("torch", "numpy", "scipy", "numba", "monai", "nibabel", "pydicom", "SimpleITK", "matplotlib", "jaxtyping")


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_after("import spondyl; assert spondyl.__version__; dir(spondyl)", HEAVY) == set()


def test_using_a_word_does_load_torch() -> None:
    assert "torch" in loaded_after("import spondyl; spondyl.LEVELS", HEAVY)


HELP = "from spondyl.cli.commands import run\nrun({args})"


@pytest.mark.parametrize("args", [["--help"], ["project", "--help"], ["simulate", "--help"]], ids=" ".join)
def test_asking_for_help_loads_nothing_heavy(args: list[str]) -> None:
    assert loaded_after(HELP.format(args=args), HEAVY) == set()
