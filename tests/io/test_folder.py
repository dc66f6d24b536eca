"""A folder of results is there whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from spondyl.io.folder import whole_folder


def fill(out: Path, *names: str, ending: BaseException | None = None) -> None:
    """Write files of these names as one folder, and end with the exception if there is one."""
    with whole_folder(out) as staging:
        for name in names:
            (staging / name).write_text("new")
        if ending is not None:
            raise ending


def test_results_move_in_together_and_nothing_else_stays(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    with whole_folder(out) as staging:
        (staging / "pa.png").write_text("1")
        (staging / "report.html").write_text("2")
        assert [p.name for p in out.iterdir()] == [staging.name]
    assert sorted(p.name for p in out.iterdir()) == ["pa.png", "report.html"]


def test_a_failure_leaves_no_file_and_no_folder_that_was_not_there(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path / "a" / "b", "pa.png", ending=KeyboardInterrupt())
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_what_was_there_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "pa.png").write_text("old")
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OSError, match="full"):
        fill(tmp_path, "pa.png", ending=OSError("full"))
    assert (tmp_path / "pa.png").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.txt", "pa.png"]


def test_files_are_replaced_and_other_content_stays(tmp_path: Path) -> None:
    (tmp_path / "pa.png").write_text("old")
    (tmp_path / "mine.txt").write_text("mine")
    fill(tmp_path, "pa.png")
    assert (tmp_path / "pa.png").read_text() == "new"
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_the_last_file_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[str] = []
    rename = os.replace

    def watched(source: Path, target: Path) -> None:
        moved.append(Path(target).name)
        rename(source, target)

    monkeypatch.setattr(os, "replace", watched)
    with whole_folder(tmp_path, last=("a.html",)) as staging:
        for name in ("b", "a.html", "c"):
            (staging / name).write_text("x")
    assert moved == ["b", "c", "a.html"]


def test_a_file_where_the_folder_should_go_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ValueError, match="is a file"):
        fill(tmp_path / "out", "pa.png")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_folder_where_a_result_should_go_is_refused_before_anything_moves(tmp_path: Path) -> None:
    (tmp_path / "b.png").mkdir()
    with pytest.raises(ValueError, match=r"b\.png is a folder"):
        fill(tmp_path, "a.png", "b.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.png"]


def test_an_error_names_the_users_folder_and_keeps_its_number(tmp_path: Path) -> None:
    def fail() -> None:
        with whole_folder(tmp_path / "out") as staging:
            raise OSError(errno.ENOSPC, "No space left on device", str(staging / "pa.png"))

    with pytest.raises(OSError, match="No space left") as caught:
        fail()
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path / "out" / "pa.png")
