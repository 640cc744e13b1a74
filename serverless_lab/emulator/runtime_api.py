"""The Lambda Runtime API as data: what a runtime may ask, and the bytes that answer it.

documented: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. No sockets here; `environments` has them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum, auto

from serverless_lab import quotas

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
    """One HTTP request of a runtime; header names are lower-case.

    `oversized`: its body is longer than a response may be, and has not been kept.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    oversized: bool = False

    def route(self) -> tuple[Call, str | None] | None:
        """Which call it is and the request id in its path; None for what the Runtime API does not have."""
        path = self.path.partition("?")[0]
        for method, pattern, call in _ROUTES:
            if method == self.method and (found := pattern.fullmatch(path)):
                return call, found.group(1) if found.groups() else None
        return None


class RequestParser:
    """Takes bytes as they come and gives whole requests: Content-Length and chunked bodies, kept-alive connections.

    Of a body longer than a response may be, no more than that is ever held.
    """

    def __init__(self, body_limit: int = quotas.RESPONSE_MAX_BYTES) -> None:
        self._limit = body_limit
        self._buffer = bytearray()
        self._head: tuple[str, str, dict[str, str]] | None = None
        self._chunked = False
        self._left = 0
        """Of the body, or of the chunk that is being read, so many bytes are to come."""
        self._in_chunk = False
        self._body = bytearray()
        self._oversized = False
        self.wants_continue = False

    def feed(self, data: bytes) -> RuntimeRequest | None:
        """The request that `data` completes, or None while it is not complete.

        Raises:
            ValueError: these bytes are not HTTP.
        """
        self._buffer += data
        if self._head is None and not self._read_head():
            return None
        if not (self._read_chunks() if self._chunked else self._read_body()):
            return None
        assert self._head is not None
        body = b"" if self._oversized else bytes(self._body)
        request = RuntimeRequest(*self._head, body, self._oversized)
        self._head, self._oversized = None, False
        self._body.clear()
        return request

    def _read_head(self) -> bool:
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            if len(self._buffer) > 2 * 1024 * 1024:
                raise ValueError("a request head of more than 2 MB")
            return False
        lines = self._buffer[:head_end].decode("latin-1").split("\r\n")
        method, path, _version = lines[0].split(" ", 2)
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        self._chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        self._left = 0 if self._chunked else int(headers.get("content-length", "0") or "0")
        self.wants_continue = headers.get("expect", "").lower() == "100-continue"
        self._head = method, path, headers
        del self._buffer[: head_end + 4]
        return True

    def _read_body(self) -> bool:
        """Take what has come of the body, or of a chunk; True when there is no more of it to come."""
        taken = min(self._left, len(self._buffer))
        self._oversized = self._oversized or len(self._body) + self._left > self._limit
        if self._oversized:
            self._body.clear()
        else:
            self._body += self._buffer[:taken]
        del self._buffer[:taken]
        self._left -= taken
        return self._left == 0

    def _read_chunks(self) -> bool:
        while True:
            if self._in_chunk:
                if not self._read_body() or len(self._buffer) < 2:
                    return False
                del self._buffer[:2]
                self._in_chunk = False
            line_end = self._buffer.find(b"\r\n")
            if line_end < 0:
                return False
            size = int(bytes(self._buffer[:line_end]).partition(b";")[0], 16)
            if size == 0:
                end = self._buffer.find(b"\r\n", line_end + 2)
                if end < 0:
                    return False
                del self._buffer[: end + 2]
                return True
            del self._buffer[: line_end + 2]
            self._left, self._in_chunk = size, True


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
TOO_LARGE = (
    b'{"errorMessage":"Exceeded maximum allowed payload size (%d bytes).","errorType":"RequestEntityTooLarge"}'
    % quotas.RESPONSE_MAX_BYTES
)
"""What Lambda tells a runtime whose response is too large, under status 413: runtimes print it into the log."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def too_large_response() -> bytes:
    return _response("413 Request Entity Too Large", TOO_LARGE, [])


def error_response(status: str, error_type: str, message: str) -> bytes:
    body = json.dumps({"errorMessage": message, "errorType": error_type}).encode()
    return _response(status, body, [])


def _response(status: str, body: bytes, headers: list[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {_one_line(value)}" for name, value in headers]
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body


def _one_line(value: str) -> str:
    return value.replace("\r", " ").replace("\n", " ")
