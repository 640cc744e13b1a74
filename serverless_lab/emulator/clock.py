"""Time as the emulator sees it. Handed in everywhere, so that another clock can take its place."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    name: str

    def now_ms(self) -> float:
        """Milliseconds since the emulator started; never goes back."""

    def epoch_ms(self, at_ms: float | None = None) -> int:
        """The calendar time of `at_ms`, or of now, in milliseconds since 1970: what logs and dates show."""


class WallClock:
    """Real time."""

    name = "wall"

    def __init__(self) -> None:
        self._started_ns = time.monotonic_ns()
        self._epoch_ms = time.time() * 1000

    def now_ms(self) -> float:
        return (time.monotonic_ns() - self._started_ns) / 1e6

    def epoch_ms(self, at_ms: float | None = None) -> int:
        return int(self._epoch_ms + (self.now_ms() if at_ms is None else at_ms))
