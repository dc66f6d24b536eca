"""Free memory is the smaller of what the machine and its container leave, and the file cache counts as free."""

from pathlib import Path

import pytest

from spondyl import memory
from spondyl.memory import GB, free_memory_bytes, free_memory_gb


def machine(folder: Path, monkeypatch: pytest.MonkeyPatch, *, available_kb: int | None, files: dict[str, str]) -> None:
    if available_kb is not None:
        (folder / "meminfo").write_text(f"MemTotal: 99999999 kB\nMemAvailable: {available_kb} kB\n")
    for name, text in files.items():
        (folder / name).write_text(text)
    monkeypatch.setattr(memory, "MEMINFO", folder / "meminfo")
    monkeypatch.setattr(memory, "GROUP", folder)


def test_without_a_container_it_is_what_the_machine_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(tmp_path, monkeypatch, available_kb=2 * 2**20, files={"memory.max": "max\n", "memory.current": "1\n"})
    assert free_memory_bytes() == 2 * GB
    assert free_memory_gb() == 2.0


def test_a_container_limits_it_and_its_file_cache_gives_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = f"anon 5\ninactive_file {GB // 2}\nactive_file 7\n"
    files = {"memory.max": f"{3 * GB}\n", "memory.current": f"{2 * GB}\n", "memory.stat": stat}
    machine(tmp_path, monkeypatch, available_kb=9 * 2**20, files=files)
    assert free_memory_gb() == 1.5
    (tmp_path / "memory.stat").unlink()
    assert free_memory_gb() == 1.0


def test_it_is_never_negative_and_unknown_where_nothing_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(tmp_path, monkeypatch, available_kb=None, files={"memory.max": "10\n", "memory.current": "20\n"})
    assert free_memory_bytes() == 0
    monkeypatch.setattr(memory, "GROUP", tmp_path / "none")
    assert free_memory_bytes() is None
    assert free_memory_gb() is None
