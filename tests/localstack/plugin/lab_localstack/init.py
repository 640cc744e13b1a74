"""The first process of an execution environment: between LocalStack, which sends invocations, and a runtime.

Run as `python -I -S init.py` with settings as a line of JSON on standard input; when that closes, the environment ends.
What is written to the log, and when, is what LocalStack's own init does (seen with LocalStack 4.8.1): START, output,
END and a REPORT without Init Duration whose memory used is the memory size, handed over when the invocation is over.
What the function wrote during its init comes before START; a runtime that was ended by a timeout or ended itself is
started again within the next invocation, and its init is part of that one's duration.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any, NamedTuple
from urllib.parse import urlsplit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from io import BufferedReader

START_SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "start.sh")  # noqa: PTH100, PTH118, PTH120
BOOTSTRAP = """
import sys
sys.path[:0] = sys.argv[1:3]
from awslambdaric.__main__ import main
main(["bootstrap", sys.argv[3]])
"""
API = "/2018-06-01/runtime"
LAST_WORDS_S = 0.3
LOCALSTACK_PATIENCE_S = 600


class HttpMessage(NamedTuple):
    """A request or an answer: its first line's words, its headers in lower case, its body."""

    first: list[str]
    headers: dict[str, str]
    body: bytes


def read_message(stream: BufferedReader, connection: socket.socket) -> HttpMessage | None:
    """The next message of a connection; None when the other side has closed it."""
    first = stream.readline()
    if not first.strip():
        return None
    headers = {}
    while line := stream.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("expect", "").lower() == "100-continue":
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    if "chunked" in headers.get("transfer-encoding", ""):
        body = b""
        while size := int(stream.readline().split(b";")[0], 16):
            body += stream.read(size)
            stream.readline()
        stream.readline()
    else:
        body = stream.read(int(headers.get("content-length", 0)))
    return HttpMessage(first.decode("latin-1").split(), headers, body)


def answer(connection: socket.socket, status: str, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)


def post(url: str, body: bytes) -> None:
    """POST to LocalStack.

    Raises:
        OSError: nobody is there, or it does not take it.
    """
    where = urlsplit(url)
    address = (where.hostname or "", where.port or 80)
    with socket.create_connection(address, LOCALSTACK_PATIENCE_S) as connection, connection.makefile("rb") as stream:
        head = f"POST {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\nConnection: close\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        replied = read_message(stream, connection)
        if replied is None or not replied.first[1].startswith("2"):
            raise OSError(f"{url} answers {replied and replied.first}")


class Output:
    """What a runtime's process and its children write, standard output and error in their order."""

    def __init__(self) -> None:
        self._taking = threading.Lock()
        self._held = bytearray()
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            select.select([self._reader], [], [])
            self._take()

    def _take(self) -> None:
        """Whatever has been written by now. All is read under the lock, so nothing is between the pipe and `_held`."""
        with self._taking:
            while True:
                try:
                    self._held += os.read(self._reader, 65536)
                except BlockingIOError:
                    return

    def taken(self) -> str:
        """What was written since the last call."""
        self._take()
        with self._taking:
            held, self._held = bytes(self._held), bytearray()
        return held.decode(errors="replace")


class Runtime:
    """A runtime's process and the Runtime API it asks. What it does arrives in `events`, as (what, about)."""

    def __init__(self, settings: dict[str, Any], output: Output) -> None:
        self.events: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._next: queue.Queue[tuple[bytes, dict[str, str]]] = queue.Queue()
        self._server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()
        api = f"127.0.0.1:{self._server.getsockname()[1]}"
        program = [settings["python"], "-I", "-S", "-B", "-c", BOOTSTRAP]
        program += [settings["code"], settings["directory"], settings["variables"]["_HANDLER"]]
        note = [settings["journal"], settings["environment"], settings["function"]]
        self._process = subprocess.Popen(
            [START_SCRIPT, *note, *program],
            cwd=settings["code"],
            env={**settings["variables"], "AWS_LAMBDA_RUNTIME_API": api},
            stdin=subprocess.DEVNULL,
            stdout=output.writer,
            stderr=output.writer,
            start_new_session=True,
        )
        threading.Thread(target=self._wait, daemon=True).start()

    def give(self, payload: bytes, headers: dict[str, str]) -> None:
        """Hand it its next invocation."""
        self._next.put((payload, headers))

    def end(self) -> None:
        """Kill it with whatever it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._server.close()

    def _wait(self) -> None:
        code = self._process.wait()
        ended = f"signal: {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        self.events.put(("exit", ended.encode()))

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._answer_all, args=[connection], daemon=True).start()

    def _answer_all(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            try:
                while request := read_message(stream, connection):
                    self._answer(connection, request)
            except OSError:
                pass  # it was ended

    def _answer(self, connection: socket.socket, request: HttpMessage) -> None:
        path = request.first[1]
        if path == f"{API}/invocation/next":
            self.events.put(("next", b""))
            payload, headers = self._next.get()
            answer(connection, "200 OK", payload, headers)
            return
        if path == f"{API}/init/error":
            self.events.put(("init error", request.body))
        elif path.startswith(f"{API}/invocation/") and path.endswith(("/response", "/error")):
            self.events.put((path.rpartition("/")[2], request.body))
        else:
            answer(connection, "404 Not Found")
            return
        answer(connection, "202 Accepted", b'{"status":"OK"}')


class Environment:
    """Invocations one after another, on a runtime that is started again when it has ended."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._output = Output()
        self._runtime: Runtime | None = None

    def initialise(self, patience_s: float | None = None) -> bytes | None:
        """Start the runtime and wait until it asks for an invocation; otherwise the error as JSON.

        Raises:
            queue.Empty: it took longer than `patience_s`.
        """
        self._runtime = Runtime(self._settings, self._output)
        what, about = self._runtime.events.get(timeout=patience_s)
        if what == "next":
            return None
        self._drop()
        if what == "init error":
            return json.dumps({**json.loads(about), "requestId": ""}).encode()
        said = f"Error: Runtime exited with error: {about.decode()}"
        return json.dumps({"errorMessage": said, "errorType": "Runtime.ExitError", "requestId": ""}).encode()

    def end(self) -> None:
        if self._runtime is not None:
            self._runtime.end()

    def invoke(self, request: dict[str, str]) -> None:
        """Have it done, then tell LocalStack: first the log, then the result."""
        request_id = request["invoke-id"]
        timeout_s = self._settings["timeout_s"]
        log = self._output.taken() + f"START RequestId: {request_id} Version: {self._settings['version']}\n"
        began = time.monotonic()
        kind, body = self._outcome(request, began + timeout_s)
        duration_ms = min((time.monotonic() - began) * 1000, timeout_s * 1000)
        log += self._output.taken()
        if log[-1:] != "\n":
            log += "\n"
        memory = self._settings["memory_mb"]
        log += f"END RequestId: {request_id}\n"
        log += f"REPORT RequestId: {request_id}\tDuration: {duration_ms:.2f} ms\t"
        log += (
            f"Billed Duration: {math.ceil(duration_ms)} ms\tMemory Size: {memory} MB\tMax Memory Used: {memory} MB\t\n"
        )
        where = f"{self._settings['invocations']}/{request_id}"
        post(f"{where}/logs", json.dumps({"logs": log}).encode())
        post(f"{where}/{kind}", body)

    def _outcome(self, request: dict[str, str], deadline: float) -> tuple[str, bytes]:
        request_id = request["invoke-id"]
        headers = {
            "Lambda-Runtime-Aws-Request-Id": request_id,
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + deadline - time.monotonic()) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": request["invoked-function-arn"],
            "Lambda-Runtime-Trace-Id": request["trace-id"],
        }
        try:
            if self._runtime is None:
                failed = self.initialise(deadline - time.monotonic())
                if failed is not None:
                    return "error", failed
            assert self._runtime is not None
            self._runtime.give(request["payload"].encode(), headers)
            what, about = self._runtime.events.get(timeout=max(0.0, deadline - time.monotonic()))
            if what in ("response", "error"):
                # The environment is ready again once it asks for more, and has said what it wanted to say.
                after, _ = self._runtime.events.get(timeout=max(LAST_WORDS_S, deadline - time.monotonic()))
                if after == "exit":
                    self._drop()
                return what, about
        except queue.Empty:
            what, about = "timeout", b""
        self._drop()
        if what == "timeout":
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            error = {
                "errorMessage": f"{now} {request_id} Task timed out after {self._settings['timeout_s']}.00 seconds"
            }
        else:
            said = f"RequestId: {request_id} Error: Runtime exited with error: {about.decode()}"
            error = {"errorMessage": said, "errorType": "Runtime.ExitError"}
        return "error", json.dumps(error).encode()

    def _drop(self) -> None:
        assert self._runtime is not None
        self._runtime.end()
        self._runtime = None


def end_with_standard_input(environment: Environment) -> None:
    sys.stdin.buffer.read()
    environment.end()
    os._exit(0)


def serve(environment: Environment, settings: dict[str, Any]) -> None:
    """One invocation after the other, unless the init fails: that is told, and is all.

    Raises:
        OSError: LocalStack is not there any more, or too busy to take what it is told.
    """
    failed = environment.initialise()
    if failed is not None:
        post(f"{settings['status']}/error", failed)
        return
    listener = socket.socket(fileno=settings["listener"])
    post(f"{settings['status']}/ready", b"{}")
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as stream:
            request = read_message(stream, connection)
            if request is not None:
                answer(connection, "200 OK", headers={"Connection": "close"})
        if request is not None:
            environment.invoke(json.loads(request.body))


def main() -> None:
    settings = json.loads(sys.stdin.buffer.readline())
    environment = Environment(settings)
    threading.Thread(target=end_with_standard_input, args=[environment], daemon=True).start()
    try:
        serve(environment, settings)
    except OSError as error:
        print(f"environment {settings['environment']} ends: {error}", file=sys.stderr, flush=True)
    environment.end()
    # At once: the thread holds standard input, whose lock an interpreter that ends in order would wait for.
    os._exit(1)


if __name__ == "__main__":
    main()
