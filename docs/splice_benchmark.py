"""Put the tables that the benchmarks wrote into docs/projector.md, between their markers.

Usage: python docs/splice_benchmark.py [--check]

With --check nothing is written; the exit code is 1 where the page is old. A pair of markers is `benchmark FILE: begin` and
`benchmark FILE: end`, as comments; FILE lies in benchmarks/. Where it is not there the page says so.
"""

import re
import sys
from pathlib import Path

PAGE = Path(__file__).with_name("projector.md")
RESULTS = PAGE.parents[1] / "benchmarks"
BLOCK = re.compile(r"(<!-- benchmark (?P<file>[\w.]+): begin -->\n).*?(<!-- benchmark (?P=file): end -->)", re.DOTALL)


def table(file: str) -> str:
    """The Markdown that a benchmark wrote, or a sentence where it wrote none."""
    path = RESULTS / file
    return (
        path.read_text(encoding="utf-8").strip() if path.exists() else f"No figures yet: there is no benchmarks/{file}."
    )


def spliced(page: str) -> str:
    """The page with every block written anew."""
    return BLOCK.sub(lambda match: f"{match[1]}\n{table(match['file'])}\n\n{match[3]}", page)


def main() -> int:
    """Write the page, or compare it."""
    old = PAGE.read_text(encoding="utf-8")
    new = spliced(old)
    if "--check" in sys.argv[1:]:
        if old != new:
            print("docs/projector.md is old; run: python docs/splice_benchmark.py", file=sys.stderr)
        return int(old != new)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
