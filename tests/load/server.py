"""A small, quick HTTP server in a process of its own, for tests and benchmarks of the load generator.

python -m tests.load.server [--delay-ms 2]      prints its port, serves until its stdin closes

/status/<code>     that status
/cookie            sets a cookie of its own for each request, and counts those that came with one already
/slow/<ms>         answers after so many milliseconds
/seen              JSON: how many requests, connections, distinct bodies, foreign cookies
anything else      200 after the delay, with the two headers of the function that answered
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import cast

RESPONSE = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s"


class Seen:
    def __init__(self) -> None:
        self.requests = 0
        self.connections = 0
        self.bodies: list[str] = []
        self.cookies: list[str] = []
        self.headers: list[str] = []


class Http(asyncio.Protocol):
    """HTTP/1.1 with Content-Length, as far as our own client uses it."""

    def __init__(self, delay_s: float, seen: Seen) -> None:
        self.delay_s = delay_s
        self.seen = seen
        self.buffer = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.seen.connections += 1

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return
            length = 0
            cookie = ""
            lines = head.split(b"\r\n")
            for line in lines[1:]:
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
                elif name.lower() == b"cookie":
                    cookie = value.strip().decode()
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            self.answer(lines[0].split(b" ")[1].decode(), rest[:length].decode(), cookie, head.decode())

    def answer(self, path: str, body: str, cookie: str, head: str) -> None:
        seen, delay_s = self.seen, self.delay_s
        if path == "/seen":
            return self.reply(200, json.dumps(vars(seen)).encode())
        seen.requests += 1
        number = seen.requests
        status, extra = 200, b"x-lab-request-id: request-%d\r\nx-lab-environment-id: environment-1\r\n" % number
        if len(seen.bodies) < 5000:
            seen.bodies.append(body)
            seen.cookies.append(cookie)
            seen.headers.append(head)
        if path.startswith("/status/"):
            status = int(path.rpartition("/")[2])
        elif path.startswith("/slow/"):
            delay_s = int(path.rpartition("/")[2]) / 1000
        elif path.startswith("/cookie"):
            extra = b"Set-Cookie: visitor=%d; Path=/\r\n" % number
        if delay_s:
            asyncio.get_running_loop().call_later(delay_s, self.reply, status, b'{"ok":true}', extra)
        else:
            self.reply(status, b'{"ok":true}', extra)
        return None

    def reply(self, status: int, body: bytes, extra: bytes = b"") -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(RESPONSE % (status, len(body), extra, body))


async def serve(delay_s: float) -> None:
    seen = Seen()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Http(delay_s, seen), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(ended), sys.stdin)
    await ended.read()


class ServerProcess:
    """The server, started. `url` answers; `stop` ends it."""

    def __init__(self, delay_ms: float = 2) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.load.server", "--delay-ms", str(delay_ms)],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        with suppress(OSError):
            self.process.kill()
        self.process.communicate()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay-ms", type=float, default=2)
    delay = parser.parse_args().delay_ms / 1000
    try:
        import uvloop

        uvloop.run(serve(delay))
    except ImportError:
        asyncio.run(serve(delay))
