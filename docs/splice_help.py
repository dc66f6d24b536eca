"""Put the help texts of the command line into docs/cli.md, between its markers.

Usage: python docs/splice_help.py [--check]

With --check nothing is written; the exit code is 1 where the page is old. A marker is a comment `help: spondyl project`,
followed by a block of text that this script owns.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).with_name("cli.md")
BLOCK = re.compile(r"(<!-- help: spondyl(?P<command>[\w -]*) -->\n)```text\n(?P<text>.*?)```\n", re.DOTALL)


def help_text(command: str) -> str:
    """What `spondyl COMMAND --help` prints without colours and boxes, 100 columns wide."""
    plain = {**os.environ, "TYPER_USE_RICH": "0", "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "100"}
    words = [sys.executable, "-m", "spondyl.cli", *command.split(), "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=plain, timeout=60)
    return "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines())


def blocks(page: str) -> dict[str, str]:
    """The help texts that a page holds now, by command; "" is the program itself."""
    return {match["command"].strip(): match["text"] for match in BLOCK.finditer(page)}


def spliced(page: str) -> str:
    """The page with every block written anew."""
    return BLOCK.sub(lambda match: f"{match[1]}```text\n{help_text(match['command'])}\n```\n", page)


def main() -> int:
    """Write the page, or compare it."""
    old = PAGE.read_text(encoding="utf-8")
    new = spliced(old)
    if "--check" in sys.argv[1:]:
        if old != new:
            print("docs/cli.md is old; run: python docs/splice_help.py", file=sys.stderr)
        return int(old != new)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
