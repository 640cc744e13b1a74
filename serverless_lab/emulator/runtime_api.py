"""The Lambda Runtime API as data: what a runtime may ask, and the bytes that answer it.

documented: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. No sockets here; `environments` has them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum, auto

API_VERSION = "2018-06-01"
FUNCTION_ERROR_TYPE_HEADER = "lambda-runtime-function-error-type"


class Call(Enum):
    NEXT = auto()
    RESPONSE = auto()
    ERROR = auto()
    INIT_ERROR = auto()


_ROUTES = (
    ("GET", re.compile(rf"/{API_VERSION}/runtime/invocation/next"), Call.NEXT),
    ("POST", re.compile(rf"/{API_VERSION}/runtime/invocation/([^/]+)/response"), Call.RESPONSE),
    ("POST", re.compile(rf"/{API_VERSION}/runtime/invocation/([^/]+)/error"), Call.ERROR),
    ("POST", re.compile(rf"/{API_VERSION}/runtime/init/error"), Call.INIT_ERROR),
)


@dataclass(frozen=True)
class RuntimeRequest:
    """One HTTP request of a runtime; header names are lower-case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def route(self) -> tuple[Call, str | None] | None:
        """Which call it is and the request id in its path; None for what the Runtime API does not have."""
        path = self.path.partition("?")[0]
        for method, pattern, call in _ROUTES:
            if method == self.method and (found := pattern.fullmatch(path)):
                return call, found.group(1) if found.groups() else None
        return None


class RequestParser:
    """Takes bytes as they come and gives whole requests: Content-Length and chunked bodies, kept-alive connections."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.wants_continue = False

    def feed(self, data: bytes) -> RuntimeRequest | None:
        """The request that `data` completes, or None while it is not complete.

        Raises:
            ValueError: these bytes are not HTTP.
        """
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            if len(self._buffer) > 2 * 1024 * 1024:
                raise ValueError("a request head of more than 2 MB")
            return None
        lines = self._buffer[:head_end].decode("latin-1").split("\r\n")
        method, path, _version = lines[0].split(" ", 2)
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        self.wants_continue = headers.get("expect", "").lower() == "100-continue"
        body_start = head_end + 4
        if headers.get("transfer-encoding", "").lower() == "chunked":
            chunked = self._chunked_body(body_start)
            if chunked is None:
                return None
            body, end = chunked
        else:
            end = body_start + int(headers.get("content-length", "0") or "0")
            if len(self._buffer) < end:
                return None
            body = bytes(self._buffer[body_start:end])
        del self._buffer[:end]
        return RuntimeRequest(method, path, headers, body)

    def _chunked_body(self, start: int) -> tuple[bytes, int] | None:
        body = bytearray()
        while True:
            line_end = self._buffer.find(b"\r\n", start)
            if line_end < 0:
                return None
            size = int(bytes(self._buffer[start:line_end]).partition(b";")[0], 16)
            start = line_end + 2
            if size == 0:
                end = self._buffer.find(b"\r\n", start)
                return None if end < 0 else (bytes(body), end + 2)
            if len(self._buffer) < start + size + 2:
                return None
            body += self._buffer[start : start + size]
            start += size + 2


def next_response(
    *,
    request_id: str,
    payload: bytes,
    deadline_ms: int,
    function_arn: str,
    trace_id: str | None = None,
    client_context: str | None = None,
) -> bytes:
    """The answer to GET invocation/next: one event. `deadline_ms` is in epoch milliseconds."""
    headers = [
        ("Lambda-Runtime-Aws-Request-Id", request_id),
        ("Lambda-Runtime-Deadline-Ms", str(deadline_ms)),
        ("Lambda-Runtime-Invoked-Function-Arn", function_arn),
    ]
    if trace_id is not None:
        headers.append(("Lambda-Runtime-Trace-Id", trace_id))
    if client_context is not None:
        headers.append(("Lambda-Runtime-Client-Context", client_context))
    return _response("200 OK", payload, headers)


ACCEPTED = b'HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{"status":"OK"}\n'
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def error_response(status: str, error_type: str, message: str) -> bytes:
    body = json.dumps({"errorMessage": message, "errorType": error_type}).encode()
    return _response(status, body, [])


def _response(status: str, body: bytes, headers: list[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {_one_line(value)}" for name, value in headers]
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body


def _one_line(value: str) -> str:
    return value.replace("\r", " ").replace("\n", " ")
