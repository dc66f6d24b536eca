"""The other end of `local`: one process that does one unit after another, told by lines of JSON on a pipe.

    in    {"work": "module:function", "settings": "..."}   once; then {"unit": 12} again and again; end of file: leave
    out   {"ready": true}, {"done": 12}, {"failed": 12, "kind": "ValueError", "errno": null, "reason": "..."}

Answers go to a pipe of their own, whose number is the only argument, so that nothing a library prints can be taken for one.
Nothing of spondyl is imported but what the work itself imports.
"""

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from types import FrameType
from typing import IO, cast

Work = Callable[[int, str], None]


def find(reference: str) -> Work:
    """The function that "module:function" names.

    Raises:
        ValueError: where there is none.
    """
    module, _, name = reference.partition(":")
    found = getattr(import_module(module), name, None) if module and name else None
    if not callable(found):
        raise ValueError(f"work is {reference!r}; wanted the name of a function, as in package.module:function")
    return cast(Work, found)


def serve(lines: "queue.SimpleQueue[str]", answers: IO[str]) -> None:
    """Do every unit that comes, until an empty line (the end of the pipe) does."""
    first = json.loads(lines.get())
    try:
        work = find(first["work"])
    except Exception as error:  # whatever a module does when it is imported: the other side says it
        _say(answers, {"broken": _told(error)})
        return
    _say(answers, {"ready": True})
    while line := lines.get():
        unit = json.loads(line)["unit"]
        try:
            work(unit, first["settings"])
        except Exception as error:  # the unit has failed, the process goes on
            _say(
                answers, {"failed": unit, "kind": type(error).__name__, "errno": _errno(error), "reason": _told(error)}
            )
        else:
            _say(answers, {"done": unit})


def _errno(error: BaseException) -> int | None:
    for one in (error, error.__cause__):
        if isinstance(one, OSError) and one.errno is not None:
            return one.errno
    return None


def _told(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, ValueError | OSError) and text else f"{type(error).__name__}: {text}"


def _say(answers: IO[str], message: dict[str, object]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def _listen(lines: "queue.SimpleQueue[str]") -> None:
    """Pass the lines on. When the pipe ends in the middle of a unit the other side is gone: stop, cleanly."""
    for line in sys.stdin:
        lines.put(line)
    lines.put("")
    os.kill(os.getpid(), signal.SIGTERM)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def main() -> None:
    """Run until the pipe ends or SIGTERM comes; files in the making are then removed by those that make them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal goes to everybody; the parent decides
    signal.signal(signal.SIGTERM, _leave)
    answers = os.fdopen(int(sys.argv[1]), "w", encoding="utf-8")
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    serve(lines, answers)


if __name__ == "__main__":
    main()
