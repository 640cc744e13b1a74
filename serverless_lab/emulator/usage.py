"""What a process and its children have used of the CPU, and how long they waited for one. Linux, from /proc.

CPU time comes from the process's CPU clock, which is exact; the kernel's schedstat, all there is for one thread of
another process, lags by up to a tick while that thread runs. Run-queue wait is schedstat's second number, and a thread
takes it with it when it ends.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """In ns since the process started. `cpu_ns` counts all threads and children one after the other.

    `uncounted_ns` is the CPU time of the thread that is not part of it; `lanes_ns` that of each other living thread of
    the process itself, by thread id.
    """

    cpu_ns: int
    run_delay_ns: int
    uncounted_ns: int = 0
    lanes_ns: dict[int, int] = field(default_factory=dict)


@cache
def tells_run_delay() -> bool:
    """Whether this kernel tells how long a thread waited in the run queue."""
    try:
        return int(Path("/proc/self/schedstat").read_bytes().split()[0]) > 0
    except (OSError, ValueError, IndexError):
        return False


class Account:
    """Follows one process and its children, and remembers the waits of threads that have ended since.

    Args:
        pid: the process.
        uncounted: a thread of it that is not part of what is measured.
    """

    def __init__(self, pid: int, uncounted: int | None = None) -> None:
        self.pid = pid
        self.uncounted = uncounted
        self._delays: dict[int, int] = {}

    def read(self, *, lanes: bool = False) -> Usage | None:
        """What has been used so far; None when the process is gone. `lanes`: by thread as well."""
        try:
            cpu_ns = self._tree_cpu_ns(self.pid)
            lanes_ns = self._lanes_ns() if lanes else {}
            uncounted_ns = 0 if self.uncounted is None else _schedstat(self.pid, self.uncounted)[0]
        except OSError:
            return None
        return Usage(cpu_ns - uncounted_ns, sum(self._delays.values()), uncounted_ns, lanes_ns)

    def process_cpu_ns(self) -> int:
        """CPU time of the process itself, all threads: one call of the kernel; 0 when it is gone."""
        try:
            return time.clock_gettime_ns(_cpu_clock(self.pid))
        except OSError:
            return 0

    def is_asleep(self) -> bool:
        """Whether no thread of the process runs, or waits for a CPU to run on."""
        try:
            return all(
                _read(f"/proc/{self.pid}/task/{thread}/stat").rpartition(b") ")[2][:1] != b"R"
                for thread in _threads(self.pid)
                if thread != str(self.uncounted)
            )
        except OSError:
            return False

    def _tree_cpu_ns(self, pid: int) -> int:
        cpu_ns = time.clock_gettime_ns(_cpu_clock(pid)) + _reaped_children_ns(pid)
        for thread in map(int, _threads(pid)):
            if thread != self.uncounted:
                self._delays[thread] = max(self._delays.get(thread, 0), _schedstat(pid, thread)[1])
            for child in _children(pid, thread):
                try:
                    cpu_ns += self._tree_cpu_ns(child)
                except OSError:
                    continue  # it has just ended: its parent has, or will have, its CPU time
        return cpu_ns

    def _lanes_ns(self) -> dict[int, int]:
        threads = [int(thread) for thread in _threads(self.pid)]
        return {thread: _schedstat(self.pid, thread)[0] for thread in threads if thread != self.uncounted}


def usage(pid: int) -> Usage | None:
    """What process `pid` and its children have used so far; None when it is gone."""
    return Account(pid).read()


def _cpu_clock(pid: int) -> int:
    """The CPU clock of a process: what clock_getcpuclockid(3) gives, whose encoding is the kernel's ABI."""
    return (~pid) << 3 | 2


def _read(path: str) -> bytes:
    """A file of /proc, in a third of the time that Path.read_bytes takes: jobs are looked at every few ms."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 1 << 16)
    finally:
        os.close(descriptor)


def _threads(pid: int) -> list[str]:
    return os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - as `_read`


def _children(pid: int, thread: int) -> list[int]:
    try:
        return [int(word) for word in _read(f"/proc/{pid}/task/{thread}/children").split()]
    except (OSError, ValueError):
        return []


def _schedstat(pid: int, thread: int) -> tuple[int, int]:
    """Ns on a CPU and in the run queue; 0 and 0 where the thread is gone or the kernel does not tell."""
    try:
        words = _read(f"/proc/{pid}/task/{thread}/schedstat").split()
        return int(words[0]), int(words[1])
    except (OSError, ValueError, IndexError):
        return 0, 0


def _reaped_children_ns(pid: int) -> int:
    """CPU time of children that have ended: fields 16 and 17 of /proc/<pid>/stat, in clock ticks."""
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return (int(fields[13]) + int(fields[14])) * _TICK_NS
