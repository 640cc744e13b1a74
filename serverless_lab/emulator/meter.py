"""How long a job took: on the wall clock, or as it would have taken with a CPU of its own.

The virtual duration of a job is

    time on CPU x speed x CPU factor  +  time blocked  +  what AWS's services would have taken

where time blocked leaves out the time its threads waited in the host's run queue and the time the emulated services
took to answer. So a busy laptop, or one with few cores, measures the same. Where the kernel does not tell how long a
thread waited in the run queue, only the time for which a job was seen asleep counts as blocked.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from serverless_lab.emulator.speed import Sample, Speedometer
from serverless_lab.emulator.usage import Account, Usage, tells_run_delay

BLOCKED_AFTER_NS = 15_000_000
"""A running job that used no CPU for this long lends its token."""

READ_AGAIN_NS = 24_000_000
"""So long a reading serves of a job that is seen to compute: all its threads and children cost more to read."""

COMPUTING_SHARE = 0.25
"""A job that used so much of the time is not asleep; the thread that measures the CPU's speed uses a tenth of that."""

PARALLEL_WINDOW_NS = 40_000_000
"""Threads that computed within such a window could have done so at the same time: a host takes turns in a few ms."""

SURE_SHARE = 0.9
"""Of a job's CPU time so far this share is sure to count: its speed is known better when it ends."""


class Meter(Protocol):
    """Measures one job, from `begin` on. `start_ms` is when the job starts, in the emulator's time."""

    start_ms: float

    def begin(
        self, pid: int, born_ns: int | None = None, uncounted: int | None = None, settled_ms: float = 0.0
    ) -> None:
        """Measure process `pid`: from now, or from its very start at `born_ns` of `time.monotonic_ns`.

        Its thread `uncounted` is no part of it. The job has taken `settled_ms` already, and no later knowledge of the
        CPU's speed changes that.
        """

    def hear(self, boot_ns: int | None, samples: Sequence[Sample], uncounted: int | None) -> None:
        """The process has told of the CPU's speed: by its start, when that belongs to the job, and since."""

    def elapsed_ms(self, at_ns: int) -> float:
        """How long the job had taken at `at_ns`, when it was just heard of."""

    def surely_ms(self) -> float:
        """How long the job has taken at least, of one that has not been heard of for a while."""

    def patience_ns(self, limit_ms: float) -> int:
        """How long to wait for real before asking again whether `limit_ms` has passed."""


class Strain:
    """How much of their time the jobs of a wall-clock emulator waited for a CPU of the host."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.executed_ms = 0.0
        self.waited_ms = 0.0

    def add(self, executed_ms: float, waited_ms: float) -> None:
        with self._lock:
            self.executed_ms += executed_ms
            self.waited_ms += waited_ms

    def to_json(self) -> dict[str, float]:
        with self._lock:
            return {"executed_ms": round(self.executed_ms, 3), "waited_ms": round(self.waited_ms, 3)}


class WallMeter:
    """Real time.

    Args:
        start_ms: when the job starts.
        strain: told how long the job waited for a CPU.
    """

    def __init__(self, start_ms: float, strain: Strain | None = None) -> None:
        self.start_ms = start_ms
        self._began_ns = time.monotonic_ns()
        self._settled_ms = 0.0
        self._strain = strain
        self._account: Account | None = None
        self._base: Usage | None = None

    def begin(
        self, pid: int, born_ns: int | None = None, uncounted: int | None = None, settled_ms: float = 0.0
    ) -> None:
        self._settled_ms = settled_ms
        self._began_ns = time.monotonic_ns() if born_ns is None else born_ns
        self._account = Account(pid, uncounted)
        self._base = Usage(0, 0) if born_ns is not None else self._account.read()

    def hear(self, boot_ns: int | None, samples: Sequence[Sample], uncounted: int | None) -> None:
        """Real time is what it is."""

    def elapsed_ms(self, at_ns: int) -> float:
        elapsed_ms = (at_ns - self._began_ns) / 1e6
        found = None if self._account is None else self._account.read()
        if self._strain is not None and found is not None and self._base is not None:
            self._strain.add(elapsed_ms, (found.run_delay_ns - self._base.run_delay_ns) / 1e6)
            self._account = None
        return self._settled_ms + elapsed_ms

    def surely_ms(self) -> float:
        return self._settled_ms + (time.monotonic_ns() - self._began_ns) / 1e6

    def patience_ns(self, limit_ms: float) -> int:
        return max(0, int((limit_ms - self.surely_ms()) * 1e6))


class VirtualMeter:
    """The job's own time; see the module's docstring.

    Args:
        start_ms: when the job starts.
        vcpus: how many virtual CPUs it has: with less than one its computing takes longer, and only its threads make
            use of more than one.
        speed: how fast the host's CPU is just now.
    """

    def __init__(self, start_ms: float, vcpus: float, speed: Speedometer) -> None:
        self.start_ms = start_ms
        self._vcpus = vcpus
        self._cpu_factor = max(1.0, 1.0 / vcpus)
        self._speed = speed
        self._factor = self._cpu_factor * speed.scale()
        self._samples: list[Sample] = []
        self._boot_ns: int | None = None
        self._lock = threading.Lock()
        self._account: Account | None = None
        self._began_ns = time.monotonic_ns()
        self._base = Usage(0, 0)
        self._last = Usage(0, 0)
        self._window = self._base
        self._window_ns = self._began_ns
        self._parallel_ns = 0
        self._cut_ns = 0
        self._settled_ms = 0.0
        self._modelled_ms = 0.0
        self._open: dict[int, float] = {}
        self._opened_ns = 0
        self._group_ms = 0.0
        self._windows = 0
        self._asleep_ns = 0
        self._asleep_since_ns: int | None = None
        self._looked_ns = self._began_ns
        self._looked_asleep = False
        self._looked_cpu_ns = 0
        self._read_ns = 0

    def begin(
        self, pid: int, born_ns: int | None = None, uncounted: int | None = None, settled_ms: float = 0.0
    ) -> None:
        with self._lock:
            self._account = Account(pid, uncounted)
            read = None if born_ns is not None else self._account.read(lanes=self._vcpus > 1)
            self._base = self._last = self._window = read or Usage(0, 0)
            self._parallel_ns, self._window_ns = 0, time.monotonic_ns()
            self._began_ns = time.monotonic_ns() if born_ns is None else born_ns
            if self._samples or self._boot_ns is not None:
                self._samples, self._boot_ns = [], None
                self._factor = self._cpu_factor * self._speed.scale()
            self._looked_ns, self._looked_asleep, self._asleep_ns, self._asleep_since_ns = 0, False, 0, None
            self._read_ns = 0
            self._settled_ms, self._modelled_ms, self._cut_ns = settled_ms, 0.0, 0
            self._opened_ns = time.monotonic_ns()

    def hear(self, boot_ns: int | None, samples: Sequence[Sample], uncounted: int | None) -> None:
        with self._lock:
            if self._account is not None and uncounted is not None:
                self._account.uncounted = uncounted
            if samples or boot_ns != self._boot_ns:
                self._samples += samples
                self._boot_ns = boot_ns
                self._factor = self._cpu_factor * self._speed.scale(self._samples, boot_ns)
                self._speed.add(samples)

    def elapsed_ms(self, at_ns: int) -> float:
        with self._lock:
            if self._account is None:
                return self._settled_ms
            self._read()
            if not tells_run_delay():
                return self._surely_ms(1.0)
            delay_ns = self._last.run_delay_ns - self._base.run_delay_ns
            cut_ns = self._cut_ns + (max(0, at_ns - self._opened_ns) if self._open else 0)
            # While its uncounted thread computes, a Python program waits for the interpreter's lock.
            cut_ns += self._last.uncounted_ns - self._base.uncounted_ns
            blocked_ns = max(0, at_ns - self._began_ns - self._cpu_ns() - delay_ns - cut_ns)
            return self._settled_ms + (self._serial_ns() * self._factor + blocked_ns) / 1e6 + self._modelled_ms

    def surely_ms(self) -> float:
        """CPU time used so far, and the time it was seen asleep.

        Not wall time less the rest: the kernel tells how long a thread waited for a CPU only when it has got one, so a
        job that is held up by a busy host would look as if it slept.
        """
        with self._lock:
            self._look()
            return self._surely_ms(SURE_SHARE)

    def patience_ns(self, limit_ms: float) -> int:
        left_ms = limit_ms - self.surely_ms()
        # CPU time counts for more than it lasts, so look again before the limit could have been reached.
        return int(min(max(left_ms / max(self._factor, 1.0), 2.0), 1_000.0) * 1e6)

    def is_blocked(self) -> bool:
        """Whether the job has been asleep for a while: it waits for something outside, and needs no CPU."""
        with self._lock:
            return self._asleep_since_ns is not None and time.monotonic_ns() - self._asleep_since_ns > BLOCKED_AFTER_NS

    def _surely_ms(self, share: float) -> float:
        spent_ms = (self._serial_ns() * self._factor * share + self._asleep_ns) / 1e6
        return self._settled_ms + spent_ms + self._modelled_ms

    def _look(self) -> None:
        """Note whether the process sleeps, and for how long it has since the last look."""
        now_ns = time.monotonic_ns()
        if self._is_computing(now_ns):
            self._looked_ns, self._looked_asleep, self._asleep_since_ns = now_ns, False, None
            return
        before_ns = self._last.cpu_ns
        if self._account is None or not self._read():
            self._looked_ns, self._looked_asleep = now_ns, False
            return
        asleep = not self._open and self._account.is_asleep()
        if asleep and self._looked_asleep and self._last.cpu_ns == before_ns:
            self._asleep_ns += now_ns - self._looked_ns
            self._asleep_since_ns = self._asleep_since_ns or self._looked_ns
        else:
            self._asleep_since_ns = None
        self._looked_ns, self._looked_asleep = now_ns, asleep

    def _is_computing(self, now_ns: int) -> bool:
        """Whether one clock tells enough: the process has used the CPU since the last look, and was read lately."""
        if self._account is None:
            return False
        before_ns, self._looked_cpu_ns = self._looked_cpu_ns, self._account.process_cpu_ns()
        used_ns = self._looked_cpu_ns - before_ns
        return now_ns - self._read_ns < READ_AGAIN_NS and used_ns > COMPUTING_SHARE * (now_ns - self._looked_ns)

    def _read(self) -> bool:
        """Take a new reading; False when the process is gone and the last one stays."""
        assert self._account is not None
        found = self._account.read(lanes=self._vcpus > 1)
        if found is None:
            return False
        self._last = found
        self._read_ns = now_ns = time.monotonic_ns()
        if self._vcpus > 1 and now_ns - self._window_ns > PARALLEL_WINDOW_NS:
            self._parallel_ns += _saved_ns(self._window, found, self._vcpus)
            self._window, self._window_ns = found, now_ns
        return True

    def _cpu_ns(self) -> int:
        return self._last.cpu_ns - self._base.cpu_ns

    def _serial_ns(self) -> int:
        """CPU time, of threads that can run at the same time only what the slowest of them takes."""
        saved_ns = _saved_ns(self._window, self._last, self._vcpus) if self._vcpus > 1 else 0
        return max(0, self._cpu_ns() - self._parallel_ns - saved_ns)

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


@dataclass
class Away:
    took_ms: float = 0.0


def _saved_ns(before: Usage, now: Usage, vcpus: float) -> int:
    """What threads that computed at the same time between two readings would have saved with `vcpus` of them."""
    spent_ns = now.cpu_ns - before.cpu_ns
    lanes = [total - before.lanes_ns.get(thread, 0) for thread, total in now.lanes_ns.items()]
    known_ns = sum(lanes)
    if spent_ns <= 0 or known_ns <= 0:
        return 0
    # A thread's own time lags by a tick: shares of the whole are what can be relied on.
    longest_ns = spent_ns * max(lanes) / known_ns
    return int(spent_ns - max(longest_ns, spent_ns / vcpus))
