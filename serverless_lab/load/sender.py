"""One HTTP exchange over gevent, from a pool of kept-alive connections to one host.

Lean on purpose: Locust's own FastHttpSession costs about twice the CPU a request, keeps ten connections unless told
otherwise, and its client repeats idempotent requests whose connection broke, which would invoke a function twice and
count it once. Here a request is sent once, redirects are not followed, and a failure is a failure.
Loaded in the load process only: gevent and geventhttpclient come with Locust.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from typing import Any, NamedTuple

import gevent
import gevent.monkey
import gevent.socket
import gevent.ssl
from geventhttpclient.response import HTTPParseError, HTTPSocketResponse

from serverless_lab.load.templates import Origin

# assumed: servers close idle connections after 5 s at the earliest (uvicorn, Node); a connection found idle for longer
# than this is not trusted, because a request sent while the server closes it would fail for no reason of the API's
IDLE_LIMIT_S = 4.0
RECEIVE_BYTES = 64 * 1024


class Reply(NamedTuple):
    """What came back. Without a response `status_code` is None and `error` says why."""

    status_code: int | None
    error: str | None
    headers: Any
    body: bytes

    @property
    def size(self) -> int:
        return len(self.body)


class Connections:
    """Kept-alive connections to one host, the most recently used first. Not limited: the caller bounds its requests."""

    def __init__(self, to: Origin, connect_timeout_s: float = 10.0) -> None:
        self._to = to
        self._connect_timeout_s = connect_timeout_s
        self._idle: list[tuple[Any, float]] = []
        self._turn = 0
        # Resolved once: gevent resolves on threads, and a burst would queue for them.
        self._addresses = gevent.socket.getaddrinfo(to.host, to.port, type=socket.SOCK_STREAM)
        self._tls = gevent.ssl.create_default_context(cafile=_certificates()) if to.scheme == "https" else None
        poll = gevent.monkey.get_original("select", "poll")
        self._poll = poll

    def open_ahead(self, count: int) -> int:
        """Opens `count` connections before they are needed; how many could be."""
        jobs = [gevent.spawn(self._connect_quietly) for _ in range(count)]
        gevent.joinall(jobs, timeout=self._connect_timeout_s)
        for job in jobs:
            if job.value is not None:
                self.give_back(job.value)
        return len(self._idle)

    def take(self) -> Any:
        """A connected socket.

        Raises:
            OSError: nobody listens, or the network is in the way.
        """
        now = time.monotonic()
        while self._idle:
            connection, since = self._idle.pop()
            if now - since <= IDLE_LIMIT_S and self._is_quiet(connection):
                return connection
            connection.close()
        return self._connect()

    def give_back(self, connection: Any) -> None:
        self._idle.append((connection, time.monotonic()))

    def close(self) -> None:
        while self._idle:
            self._idle.pop()[0].close()

    def _is_quiet(self, connection: Any) -> bool:
        """Whether nothing waits to be read: on an idle connection that would be its end."""
        poller = self._poll()
        poller.register(connection.fileno(), select.POLLIN)
        return not poller.poll(0)

    def _connect(self) -> Any:
        self._turn += 1
        failure: OSError | None = None
        for attempt in range(len(self._addresses)):
            family, kind, protocol, _, address = self._addresses[(self._turn + attempt) % len(self._addresses)]
            connection = gevent.socket.socket(family, kind, protocol)
            try:
                connection.settimeout(self._connect_timeout_s)
                connection.connect(address)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._tls is not None:
                    connection = self._tls.wrap_socket(connection, server_hostname=self._to.host)
                connection.settimeout(None)
                return connection
            except OSError as error:
                connection.close()
                failure = error
            except BaseException:
                connection.close()
                raise
        raise failure or OSError(f"{self._to.host} has no address")

    def _connect_quietly(self) -> Any:
        try:
            return self._connect()
        except OSError:
            return None


def exchange(connections: Connections, method: str, payload: bytes, timeout_s: float) -> Reply:
    """Sends `payload` and reads the whole response; never raises for what the network or the server does."""
    connection = None
    timeout = gevent.Timeout.start_new(timeout_s)
    try:
        connection = connections.take()
        connection.sendall(payload)
        response = HTTPSocketResponse(connection, block_size=RECEIVE_BYTES, method=method)
        body = bytes(response.read())
        if not response.message_complete and not _ends_with_connection(response):
            raise HTTPParseError("connection closed within the body")
        if response.should_close():
            connection.close()
        else:
            connections.give_back(connection)
        return Reply(response.get_code(), None, response, body)
    except gevent.Timeout as fired:
        _close(connection)
        if fired is not timeout:
            raise
        return Reply(None, f"timeout after {timeout_s:g} s", None, b"")
    except (OSError, HTTPParseError) as error:
        _close(connection)
        return Reply(None, _sentence(error), None, b"")
    except BaseException:
        _close(connection)
        raise
    finally:
        timeout.close()


def _ends_with_connection(response: Any) -> bool:
    """A response without length is complete when its connection ends."""
    return "content-length" not in response and "chunked" not in str(response.get("transfer-encoding", ""))


def _close(connection: Any) -> None:
    if connection is not None:
        connection.close()


def _sentence(error: BaseException) -> str:
    """The same words for the same cause, so that errors can be counted."""
    if isinstance(error, gevent.ssl.SSLError):
        return f"TLS: {error.reason or error}"
    if isinstance(error, HTTPParseError):
        text = str(error).strip().rstrip(".")
        return text if text.startswith("connection closed") else f"not HTTP: {text}"
    number = getattr(error, "errno", None)
    if number == errno.ECONNREFUSED:
        return "connection refused"
    if number in (errno.ECONNRESET, errno.EPIPE):
        return "connection reset"
    if isinstance(error, TimeoutError):
        return "connecting timed out"
    return f"{type(error).__name__}: {error}"


def _certificates() -> str | None:
    """A file of root certificates where Python knows none by itself."""
    paths = gevent.ssl.get_default_verify_paths()
    if paths.cafile or paths.capath:
        return None
    import certifi

    return certifi.where()
