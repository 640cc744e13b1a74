"""Whether an environment keeps to its function's memory: looked at while it runs, and ended when it takes more.

AWS gives an environment as much memory as its function is configured with and ends it when that is not enough. Here the
processes share the host's memory, so it is watched: the sooner the next look, the less room is left. What counts is the
resident memory of the process and everything it has started, less pages of mapped files, which a machine short of
memory would drop rather than kill for. Pages that several processes share count once.

Linux, from /proc. A look takes about a tenth of a millisecond, of the emulator's time and not of the function's; where
it takes longer, as with many processes, looks are fewer in proportion.
"""

from __future__ import annotations

import contextlib
import os
import resource
import time
from dataclasses import dataclass

from serverless_lab import quotas

MEGABYTE = 1024 * 1024

GROWTH_BYTES_PER_NS = 4
"""No faster than this, 4 GB a second, does a process fill fresh memory: so much room, so long until the next look."""

SHORTEST_PAUSE_NS = 2_000_000
LONGEST_PAUSE_NS = 50_000_000
COST_SHARE = 20
"""Looks take at most one part in so many of the time."""

THREAD_STACK_BYTES = 8 * MEGABYTE

OOM_SCORE = 1000
"""Of an environment's processes: a host that is out of memory ends them first. Children inherit it."""

_PAGE = os.sysconf("SC_PAGE_SIZE")


class MemoryWatch:
    """Watches one process and its descendants.

    Args:
        pid: the process.
        limit_mb: what the function is configured with.
        born_ns: when the process started, of `time.monotonic_ns`.
    """

    def __init__(self, pid: int, limit_mb: int, born_ns: int) -> None:
        self.pid = pid
        self.limit_bytes = limit_mb * MEGABYTE
        self.peak_bytes = 0
        """The most it was seen to use, not more than the limit."""
        self.exceeded = False
        self.due_ns = born_ns + LONGEST_PAUSE_NS // 2
        """When to look next."""
        self._pause_ns = LONGEST_PAUSE_NS
        self._cpu_ns = -1
        self._alone = False

    def look(self) -> bool:
        """Whether it uses more than its limit; says when to look next. Never blocks, and is cheap when it sleeps."""
        begun_ns = time.monotonic_ns()
        try:
            cpu_ns = time.clock_gettime_ns((~self.pid) << 3 | 2)
        except OSError:
            self.due_ns = begun_ns + LONGEST_PAUSE_NS
            return self.exceeded
        if self._alone and cpu_ns == self._cpu_ns:
            self._pause_ns = min(2 * self._pause_ns, LONGEST_PAUSE_NS)
            self.due_ns = begun_ns + self._pause_ns
            return self.exceeded
        self._cpu_ns = cpu_ns
        used = self._used()
        self._note(used)
        ended_ns = time.monotonic_ns()
        room_ns = int((self.limit_bytes - used) / GROWTH_BYTES_PER_NS)
        shortest_ns = max(SHORTEST_PAUSE_NS, COST_SHARE * (ended_ns - begun_ns))
        self._pause_ns = max(shortest_ns, min(room_ns, LONGEST_PAUSE_NS))
        self.due_ns = ended_ns + self._pause_ns
        return self.exceeded

    def settle(self) -> bool:
        """Whether it has used more than its limit at any time, as the kernel remembers it: no look was needed."""
        with contextlib.suppress(OSError, ValueError):
            state = _status(self.pid)
            self._note(state.peak - state.files)
            self.peak_bytes = max(self.peak_bytes, min(state.peak, self.limit_bytes))
        return self.exceeded

    def _note(self, used: int) -> None:
        self.exceeded = self.exceeded or used > self.limit_bytes
        self.peak_bytes = max(self.peak_bytes, min(used, self.limit_bytes))

    def _used(self) -> int:
        processes = with_descendants(self.pid)
        self._alone = len(processes) == 1
        resident = sum(_resident(pid) for pid in processes)
        if resident <= self.peak_bytes or (self._alone and resident <= self.limit_bytes):
            return resident
        # Exactly, though it costs more: without files, and what processes share only once.
        return sum(_own(pid) if self._alone else _proportional(pid) for pid in processes)


def restrain(pid: int, limit_mb: int) -> None:
    """What holds even when nobody looks: bounds on what the process can ask for, and it is the first to be ended.

    The bound of memory leaves room for the stacks of as many threads as Lambda allows, which are asked for and never
    filled.
    """
    with contextlib.suppress(OSError, ValueError):
        _, hosts = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        most = quotas.FILE_DESCRIPTORS_MAX
        files = most if hosts == resource.RLIM_INFINITY else min(most, hosts)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (files, files))
    with contextlib.suppress(OSError, ValueError):
        bound = limit_mb * MEGABYTE + quotas.PROCESSES_AND_THREADS_MAX * THREAD_STACK_BYTES
        resource.prlimit(pid, resource.RLIMIT_DATA, (bound, bound))
    with contextlib.suppress(OSError):
        descriptor = os.open(f"/proc/{pid}/oom_score_adj", os.O_WRONLY)
        try:
            os.write(descriptor, str(OOM_SCORE).encode())
        finally:
            os.close(descriptor)


def with_descendants(pid: int) -> list[int]:
    """The process and all that it and its threads have started, as far as they are there."""
    found, unseen = [], [pid]
    while unseen:
        parent = unseen.pop()
        found.append(parent)
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{parent}/task"):  # noqa: PTH208 - Path costs more, and this is often called
                with contextlib.suppress(OSError, ValueError):
                    unseen += map(int, _read(f"/proc/{parent}/task/{thread}/children").split())
    return found


@dataclass(frozen=True)
class _Status:
    """In bytes: the most ever resident, and what is resident now of files."""

    peak: int
    files: int
    own: int


def _status(pid: int) -> _Status:
    fields = dict(line.split(b":", 1) for line in _read(f"/proc/{pid}/status").splitlines() if line[:1] in b"VR")

    def kilobytes(name: bytes) -> int:
        return int(fields.get(name, b"0").split()[0]) * 1024

    return _Status(kilobytes(b"VmHWM"), kilobytes(b"RssFile"), kilobytes(b"RssAnon") + kilobytes(b"RssShmem"))


def _resident(pid: int) -> int:
    try:
        return int(_read(f"/proc/{pid}/statm").split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0


def _own(pid: int) -> int:
    try:
        return _status(pid).own
    except (OSError, ValueError):
        return 0


def _proportional(pid: int) -> int:
    """Its share of what it uses, files left out; what the kernel keeps for it alone where it does not tell."""
    try:
        lines = _read(f"/proc/{pid}/smaps_rollup").splitlines()
        shares = dict(line.split(b":", 1) for line in lines if line.startswith(b"Pss_"))
        return sum(int(shares[name].split()[0]) * 1024 for name in (b"Pss_Anon", b"Pss_Shmem"))
    except (OSError, ValueError, KeyError, IndexError):
        return _own(pid)


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, 1 << 14)
    finally:
        os.close(descriptor)
