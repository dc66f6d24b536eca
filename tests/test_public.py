"""Promises about the package: its public names, docstrings, sizes of files and functions, and nothing that unpickles."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import spondyl

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "spondyl"
FILES = sorted(SRC.rglob("*.py"))
# Everything that is read by people: the package with its compiled kernels, and what stands around it.
READ = sorted(
    path
    for folder, suffixes in (("src", ("*.py", "*.c")), ("tests", ("*.py",)), ("examples", ("*.py",)),
                             ("benchmarks", ("*.py",)), ("docs", ("*.py",)))
    for suffix in suffixes
    for path in (ROOT / folder).rglob(suffix)
)  # fmt: skip
LONGEST_FILE, LONGEST_FUNCTION = 300, 60
EXCUSE = "longer than 300 lines"

# Packages that are extras or fit some machines only: a module that needs one may stay unimported where it is absent.
EXTRA = {"pydicom", "highdicom", "gdcm", "SimpleITK", "triton", "fastapi", "uvicorn", "submitit", "ray", "matplotlib"}

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def public_definitions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Definition]]:
    """Public functions and classes, and public methods of public classes; not what stands inside functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If | ast.Try):
            yield from public_definitions(node, prefix)
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node, f"{prefix}{node.name}.")


def undocumented(source: str) -> list[str]:
    """Public names without a docstring whose first line says something."""
    tree = ast.parse(source)
    named = [("the module", tree), *public_definitions(tree)]
    return [name for name, node in named if not first_line(ast.get_docstring(node))]


def first_line(docstring: str | None) -> str:
    return docstring.splitlines()[0].strip() if docstring else ""


def too_long(source: str) -> list[str]:
    """Functions of more than 60 lines, from `def` to the last line, docstring included."""
    return [
        f"{node.name} has {length} lines"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    ]


def unexcused_length(source: str) -> int:
    """The number of lines of a file over 300 that does not say on line 1 why; else 0."""
    lines = source.splitlines()
    return len(lines) if len(lines) > LONGEST_FILE and EXCUSE not in lines[0].lower() else 0


def unsafe(source: str) -> list[str]:
    """Lines that can run code out of a data file: pickles, eval, exec, a load without its safe switch."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [f"{node.lineno}: {n}" for n in names if n.split(".")[0] in {"pickle", "dill", "joblib", "shelve"}]
        elif isinstance(node, ast.Call) and unsafe_call(node):
            found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


def unsafe_call(node: ast.Call) -> bool:
    called = ast.unparse(node.func)
    switches = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
    if called == "torch.load":
        return switches.get("weights_only") is not True
    if called in {"np.load", "numpy.load"}:
        return switches.get("allow_pickle", False) is not False
    return called in {"eval", "exec", "yaml.load", "pd.read_pickle", "os.system"} or switches.get("shell") is True


def loose(source: str) -> list[str]:
    """Annotations that say nothing: Any, and **kwargs handed through."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "typing":
            found += [f"{node.lineno}: Any" for a in node.names if a.name == "Any"]
        if isinstance(node, ast.FunctionDef) and node.args.kwarg is not None:
            found.append(f"{node.lineno}: {node.name} takes **{node.args.kwarg.arg}")
    return found


def test_all_is_sorted_and_each_name_can_be_had() -> None:
    assert spondyl.__all__ == sorted(set(spondyl.__all__))
    for name in spondyl.__all__:
        value = getattr(spondyl, name)
        assert not inspect.ismodule(value), f"{name} is a module: export the name inside it"
    assert set(spondyl.__all__) <= set(dir(spondyl))


def test_a_public_name_is_the_one_that_its_module_defines() -> None:
    for name in spondyl.__all__:
        value = getattr(spondyl, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__name__ == name
            assert getattr(importlib.import_module(value.__module__), name) is value


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Spline'"):
        _ = spondyl.Spline


@pytest.mark.parametrize("path", [p for p in FILES if p.stem != "__main__"], ids=short)
def test_every_module_can_be_imported_alone(path: Path) -> None:
    parts = path.relative_to(SRC.parent).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in EXTRA:
            raise
        pytest.skip(f"{error.name} is not installed")
    assert [public for public in getattr(module, "__all__", []) if not hasattr(module, public)] == []


@pytest.mark.parametrize("path", FILES, ids=short)
def test_every_public_name_says_what_it_gives(path: Path) -> None:
    assert undocumented(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", READ, ids=short)
def test_no_file_is_too_long_to_read_in_one_sitting(path: Path) -> None:
    length = unexcused_length(path.read_text(encoding="utf-8"))
    assert not length, f"{short(path)} has {length} lines: split it, or say on line 1 why it is {EXCUSE}"


@pytest.mark.parametrize("path", [p for p in READ if p.suffix == ".py"], ids=short)
def test_no_function_is_longer_than_a_page(path: Path) -> None:
    assert too_long(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", FILES, ids=short)
def test_nothing_unpickles_or_evaluates_a_file(path: Path) -> None:
    assert unsafe(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", FILES, ids=short)
def test_no_annotation_says_nothing(path: Path) -> None:
    assert loose(path.read_text(encoding="utf-8")) == []


def test_no_file_is_named_for_nothing() -> None:
    drawers = {"utils", "helpers", "common", "misc", "util", "helper", "tools", "stuff", "base"}
    assert [short(p) for p in FILES if p.stem in drawers or p.parent.name in drawers] == []


def test_the_package_carries_its_type_marker_and_one_version() -> None:
    assert (SRC / "py.typed").exists()
    assert f'version = "{spondyl.__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


# -- the checkers above must be able to fail --


def test_the_checker_of_docstrings_finds_a_silent_one() -> None:
    a_class = 'class C:\n    """A."""\n    def g(self): pass\n    def _h(self): pass\n'
    assert undocumented('"""Words."""\ndef f():\n    def inner(): pass\n' + a_class) == ["f", "C.g"]
    assert undocumented("x = 1\n") == ["the module"]
    assert undocumented('"""\n\nLate."""\n') == []
    assert undocumented('"""Words."""\ndef f():\n    """   """\n') == ["f"]


def test_the_checkers_of_length_count_lines() -> None:
    body = "".join("    x = 1\n" for _ in range(59))
    assert too_long(f"def f():\n{body}") == []
    assert too_long(f"def f():\n    y = 0\n{body}") == ["f has 61 lines"]
    assert unexcused_length("x = 1\n" * 300) == 0
    assert unexcused_length("x = 1\n" * 301) == 301
    assert unexcused_length("# Longer than 300 lines: one table.\n" + "x = 1\n" * 301) == 0


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(p)",
        "torch.load(p, weights_only=False)",
        "np.load(p, allow_pickle=True)",
        "eval(text)",
        "subprocess.run(c, shell=True)",
    ],
)
def test_the_checker_of_safety_finds_a_dangerous_line(line: str) -> None:
    assert len(unsafe(line)) == 1


def test_the_checker_of_safety_lets_a_safe_line_pass() -> None:
    assert unsafe("torch.load(p, weights_only=True)\nnp.load(p)\nnp.load(p, allow_pickle=False)\nmodel.eval()\n") == []


def test_the_checker_of_annotations_finds_any_and_kwargs() -> None:
    assert loose("from typing import Any, Final\ndef f(**more: int) -> None: ...\n") == ["1: Any", "2: f takes **more"]
