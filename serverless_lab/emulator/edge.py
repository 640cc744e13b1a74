"""The door: what may come in, and what goes out with each answer.

Everything is on loopback, but a browser on this machine can be made to send requests here by any page it shows:
directly (then there is an Origin, or at least a Sec-Fetch-Site that says so) or under a name that an attacker's DNS
points at 127.0.0.1 (then the Host is foreign). All are refused. Answers of functions carry the function's own request
id and its environment, so that a client's row and a REPORT line can be joined.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, cast
from urllib.parse import urlsplit

from serverless_lab import quotas
from serverless_lab.emulator import payloads
from serverless_lab.emulator.calls import CallCounter, CountedCall, counted
from serverless_lab.emulator.clock import Clock, VirtualActor, VirtualClock
from serverless_lab.emulator.function_urls import is_function_url
from serverless_lab.emulator.generators import GENERATOR, HOLD_ID_HEADER, LATENCY_HEADER, BadArrival, Generators
from serverless_lab.emulator.ministack import EdgeRequest, edge_request
from serverless_lab.targets.base import ENVIRONMENT_ID_HEADER, FUNCTION_REQUEST_ID_HEADER

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

_INVOKE_PATH = re.compile(r"/2015-03-31/functions/[^/]+/invocations")

_ENVIRONMENT_KEY = re.compile(rb"Credential=ASIA([0-9A-F]{16})/\d+/[^/]+/([^/]+)/")

_EXECUTED_VERSION = b"x-amz-executed-version"
"""Of an alias with weights only the invocation itself knows it."""

_LOCAL_NAMES = ("localhost", "localhost.localstack.cloud")
"""Names that are this machine by definition (RFC 6761) or by LocalStack's DNS; names below them too."""


class Edge:
    """An ASGI app in front of another.

    Args:
        inner: what answers everything that is not ours.
        clock: the time requests arrive in.
        control: `GET name` or `POST name` of /_lab/<name>, to the function that answers a body with JSON.
        allowed_origins: pages that may send requests, for people who develop a front end against the emulator.
        new_request_id: ids of invocations sent through the Invoke API.
    """

    def __init__(
        self,
        inner: App,
        clock: Clock,
        control: dict[str, Callable[[bytes], Any]],
        allowed_origins: Iterable[str],
        new_request_id: Callable[[], str],
    ) -> None:
        self._inner = inner
        self._clock = clock if isinstance(clock, VirtualClock) else None
        self._generators = Generators(clock) if isinstance(clock, VirtualClock) else None
        self._control = dict(control)
        self._allowed_origins = frozenset(allowed_origins)
        self._new_request_id = new_request_id
        self.calls = CallCounter()
        self._now_ms = clock.epoch_ms
        self._housekeeper: asyncio.Task[None] | None = None
        if self._generators is not None:
            self._control |= {
                "GET clock": lambda _: self._generators.status() if self._generators else None,
                "POST clock/join": self._generators.join,
                "POST clock/leave": self._generators.leave,
                "POST clock/beat": self._generators.beat,
                "POST clock/release": self._generators.release,
            }

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
            return
        headers = {name: value for name, value in scope["headers"]}  # noqa: C416 - the last of a repeated name
        refusal = self._refusal(headers, scope["path"])
        if refusal is not None:
            if scope["type"] == "http":
                await _answer(send, 403, {"message": refusal})
            else:
                await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        path: str = scope["path"]
        if path.startswith("/_lab/"):
            await self._answer_control(path.removeprefix("/_lab/"), scope["method"], receive, send)
        elif self._generators is not None and GENERATOR in headers:
            await self._serve_arrival(self._generators, headers, scope, receive, send)
        else:
            await self._serve(headers, EdgeRequest(), scope, receive, send)

    async def _serve_arrival(
        self, generators: Generators, headers: dict[bytes, bytes], scope: dict[str, Any], receive: Receive, send: Send
    ) -> None:
        """A load generator's request: let in at its time, answered with its latency."""
        try:
            arrival = await generators.arrive(headers)
        except (BadArrival, KeyError, ValueError) as problem:
            await _answer(send, 400, {"message": f"load generator: {problem}"})
            return
        edge = EdgeRequest(actor=arrival.actor, on_end=lambda actor: generators.end(arrival, cast(VirtualActor, actor)))

        async def send_with_latency(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                if not edge.invoked:
                    edge.ended(arrival.actor)
                message["headers"] = [*message["headers"], (LATENCY_HEADER, f"{arrival.latency_ms:.3f}".encode())]
                if arrival.hold_id is not None:
                    message["headers"].append((HOLD_ID_HEADER, arrival.hold_id.encode()))
            await send(message)

        try:
            await self._serve(headers, edge, scope, receive, send_with_latency)
        finally:
            if not edge.invoked:
                edge.ended(arrival.actor)
            generators.answered(arrival)

    async def _serve(
        self, headers: dict[bytes, bytes], edge: EdgeRequest, scope: dict[str, Any], receive: Receive, send: Send
    ) -> None:
        is_invoke = _INVOKE_PATH.fullmatch(scope["path"]) is not None
        synchronous = headers.get(b"x-amz-invocation-type", b"") in (b"", b"RequestResponse")
        if is_invoke:
            context = headers.get(b"x-amz-client-context")
            edge.invoke_api = True
            edge.raw_payload = synchronous
            edge.client_context = None if context is None else _decoded_context(context)
            edge.function_request_id = self._new_request_id()
            refusal, receive = await _read_payload(edge, headers, receive)
            if refusal is not None:
                await _refuse_invoke(send, refusal, edge.function_request_id)
                return
        trace = headers.get(b"x-amzn-trace-id")
        edge.trace_header = None if trace is None else trace.decode("latin-1")
        signed = _ENVIRONMENT_KEY.search(headers.get(b"authorization", b""))
        service = "" if signed is None else signed[2].decode("latin-1")
        call = CountedCall(service, scope, headers) if counted(service) else None
        if call is not None:
            receive, send = call.listen(receive, send)

        async def send_with_ids(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start" and edge.function_request_id is not None:
                message["headers"] = [*_without_request_id(message["headers"], edge), *_ids(edge)]
            await send(message)

        with self._in_callers_time(signed, edge, is_invoke and synchronous):
            token = edge_request.set(edge)
            try:
                await self._inner(scope, receive, send_with_ids)
            finally:
                edge_request.reset(token)
        billed = None if call is None else call.billed()
        if billed is not None:
            self.calls.add(self._now_ms(), service, billed)

    @contextlib.contextmanager
    def _in_callers_time(
        self, signed: re.Match[bytes] | None, edge: EdgeRequest, waits_for_job: bool
    ) -> Iterator[None]:
        """A call that a job makes: an emulated service takes AWS's time, another function its own."""
        caller = None
        if self._clock is not None and signed is not None:
            caller = self._clock.meter_of(signed[1].decode().lower())
        if self._clock is None or signed is None or caller is None:
            yield
            return
        meter, actor_id = caller
        if not waits_for_job:
            with meter.service(service_latency_ms(signed[2].decode())):
                yield
            return
        with self._clock.calling(meter, actor_id) as callee:
            edge.actor, edge.on_end = callee, lambda actor: None
            yield

    def _refusal(self, headers: dict[bytes, bytes], path: str) -> str | None:
        host = headers.get(b"host", b"").decode("latin-1")
        if not is_local_host(host):
            return f"Host `{host}` is not this machine: requests under foreign names are refused"
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and origin not in self._allowed_origins and not is_function_url(host, path):
            return f"requests from the web page {origin} are refused: allow it with `lab up --allow-origin {origin}`"
        site = headers.get(b"sec-fetch-site", b"none").decode("latin-1")
        if not origin and site not in ("none", "same-origin") and self._page(headers) not in self._allowed_origins:
            # Images, scripts and links are asked for without an Origin: browsers say so in this header.
            return "requests that another web page makes are refused: allow it with `lab up --allow-origin`"
        return None

    def _page(self, headers: dict[bytes, bytes]) -> str:
        """The origin of the page that a browser says it comes from; "" where it does not."""
        parts = urlsplit(headers.get(b"referer", b"").decode("latin-1"))
        return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""

    async def _answer_control(self, name: str, method: str, receive: Receive, send: Send) -> None:
        answer = self._control.get(f"{method} {name}")
        if answer is None:
            await _answer(send, 404, {"message": f"no such control: {method} /_lab/{name}"})
            return
        if self._generators is not None and self._housekeeper is None:
            self._housekeeper = asyncio.ensure_future(self._expire_generators(self._generators))
        try:
            body = answer(await _body(receive))
        except (BadArrival, KeyError, ValueError, TypeError) as problem:
            await _answer(send, 400, {"message": f"{method} /_lab/{name}: {problem}"})
        else:
            await _answer(send, 200, body)

    async def _expire_generators(self, generators: Generators) -> None:
        while True:
            await asyncio.sleep(0.5)
            generators.expire()


def service_latency_ms(signing_name: str) -> float:
    """What the AWS service that signs as `signing_name` takes to answer a function; see quotas."""
    return quotas.SERVICE_LATENCY_MS.get(signing_name, quotas.SERVICE_LATENCY_DEFAULT_MS)


async def _body(receive: Receive) -> bytes:
    return (await _bounded_body(receive, None))[0]


async def _bounded_body(receive: Receive, limit: int | None) -> tuple[bytes, int]:
    """The body and its length; of one longer than `limit` no more than that is kept."""
    body, length = bytearray(), 0
    while True:
        message = await receive()
        piece = message.get("body", b"")
        length += len(piece)
        if limit is None or length <= limit:
            body += piece
        if not message.get("more_body"):
            return bytes(body), length


async def _read_payload(
    edge: EdgeRequest, headers: dict[bytes, bytes], receive: Receive
) -> tuple[payloads.Refusal | None, Receive]:
    """Read an Invoke's payload into `edge`: (why it is refused, what gives it again to whoever is next)."""
    payload, length = await _bounded_body(receive, quotas.PAYLOAD_MAX_BYTES)
    kind = headers.get(b"x-amz-invocation-type", b"").decode("latin-1")
    refusal = payloads.too_large(length, kind) or payloads.not_json(payload)
    edge.payload = payloads.event_bytes(payload)
    given = False

    async def receive_again() -> dict[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": payload, "more_body": False}

    return refusal, receive_again


async def _refuse_invoke(send: Send, refusal: payloads.Refusal, request_id: str) -> None:
    more = [(b"x-amzn-errortype", refusal.error_type.encode()), (b"x-amzn-requestid", request_id.encode())]
    await _answer(send, refusal.status, refusal.body, more)


@functools.lru_cache(maxsize=256)
def is_local_host(host: str) -> bool:
    """Whether a Host header names this machine: a loopback address, localhost, or a name below localhost."""
    name = host.strip().lower()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") <= 1:
        name = name.partition(":")[0]
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return any(name == known or name.endswith("." + known) for known in _LOCAL_NAMES)


def _ids(edge: EdgeRequest) -> list[tuple[bytes, bytes]]:
    if not edge.invoked:
        return []
    assert edge.function_request_id is not None
    found = [(FUNCTION_REQUEST_ID_HEADER.encode(), edge.function_request_id.encode())]
    if edge.invoke_api:
        found.append((b"x-amzn-requestid", edge.function_request_id.encode()))
    if edge.raw_payload and edge.executed_version is not None:
        found.append((_EXECUTED_VERSION, edge.executed_version.encode()))
    if edge.environment_id is not None:
        found.append((ENVIRONMENT_ID_HEADER.encode(), edge.environment_id.encode()))
    return found


def _without_request_id(headers: list[tuple[bytes, bytes]], edge: EdgeRequest) -> list[tuple[bytes, bytes]]:
    """An Invoke is answered under the function's own request id; API Gateway keeps its own."""
    if not (edge.invoke_api and edge.invoked):
        return headers
    ours = {b"x-amzn-requestid", *([_EXECUTED_VERSION] if edge.raw_payload and edge.executed_version else [])}
    return [(name, value) for name, value in headers if name.lower() not in ours]


def _decoded_context(value: bytes) -> str | None:
    import base64
    import binascii

    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


async def _answer(send: Send, status: int, body: Any, more: Iterable[tuple[bytes, bytes]] = ()) -> None:
    data = json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})
