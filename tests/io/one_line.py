"""Holds a reader to its promise about bad input: one line that names what is wrong."""

from pathlib import Path

import pytest

from spondyl.io.volumes import read_ct


def refused(path: Path, *words: str) -> None:
    """Assert that reading `path` as a CT raises ValueError in one line that holds all of these words."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the words are the match)
        read_ct(path)
    text = str(caught.value)
    assert "\n" not in text
    assert all(word in text for word in words), text


def notes(path: Path) -> str:
    """What the reader noted about `path`, joined."""
    return " | ".join(read_ct(path)[1].notes)
