"""A load process as a participant in an emulator's virtual time.

It joins with the instant of its first arrival, sends each planned request ahead of time with the instants of its own
arrival and of the one after it, and leaves. The emulator keeps a request until virtual time has reached it. What
depends on an answer (the next step of a session, the next request of a client) follows a hold: virtual time stands at
the end of the answered request until its follow-up is there, or the hold is released.

A participant that dies is dropped by the emulator after a while; one that is alive and has nothing in flight `beat`s.
Loaded in the load process only.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from serverless_lab.load.sender import Connections, exchange
from serverless_lab.load.templates import Origin

LATENCY_HEADER = "x-lab-latency-ms"
HOLD_ID_HEADER = "x-lab-hold-id"
CONTROL_TIMEOUT_S = 60.0


class ClockLost(Exception):
    """The emulator does not keep this participant's time any more, or never did."""


class Zero(NamedTuple):
    """The start of a run on the emulator's calendar."""

    epoch_ms: float


class Participant:
    """One load process of a run.

    Args:
        to: the emulator itself, not an API in it.
    """

    def __init__(self, to: Origin) -> None:
        self._to = to
        self._connections = Connections(to)
        self._token = ""
        self._sequence = 0

    def join(self, run: str, worker: int, workers: int, first_ms: float | None, quiet_ms: float) -> Zero:
        """Virtual time then stands still until all workers of the run have joined.

        Raises:
            ClockLost: the emulator has no virtual clock, or refuses.
        """
        answer = self._ask("join", run=run, worker=worker, workers=workers, first_ms=first_ms, quiet_ms=quiet_ms)
        self._token = str(answer["generator"])
        return Zero(float(answer["origin_epoch_ms"]))

    def planned(self, at_ms: float, next_ms: float | None, *, hold: bool = False) -> bytes:
        """Header lines of the next planned request; `next_ms` is the one after it, None for none. Called in order."""
        sequence, self._sequence = self._sequence, self._sequence + 1
        after = "none" if next_ms is None else f"{next_ms:.6f}"
        return self._stamp(at_ms, hold, f"x-lab-sequence: {sequence}\r\nx-lab-next-ms: {after}\r\n")

    def follow_up(self, hold_id: str, at_ms: float, *, count: int = 1, hold: bool = False) -> bytes:
        """Header lines of each of `count` requests that together use up a hold."""
        return self._stamp(at_ms, hold, f"x-lab-follows: {hold_id}\r\nx-lab-follow-count: {count}\r\n")

    def release(self, hold_id: str) -> None:
        """Nothing will follow."""
        self._ask("release", generator=self._token, hold=hold_id)

    def beat(self) -> float:
        """Says that this participant is there; gives the time since the run's zero, in ms."""
        return float(self._ask("beat", generator=self._token)["now_ms"])

    def leave(self) -> None:
        """Raises ClockLost when the emulator had dropped this participant before."""
        if self._token:
            token, self._token = self._token, ""
            self._ask("leave", generator=token)

    def _stamp(self, at_ms: float, hold: bool, more: str) -> bytes:
        held = "x-lab-hold: 1\r\n" if hold else ""
        return f"x-lab-generator: {self._token}\r\nx-lab-arrival-ms: {at_ms:.6f}\r\n{more}{held}".encode()

    def _ask(self, what: str, **said: Any) -> dict[str, Any]:
        body = json.dumps(said).encode()
        head = (
            f"POST /_lab/clock/{what} HTTP/1.1\r\nHost: {self._to.authority}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        reply = exchange(self._connections, "POST", head.encode() + body, CONTROL_TIMEOUT_S)
        if reply.status_code != 200:
            raise ClockLost(reply.error or sentence(reply.body) or f"status {reply.status_code}")
        answer: dict[str, Any] = json.loads(reply.body)
        return answer


def sentence(body: bytes) -> str:
    """What the emulator says is wrong."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return ""
