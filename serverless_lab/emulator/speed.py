"""How fast this host's CPU is for a job, just while the job runs.

A second on the CPU is not always the same amount of work: frequency, hyper-threads, caches that others fill and
neighbours outside a virtual machine change it by half and more within a second. So every runtime process does the same
small pieces of work now and then while its handler computes (`bootstrap.py`), and tells what CPU time each took:

    fresh     a loop over a dict, and the loading of compiled code, each with what is in the caches just then
    again     the loop once more at once, with its own data in the caches
    boot      the start of the process up to the loading of the runtime client

Imports behave like the fresh pieces and the boot, loops like what is done again. Against the reference of the machine
(`runtime_directory.reference`), these give the job's speed. docs/decisions/0003-cpu-speed.md has the measurements.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Sample(NamedTuple):
    """CPU time in ns of the pieces of work, done once."""

    loop: int
    load: int
    again: int


@dataclass(frozen=True)
class Reference:
    """CPU time in ns of a boot and of the pieces of work, at the speed that counts as 1."""

    boot: int
    sample: Sample


ENOUGH = 6
"""Samples of a job's own that say its speed; with fewer, the latest of other jobs help."""

INIT_WEIGHTS = (0.4, 0.4, 0.0, 0.2)
INVOKE_WEIGHTS = (0.5, 0.0, 0.5, 0.0)
"""Of loop, load, again and boot, in the geometric mean."""


class Speedometer:
    """The speed of each job, from its own samples and the latest ones of others.

    Args:
        reference: what the pieces of work take at speed 1; None: every second on the CPU counts as a second.
    """

    def __init__(self, reference: Reference | None) -> None:
        self._reference = reference
        self._recent: deque[Sample] = deque(maxlen=2 * ENOUGH)

    def add(self, samples: Iterable[Sample]) -> None:
        self._recent.extend(samples)

    def scale(self, own: Sequence[Sample] = (), boot_ns: int | None = None) -> float:
        """Seconds at the reference speed for a second on the CPU; 1 while nothing has been measured.

        Args:
            own: the samples of the job itself.
            boot_ns: CPU time of the process's start, where the job is an Init phase.
        """
        reference = self._reference
        missing = ENOUGH - len(own)
        samples = [*own, *list(self._recent)[-missing:]] if missing > 0 else list(own)
        if reference is None:
            return 1.0
        parts: list[tuple[float, float]] = []
        weights = INVOKE_WEIGHTS if boot_ns is None else INIT_WEIGHTS
        if samples:
            for weight, at_reference, taken in zip(weights, reference.sample, zip(*samples, strict=True), strict=False):
                parts.append((weight, at_reference / middle_mean(taken)))
        if boot_ns is not None:
            parts.append((weights[3], reference.boot / boot_ns))
        total = sum(weight for weight, _ in parts)
        return math.exp(sum(weight * math.log(ratio) for weight, ratio in parts) / total) if total else 1.0


def middle_mean(values: Sequence[float]) -> float:
    """The mean without the greatest and the smallest tenth, of few values one at each end."""
    ordered = sorted(values)
    cut = max(len(ordered) // 10, 1 if len(ordered) >= 3 else 0)
    kept = ordered[cut : len(ordered) - cut]
    return sum(kept) / len(kept)
