"""The door: what may come in, and what goes out with each answer.

Everything is on loopback, but a browser on this machine can be made to send requests here by any page it shows:
directly (then there is an Origin) or under a name that an attacker's DNS points at 127.0.0.1 (then the Host is
foreign). Both are refused. Answers of functions carry the function's own request id and its environment, so that a
client's row and a REPORT line can be joined.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from serverless_lab.emulator.ministack import EdgeRequest, edge_request
from serverless_lab.targets.base import ENVIRONMENT_ID_HEADER, FUNCTION_REQUEST_ID_HEADER

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

_INVOKE_PATH = re.compile(r"/2015-03-31/functions/[^/]+/invocations")

_LOCAL_NAMES = ("localhost", "localhost.localstack.cloud")
"""Names that are this machine by definition (RFC 6761) or by LocalStack's DNS; names below them too."""


class Edge:
    """An ASGI app in front of another.

    Args:
        inner: what answers everything that is not ours.
        control: `/_lab/<name>` to the function that answers with JSON.
        allowed_origins: pages that may send requests, for people who develop a front end against the emulator.
        new_request_id: ids of invocations sent through the Invoke API.
    """

    def __init__(
        self,
        inner: App,
        control: dict[str, Callable[[], Any]],
        allowed_origins: Iterable[str],
        new_request_id: Callable[[], str],
    ) -> None:
        self._inner = inner
        self._control = control
        self._allowed_origins = frozenset(allowed_origins)
        self._new_request_id = new_request_id

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
            return
        headers = {name: value for name, value in scope["headers"]}  # noqa: C416 - the last of a repeated name
        refusal = self._refusal(headers)
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
            await self._answer_control(path.removeprefix("/_lab/"), scope["method"], send)
            return
        edge = EdgeRequest()
        if _INVOKE_PATH.fullmatch(path):
            edge.invoke_api = True
            edge.raw_payload = headers.get(b"x-amz-invocation-type", b"") in (b"", b"RequestResponse")
            context = headers.get(b"x-amz-client-context")
            edge.client_context = None if context is None else _decoded_context(context)
            edge.function_request_id = self._new_request_id()

        async def send_with_ids(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start" and edge.function_request_id is not None:
                message["headers"] = [*_without_request_id(message["headers"], edge), *_ids(edge)]
            await send(message)

        token = edge_request.set(edge)
        try:
            await self._inner(scope, receive, send_with_ids)
        finally:
            edge_request.reset(token)

    def _refusal(self, headers: dict[bytes, bytes]) -> str | None:
        host = headers.get(b"host", b"").decode("latin-1")
        if not is_local_host(host):
            return f"Host `{host}` is not this machine: requests under foreign names are refused"
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and origin not in self._allowed_origins:
            return f"requests from the web page {origin} are refused: allow it with `lab up --allow-origin {origin}`"
        return None

    async def _answer_control(self, name: str, method: str, send: Send) -> None:
        answer = self._control.get(f"{method} {name}")
        if answer is None:
            await _answer(send, 404, {"message": f"no such control: {method} /_lab/{name}"})
        else:
            await _answer(send, 200, answer())


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
    if edge.environment_id is not None:
        found.append((ENVIRONMENT_ID_HEADER.encode(), edge.environment_id.encode()))
    return found


def _without_request_id(headers: list[tuple[bytes, bytes]], edge: EdgeRequest) -> list[tuple[bytes, bytes]]:
    """An Invoke is answered under the function's own request id; API Gateway keeps its own."""
    if not (edge.invoke_api and edge.invoked):
        return headers
    return [(name, value) for name, value in headers if name.lower() != b"x-amzn-requestid"]


def _decoded_context(value: bytes) -> str | None:
    import base64
    import binascii

    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


async def _answer(send: Send, status: int, body: Any) -> None:
    data = json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})
