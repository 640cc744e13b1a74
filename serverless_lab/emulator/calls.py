"""The calls that functions make to emulated services, counted as AWS would bill them.

Only functions' own calls: they are signed with the credentials of their environment. What people and `lab` itself ask
of the emulator is not in a bill of the functions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from serverless_lab.cost.service_calls import COUNTED, READS_BODIES, Billed, Call, billed

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

KEPT_BODY_BYTES = 4 * 1024 * 1024
"""More of a body is not read: no request or answer that is billed by its content is larger (BatchGetItem has 16 MB, of
which the units are counted as if it had 4)."""


@dataclass(slots=True)
class _Second:
    operations: dict[tuple[str, str], int] = field(default_factory=dict)
    units: dict[str, float] = field(default_factory=dict)
    stored: dict[str, int] = field(default_factory=dict)


class CallCounter:
    """What was called when, by the second of the emulator's clock, so that a run can be told from what was before."""

    def __init__(self) -> None:
        self._seconds: dict[int, _Second] = {}

    def add(self, at_ms: int, service: str, found: Billed) -> None:
        second = self._seconds.setdefault(at_ms // 1000, _Second())
        key = (service, found.operation)
        second.operations[key] = second.operations.get(key, 0) + 1
        for item, units in found.units.items():
            second.units[item] = second.units.get(item, 0) + units
        for where, size in found.stored.items():
            second.stored[where] = second.stored.get(where, 0) + size

    def between(self, since_ms: int, until_ms: int) -> dict[str, Any]:
        """The calls from the second of the one instant to that of the other, as plain data.

        `calls` is service -> operation -> how many, `units` item -> units, `stored_bytes` service -> bytes.
        """
        calls: dict[str, dict[str, int]] = {}
        units: dict[str, float] = {}
        stored: dict[str, int] = {}
        for at, second in self._seconds.items():
            if not since_ms // 1000 <= at <= until_ms // 1000:
                continue
            for (service, operation), count in second.operations.items():
                of_service = calls.setdefault(service, {})
                of_service[operation] = of_service.get(operation, 0) + count
            for item, count_of in second.units.items():
                units[item] = units.get(item, 0) + count_of
            for where, size in second.stored.items():
                stored[where] = stored.get(where, 0) + size
        return {"calls": calls, "units": units, "stored_bytes": stored}


class CountedCall:
    """Listens to one call while it passes.

    Args:
        service: the name it is signed with.
    """

    def __init__(self, service: str, scope: dict[str, Any], headers: dict[bytes, bytes]) -> None:
        self._service = service
        self._scope = scope
        plain = headers.get(b"x-amz-decoded-content-length", b"")
        self._plain_bytes = int(plain) if plain.isdigit() else None
        """Of a body that is sent in signed chunks: how long it is without what signs them."""
        self._target = headers.get(b"x-amz-target", b"").decode("latin-1")
        self._keeps_bodies = service in READS_BODIES
        self._request = bytearray()
        self._response = bytearray()
        self._request_bytes = 0
        self._status = 0

    def listen(self, receive: Receive, send: Send) -> tuple[Receive, Send]:
        """The two to hand on instead of these."""

        async def received() -> dict[str, Any]:
            message = await receive()
            piece = message.get("body", b"")
            self._request_bytes += len(piece)
            self._keep(self._request, piece)
            return message

        async def sent(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self._status = message["status"]
            else:
                self._keep(self._response, message.get("body", b""))
            await send(message)

        return received, sent

    def billed(self) -> Billed | None:
        """What it costs; None for what AWS does not bill: its own failures, and answers that never came."""
        if not 200 <= self._status < 500:
            return None
        return billed(
            Call(
                service=self._service,
                method=self._scope["method"],
                path=self._scope["path"],
                query=self._scope["query_string"].decode("latin-1"),
                target=self._target,
                request=bytes(self._request),
                response=bytes(self._response),
                request_bytes=self._request_bytes if self._plain_bytes is None else self._plain_bytes,
            )
        )

    def _keep(self, body: bytearray, piece: bytes) -> None:
        if self._keeps_bodies and len(body) < KEPT_BODY_BYTES:
            body += piece


def counted(service: str) -> bool:
    return service in COUNTED
