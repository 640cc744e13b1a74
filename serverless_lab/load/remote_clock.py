"""How far the clock of another machine is from ours, from messages that went there and back.

The idea is NTP's (RFC 5905, section 8): a reading there, taken between two here, is off by half the way at most. The
reading that took the shortest way says most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Reading(NamedTuple):
    """Times in seconds since the epoch: ours when we asked, theirs when they answered, ours when that came back."""

    asked_s: float
    there_s: float
    heard_s: float

    @property
    def round_trip_s(self) -> float:
        return self.heard_s - self.asked_s


def offset(readings: Sequence[Reading]) -> tuple[float, float]:
    """Seconds by which their clock is ahead of ours, and how long the message took: it is right to half of that."""
    best = min(readings, key=lambda reading: reading.round_trip_s)
    return best.there_s - (best.asked_s + best.heard_s) / 2, best.round_trip_s
