"""Progress: plain lines in a log, a bar on a terminal, nothing of it where nobody looks."""

import io

import pytest

from spondyl.progress import Lines, Silent, progress_on


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_log_gets_one_line_a_step() -> None:
    out = io.StringIO()
    lines = Lines(out)
    lines.plan(2)
    lines.step("read")
    lines.step("project pa")
    assert out.getvalue() == "[1/2] read\n[2/2] project pa\n"


def test_a_step_more_than_planned_does_not_count_past_the_end() -> None:
    out = io.StringIO()
    lines = Lines(out)
    lines.step("read")
    assert out.getvalue() == "[1/1] read\n"


def test_no_terminal_means_plain_lines_and_an_untouched_error_stream() -> None:
    err, out = io.StringIO(), io.StringIO()
    with progress_on(err, out) as progress:
        progress.step("read")
    assert err.getvalue() == ""
    assert out.getvalue() == "[1/1] read\n"


def test_a_terminal_gets_a_bar_that_is_gone_when_the_block_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    err, out = Terminal(), io.StringIO()
    with progress_on(err, out) as progress:
        progress.plan(2)
        progress.step("read the CT")
        progress.step("project pa")
    assert out.getvalue() == ""
    assert "project pa" in err.getvalue()
    assert err.getvalue().rstrip().endswith("\x1b[2K")


def test_silence_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    Silent().plan(3)
    Silent().step("read")
    assert capfd.readouterr() == ("", "")
