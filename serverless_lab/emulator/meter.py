"""How long a job took: on the wall clock, or as it would have taken with a CPU of its own.

The virtual duration of a job is

    time on CPU x CPU factor  +  time blocked  +  what AWS's services would have taken

where time blocked leaves out the time its threads waited in the host's run queue and the time the emulated services
took to answer. So a busy laptop, or one with few cores, measures the same.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
BLOCKED_AFTER_NS = 15_000_000
"""A running job that used no CPU for this long lends its token."""


class Speedometer:
    """How fast this host's CPU is just now, against what it was when the machine was first seen.

    Frequency, hyper-threads and neighbours outside a virtual machine change it by half and more within minutes. Every
    runtime process starts with the same work, so the CPU time of the last few starts tells: their median, because one
    start alone is noisy.

    Args:
        reference_ns: CPU time of a start at the reference speed; see `runtime_directory.reference_boot_ns`.
    """

    SAMPLES = 9

    def __init__(self, reference_ns: int) -> None:
        self._reference_ns = reference_ns
        self._boots: deque[int] = deque(maxlen=self.SAMPLES)

    def add(self, boot_ns: int) -> None:
        self._boots.append(boot_ns)

    def scale(self) -> float:
        """Seconds at the reference speed for a second on the CPU as it is now; 1 while nothing has been measured."""
        boots = sorted(self._boots)
        return self._reference_ns / boots[len(boots) // 2] if boots else 1.0


class Meter(Protocol):
    """Measures one job, from `begin` on. `start_ms` is when the job starts, in the emulator's time."""

    start_ms: float

    def begin(self, pid: int, born_ns: int | None = None) -> None:
        """Measure process `pid`: from now, or from its very start at `born_ns` of `time.monotonic_ns`."""

    def calibrate(self, boot_ns: int) -> None:
        """The process measured has told how much CPU its start took."""

    def elapsed_ms(self, at_ns: int) -> float:
        """How long the job had taken at `at_ns`, when it was just heard of."""

    def surely_ms(self) -> float:
        """How long the job has taken at least, of one that has not been heard of for a while."""

    def patience_ns(self, limit_ms: float) -> int:
        """How long to wait for real before asking again whether `limit_ms` has passed."""


class WallMeter:
    """Real time."""

    def __init__(self, start_ms: float) -> None:
        self.start_ms = start_ms
        self._began_ns = time.monotonic_ns()

    def begin(self, pid: int, born_ns: int | None = None) -> None:
        self._began_ns = time.monotonic_ns() if born_ns is None else born_ns

    def calibrate(self, boot_ns: int) -> None:
        """Real time is what it is."""

    def elapsed_ms(self, at_ns: int) -> float:
        return (at_ns - self._began_ns) / 1e6

    def surely_ms(self) -> float:
        return self.elapsed_ms(time.monotonic_ns())

    def patience_ns(self, limit_ms: float) -> int:
        return max(0, int((limit_ms - self.surely_ms()) * 1e6))


@dataclass(frozen=True)
class Usage:
    """CPU time and run-queue wait of a process and its children, in ns since their start."""

    cpu_ns: int
    run_delay_ns: int


def usage(pid: int) -> Usage | None:
    """What process `pid` has used so far; None when it is gone.

    CPU time comes from the process's CPU clock, which is exact; the kernel's schedstat lags by up to a tick. Run-queue
    wait is the sum over the living threads of /proc/<pid>/task/*/schedstat, and 0 where the kernel has none.
    """
    try:
        cpu_ns = time.clock_gettime_ns(_cpu_clock(pid)) + _reaped_children_ns(pid)
        children = [child for thread in _threads(pid) for child in _children(pid, thread)]
    except OSError:
        return None
    delay_ns = sum(_run_delay_ns(pid, thread) for thread in _threads(pid))
    for child in children:
        below = usage(child)
        if below is not None:
            cpu_ns += below.cpu_ns
            delay_ns += below.run_delay_ns
    return Usage(cpu_ns, delay_ns)


class VirtualMeter:
    """The job's own time; see the module's docstring.

    Args:
        start_ms: when the job starts.
        cpu_factor: virtual seconds for a second on this host's CPU at its reference speed.
        speed: how fast that CPU is just now.
    """

    def __init__(self, start_ms: float, cpu_factor: float, speed: Speedometer) -> None:
        self.start_ms = start_ms
        self._cpu_factor = cpu_factor
        self._speed = speed
        self._factor = cpu_factor * speed.scale()
        self._calibrated = False
        self._lock = threading.Lock()
        self._pid: int | None = None
        self._began_ns = time.monotonic_ns()
        self._base = Usage(0, 0)
        self._last = Usage(0, 0)
        self._cut_ns = 0
        self._modelled_ms = 0.0
        self._open: dict[int, float] = {}
        self._opened_ns = 0
        self._group_ms = 0.0
        self._windows = 0
        self._asleep_ns = 0
        self._asleep_since_ns: int | None = None
        self._looked_ns = self._began_ns
        self._looked_asleep = False

    def begin(self, pid: int, born_ns: int | None = None) -> None:
        with self._lock:
            self._pid = pid
            self._base = Usage(0, 0) if born_ns is not None else usage(pid) or Usage(0, 0)
            self._last = self._base
            self._began_ns = time.monotonic_ns() if born_ns is None else born_ns
            self._calibrated = False
            self._looked_ns, self._looked_asleep, self._asleep_ns, self._asleep_since_ns = 0, False, 0, None

    def calibrate(self, boot_ns: int) -> None:
        with self._lock:
            if not self._calibrated:
                self._calibrated = True
                self._speed.add(boot_ns)
                self._factor = self._cpu_factor * self._speed.scale()

    def elapsed_ms(self, at_ns: int) -> float:
        with self._lock:
            return self._elapsed_ms(at_ns)

    def surely_ms(self) -> float:
        """CPU time used so far, and the time it was seen asleep.

        Not wall time less the rest: the kernel tells how long a thread waited for a CPU only when it has got one, so a
        job that is held up by a busy host would look as if it slept.
        """
        with self._lock:
            self._look()
            return (
                (self._last.cpu_ns - self._base.cpu_ns) * self._factor / 1e6 + self._asleep_ns / 1e6 + self._modelled_ms
            )

    def patience_ns(self, limit_ms: float) -> int:
        left_ms = limit_ms - self.surely_ms()
        # CPU time counts for more than it lasts, so look again before the limit could have been reached.
        return int(min(max(left_ms / max(self._factor, 1.0), 2.0), 1_000.0) * 1e6)

    def is_blocked(self) -> bool:
        """Whether the job has been asleep for a while: it waits for something outside, and needs no CPU."""
        with self._lock:
            return self._asleep_since_ns is not None and time.monotonic_ns() - self._asleep_since_ns > BLOCKED_AFTER_NS

    def _look(self) -> None:
        """Note whether the process sleeps, and for how long it has since the last look."""
        now_ns = time.monotonic_ns()
        found = None if self._pid is None else usage(self._pid)
        asleep = found is not None and self._pid is not None and not self._open and _is_asleep(self._pid)
        if found is not None:
            if asleep and self._looked_asleep and found.cpu_ns == self._last.cpu_ns:
                self._asleep_ns += now_ns - self._looked_ns
                self._asleep_since_ns = self._asleep_since_ns or self._looked_ns
            else:
                self._asleep_since_ns = None
            self._last = found
        self._looked_ns, self._looked_asleep = now_ns, asleep

    @contextlib.contextmanager
    def service(self, model_ms: float) -> Iterator[None]:
        """An emulated service works for the job: its real time is cut out, and `model_ms` of AWS's put in.

        Calls in parallel count once, with the longest of them.
        """
        with self._lock:
            if not self._open:
                self._opened_ns, self._group_ms = time.monotonic_ns(), 0.0
            self._windows += 1
            number = self._windows
            self._open[number] = model_ms
            self._group_ms = max(self._group_ms, model_ms)
        try:
            yield
        finally:
            with self._lock:
                del self._open[number]
                if not self._open:
                    self._cut_ns += time.monotonic_ns() - self._opened_ns
                    self._modelled_ms += self._group_ms

    @contextlib.contextmanager
    def away(self) -> Iterator[Away]:
        """The job waits for another job, which has a duration of its own: `Away.took` says it."""
        call = Away()
        with self.service(0.0):
            yield call
        with self._lock:
            self._modelled_ms += call.took_ms

    def _elapsed_ms(self, at_ns: int) -> float:
        if self._pid is None:
            return 0.0
        found = usage(self._pid)
        if found is not None:
            self._last = found
        cpu_ns = self._last.cpu_ns - self._base.cpu_ns
        delay_ns = self._last.run_delay_ns - self._base.run_delay_ns
        wall_ns = at_ns - self._began_ns
        cut_ns = self._cut_ns
        if self._open:
            cut_ns += max(0, at_ns - self._opened_ns)
        blocked_ns = max(0, wall_ns - cpu_ns - max(0, delay_ns) - cut_ns)
        return (cpu_ns * self._factor + blocked_ns) / 1e6 + self._modelled_ms


@dataclass
class Away:
    took_ms: float = 0.0


def _cpu_clock(pid: int) -> int:
    """The CPU clock of a process: what clock_getcpuclockid(3) gives, whose encoding is the kernel's ABI."""
    return (~pid) << 3 | 2


def _threads(pid: int) -> list[str]:
    return os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - called for every invocation, and Path would cost more


def _is_asleep(pid: int) -> bool:
    """Whether no thread of the process runs, or waits for a CPU to run on."""
    try:
        return all(
            Path(f"/proc/{pid}/task/{thread}/stat").read_bytes().rpartition(b") ")[2][:1] not in b"R"
            for thread in _threads(pid)
        )
    except OSError:
        return False


def _children(pid: int, thread: str) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{thread}/children").read_bytes().split()]
    except (OSError, ValueError):
        return []


def _run_delay_ns(pid: int, thread: str) -> int:
    try:
        return int(Path(f"/proc/{pid}/task/{thread}/schedstat").read_bytes().split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _reaped_children_ns(pid: int) -> int:
    """CPU time of children that have ended: fields 16 and 17 of /proc/<pid>/stat, in clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return (int(fields[13]) + int(fields[14])) * _TICK_NS
