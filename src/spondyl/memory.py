"""How much memory a process can still take: the machine's, or less where a container limits it."""

from pathlib import Path

GB = 2**30
MEMINFO, GROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


def free_memory_bytes() -> int | None:
    """Bytes that a process can still take; None where the system does not tell.

    Linux: MemAvailable, and the limit of the control group (version 2) less what counts against it. Files that were read once
    count as used there and give way when memory is wanted, so they are taken as free.
    """
    free: list[int] = []
    if MEMINFO.is_file():
        rows = (line.split() for line in MEMINFO.read_text().splitlines())
        free += [int(row[1]) * 1024 for row in rows if row and row[0] == "MemAvailable:"]
    limit, used, stat = (GROUP / name for name in ("memory.max", "memory.current", "memory.stat"))
    if limit.is_file() and used.is_file() and limit.read_text().strip() != "max":
        lines = stat.read_text().splitlines() if stat.is_file() else []
        cache = sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
        free.append(int(limit.read_text()) - int(used.read_text()) + cache)
    return max(min(free), 0) if free else None


def free_memory_gb() -> float | None:
    """The same in GB (2^30 bytes)."""
    free = free_memory_bytes()
    return None if free is None else free / GB
