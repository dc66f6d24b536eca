"""Put the rows of benchmarks/validation.csv into docs/validation.md, between their markers.

Usage: python docs/splice_validation.py [--check]

With --check nothing is written; the exit code is 1 where the page is old. A pair of markers is `rows NAME: begin` and
`rows NAME: end`, as comments; NAME is a table of the results: cohort, images, films, readers. A page says where it has none.
"""

import re
import sys
from pathlib import Path

PAGE = Path(__file__).with_name("validation.md")
BENCHMARKS = PAGE.parents[1] / "benchmarks"
BLOCK = re.compile(r"(<!-- rows (?P<name>\w+): begin -->\n).*?(<!-- rows (?P=name): end -->)", re.DOTALL)
sys.path.insert(0, str(BENCHMARKS))
from cohort_rows import RESULTS, markdown, stored  # noqa: E402


def table(name: str, results: Path = RESULTS) -> str:
    """The Markdown of one table of the results, or a sentence where it has none."""
    rows = [r for r in stored(results) if r["table"] == name] if results.exists() else []
    return markdown(rows) if rows else f"No figures yet: benchmarks/validation.csv has no table {name!r}."


def spliced(page: str, results: Path = RESULTS) -> str:
    """The page with every block written anew."""
    return BLOCK.sub(lambda match: f"{match[1]}\n{table(match['name'], results)}\n\n{match[3]}", page)


def main() -> int:
    """Write the page, or compare it."""
    old = PAGE.read_text(encoding="utf-8")
    new = spliced(old)
    if "--check" in sys.argv[1:]:
        if old != new:
            print("docs/validation.md is old; run: python docs/splice_validation.py", file=sys.stderr)
        return int(old != new)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
