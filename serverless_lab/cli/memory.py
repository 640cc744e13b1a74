"""How much memory new processes may take here before something is killed."""

from __future__ import annotations

from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def available_mb(cgroups: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """Free memory in MB: the machine's, or what this container's limit leaves when that is less."""
    import psutil

    return min([psutil.virtual_memory().available, *_left_by_limits(cgroups, own)]) // (1024 * 1024)


def _left_by_limits(cgroups: Path, own: Path) -> list[int]:
    """Bytes that each limit above this process leaves (cgroup v2). What the page cache holds counts as free."""
    try:
        below = next(line[3:] for line in own.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return []
    group = cgroups / below.strip("/")
    left = []
    for folder in (group, *group.parents):
        if not folder.is_relative_to(cgroups):
            break
        try:
            limit = (folder / "memory.max").read_text().strip()
            used = int((folder / "memory.current").read_text())
            facts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):
            continue
        if limit != "max":
            left.append(max(0, int(limit) - used + int(facts.get("inactive_file", 0))))
    return left
