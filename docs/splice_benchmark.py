"""Put the tables that the benchmarks wrote into the pages that show them, between their markers.

Usage: python docs/splice_benchmark.py [--check]

With --check nothing is written; the exit code is 1 where the page is old. A pair of markers is `benchmark FILE: begin` and
`benchmark FILE: end`, as comments; FILE lies in benchmarks/. Where it is not there the page says so.
"""

import re
import sys
from pathlib import Path

PAGES = tuple(Path(__file__).with_name(name) for name in ("projector.md", "sensors.md", "training.md"))
RESULTS = Path(__file__).parents[1] / "benchmarks"
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
    """Write the pages, or compare them."""
    old_pages = []
    for page in PAGES:
        old = page.read_text(encoding="utf-8")
        new = spliced(old)
        if old != new and "--check" in sys.argv[1:]:
            old_pages.append(f"docs/{page.name}")
        elif old != new:
            page.write_text(new, encoding="utf-8")
    if old_pages:
        print(f"{' and '.join(old_pages)} old; run: python docs/splice_benchmark.py", file=sys.stderr)
    return int(bool(old_pages))


if __name__ == "__main__":
    sys.exit(main())
