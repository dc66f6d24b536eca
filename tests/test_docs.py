"""Documents cannot go stale: examples run, help texts and public names are there, links lead somewhere, versions agree."""

import ast
import doctest
import importlib
import importlib.util
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import spondyl
from spondyl.cli import commands

ROOT = Path(__file__).resolve().parents[1]
DOCS, SRC = ROOT / "docs", ROOT / "src" / "spondyl"
PAGES = sorted([*DOCS.glob("*.md"), *(ROOT / n for n in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))])
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def with_source() -> dict[str, str]:
    """The environment of a process that imports this source tree."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "src")}


def anchors(page: str) -> set[str]:
    """The #anchors that a page's headings make."""
    headings = re.findall(r"^#+\s+(.*)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


def dead_links(path: Path, page: str) -> list[str]:
    """Links of a page to files or headings that are not there; addresses with a scheme are not asked for."""
    dead = []
    for target in LINK.findall(re.sub(r"```.*?```", "", page, flags=re.DOTALL)):
        file, _, anchor = target.partition("#")
        to = path if not file else path.parent / file
        if re.match(r"\w+:", target):
            continue
        if not to.exists() or (anchor and to.suffix == ".md" and anchor not in anchors(read(to) if file else page)):
            dead.append(target)
    return dead


@pytest.mark.parametrize("path", [p for p in PAGES if ">>>" in read(p)], ids=name_of)
def test_the_examples_on_a_page_give_what_the_page_says(path: Path) -> None:
    report: list[str] = []
    parsed = doctest.DocTestParser().get_doctest(read(path), {}, name_of(path), str(path), 0)
    assert parsed.examples
    doctest.DocTestRunner(verbose=False).run(parsed, out=report.append)
    assert not report, "".join(report)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_link_leads_to_something(path: Path) -> None:
    assert dead_links(path, read(path)) == []


def test_the_checker_of_links_finds_a_dead_one() -> None:
    page = "# A b\n[x](nowhere.md) ![y](gone.png) [z](#a-b) [w](#c) [v](https://example.org)\n```\n[u](code.md)\n```\n"
    assert dead_links(DOCS / "index.md", page) == ["nowhere.md", "gone.png", "#c"]


def test_every_page_is_in_the_navigation_and_on_the_front_page() -> None:
    nav = set(re.findall(r":\s+([\w-]+\.md)$", read(ROOT / "mkdocs.yml"), re.MULTILINE))
    pages = {p.name for p in DOCS.glob("*.md")}
    assert nav == pages
    front = read(DOCS / "index.md")
    assert [p for p in pages - {"index.md"} if f"({p})" not in front] == []


def test_every_public_name_has_its_line_in_the_api_page() -> None:
    page = read(DOCS / "api.md")
    assert [name for name in spondyl.__all__ if f"`{name}`" not in page] == []


def test_every_numbering_of_labels_and_every_machine_is_on_a_page() -> None:
    from spondyl.io.label_schemes import SCHEMES
    from spondyl.xray.geometries import GEOMETRIES

    assert [name for name in SCHEMES if f"`{name}`" not in read(DOCS / "files.md")] == []
    assert [name for name in GEOMETRIES if f"`{name}`" not in read(DOCS / "projector.md")] == []


@cache
def dotted_names(page: str) -> frozenset[str]:
    return frozenset(re.findall(r"`(spondyl(?:\.\w+)+)`", page))


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_dotted_name_on_a_page_exists(path: Path) -> None:
    missing = []
    for dotted in sorted(dotted_names(read(path))):
        try:
            if importlib.util.find_spec(dotted) is not None:
                continue
        except (ModuleNotFoundError, ImportError):
            pass
        owner, _, name = dotted.rpartition(".")
        try:
            found = hasattr(importlib.import_module(owner), name)
        except ModuleNotFoundError:
            found = False
        if not found:
            missing.append(dotted)
    assert not missing


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_file_named_on_a_page_exists(path: Path) -> None:
    named = set(re.findall(r"`((?:src|tests|docs|benchmarks|examples)/[\w./-]+\.\w+)`", read(path)))
    assert [n for n in sorted(named) if not (ROOT / n).exists()] == []


def test_every_part_of_the_package_is_on_the_architecture_page() -> None:
    page = read(DOCS / "architecture.md")
    parts = [f"{p.name}/" if p.is_dir() else p.name for p in SRC.iterdir() if not p.name.startswith("__")]
    parts = [p for p in parts if p.endswith(".py") or (p.endswith("/") and any((SRC / p).glob("*.py")))]
    assert [p for p in parts if f"`{p}`" not in page] == []


# -- the command line --


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def splice_help() -> ModuleType:
    return script("splice_help")


def said(text: str) -> list[str]:
    """The words of a help text without its usage line and the names of types, which change with typer's version."""
    lines = [line for line in text.splitlines() if not line.startswith("Usage:")]
    return re.sub(r"<\w+>|\b[A-Z]{2,}\b|[{}]", "", "\n".join(lines)).split()


COMMANDS = ("", *commands.COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_on_the_page_is_the_help_of_the_program(
    splice_help: ModuleType, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    page = splice_help.blocks(read(DOCS / "cli.md"))
    assert set(page) == set(COMMANDS)
    assert said(page[command]) == said(splice_help.help_text(command)), "run: python docs/splice_help.py"


def test_splicing_changes_nothing_but_the_blocks(splice_help: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splice_help, "help_text", lambda command: f"help of {command.strip()}")
    page = "a\n<!-- help: spondyl x -->\n```text\n```\nb\n```sh\nc\n```\n<!-- help: spondyl -->\n```text\nold\nold\n```\nd\n"
    new = splice_help.spliced(page)
    assert splice_help.blocks(new) == {"x": "help of x\n", "": "help of \n"}
    assert new.replace("help of x\n", "").replace("help of \n", "old\nold\n") == page
    assert splice_help.spliced(new) == new


def test_the_benchmark_tables_on_the_page_are_those_that_the_benchmarks_wrote() -> None:
    splice = script("splice_benchmark")
    for page, blocks in zip(splice.PAGES, (2, 1, 1), strict=True):
        text = read(page)
        assert text.count("<!-- benchmark ") == 2 * blocks
        assert splice.spliced(text) == text, "run: python docs/splice_benchmark.py"


def test_splicing_a_table_changes_nothing_but_its_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    splice = script("splice_benchmark")
    monkeypatch.setattr(splice, "RESULTS", tmp_path)
    (tmp_path / "a.md").write_text("new\n")
    page = "x\n<!-- benchmark a.md: begin -->\nold\n<!-- benchmark a.md: end -->\ny\n"
    new = splice.spliced(page)
    assert new == page.replace("\nold\n", "\n\nnew\n\n")
    assert splice.spliced(new) == new


# -- around the package --


def test_every_make_target_has_its_sentence_and_is_in_contributing() -> None:
    lines = read(ROOT / "Makefile").splitlines()
    phony = next(line for line in lines if line.startswith(".PHONY:")).split()[1:]
    assert phony == ["setup", "demo", "check", "test", "docs", "bench"]
    for target in phony:
        at = next(i for i, line in enumerate(lines) if line.startswith(f"{target}:"))
        assert lines[at - 1].startswith(f"# {target}: ")
        assert f"make {target} " in read(ROOT / "CONTRIBUTING.md")


def test_make_installs_a_torch_that_the_package_accepts() -> None:
    pinned = re.search(r"^TORCH := torch==(\d+)\.(\d+)", read(ROOT / "Makefile"), re.MULTILINE)
    allowed = re.search(r'"torch>=(\d+)\.(\d+),<(\d+)\.(\d+)"', read(ROOT / "pyproject.toml"))
    assert pinned is not None
    assert allowed is not None
    low, high = tuple(map(int, allowed.groups()[:2])), tuple(map(int, allowed.groups()[2:]))
    assert low <= tuple(map(int, pinned.groups())) < high


def test_the_citation_names_this_version_and_licence() -> None:
    fields = dict(re.findall(r"^([\w-]+):\s*(\S.*)$", read(ROOT / "CITATION.cff"), re.MULTILINE))
    assert fields["cff-version"] == "1.2.0"
    assert fields["version"] == spondyl.__version__
    assert fields["license"] == "Apache-2.0"
    assert {"message", "title", "type"} <= set(fields)
    assert spondyl.__version__ in read(ROOT / "CHANGELOG.md")


@pytest.mark.parametrize("path", EXAMPLES, ids=name_of)
def test_an_example_says_how_to_run_it_and_runs(path: Path, tmp_path: Path) -> None:
    first, *rest = (ast.get_docstring(ast.parse(read(path))) or "").splitlines()
    assert first.endswith(".")
    assert any(line.strip().startswith(f"python examples/{path.name}") for line in rest), "say how to run it"
    done = subprocess.run(
        [sys.executable, str(path), str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path, env=with_source(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert any(tmp_path.iterdir()), "an example leaves something to look at"


def test_the_figure_of_coordinates_can_be_drawn_and_says_the_same(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    drawn = tmp_path / "coordinates.svg"
    script = DOCS / "figures" / "coordinates.py"
    subprocess.run([sys.executable, str(script), str(drawn)], check=True, timeout=60, env=with_source())
    words = [re.findall(r"<text[^>]*>([^<]*)</text>", read(p)) for p in (drawn, script.with_suffix(".svg"))]
    assert words[0] == words[1]
    assert "left lateral" in words[0]
