"""Whether this machine has CPUs enough for who wants them, by the kernel's pressure record.

documented: https://docs.kernel.org/accounting/psi.html. Kernels without the record, or other systems, tell nothing.
"""

from __future__ import annotations

from pathlib import Path

RECORD = Path("/proc/pressure/cpu")


def waited_us() -> int | None:
    """For how many µs since the machine started somebody waited for a CPU; None where nothing tells."""
    return None if (found := _some("total")) is None else int(found)


def recent_share() -> float | None:
    """In which share (0 to 1) of the last ten seconds somebody waited for a CPU; None where nothing tells."""
    return None if (found := _some("avg10")) is None else found / 100


def _some(name: str) -> float | None:
    try:
        words = RECORD.read_text().splitlines()[0].split()
        return float(dict(word.split("=") for word in words[1:])[name])
    except (OSError, ValueError, IndexError, KeyError):
        return None
