"""`lab` commands as processes forked from one that has imported what they import.

Importing pandas, boto3 and the SAM translator takes over a second of CPU, which a few hundred commands of the tests
would each pay. A forked command still is a process of its own, with its own directory, environment, standard streams
and exit code; what a fresh interpreter does at its start is tested where a `Lab` has a `command`.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import IO

IMPORTED_BY_COMMANDS = (
    "boto3",
    "pandas",
    "pyarrow.parquet",
    "samtranslator.translator.translator",
    "serverless_lab.cli.main",
    "serverless_lab.coldstarts.report",
    "serverless_lab.deploy.stack",
    "serverless_lab.reporting.document",
    "serverless_lab.reporting.tables",
)


class Forker:
    """The process that commands are forked from. It ends when this end of its socket is closed."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.cli.forked", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=Path(__file__).parents[2],
                stdin=subprocess.DEVNULL,
            )

    def run(
        self, words: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdin: str, timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """`subprocess.run` of `lab WORDS`, with the output as text.

        Raises:
            subprocess.TimeoutExpired: it did not end in time, and was killed.
        """
        with contextlib.ExitStack() as stack:
            streams: list[IO[bytes]] = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
            streams[0].write(stdin.encode())
            streams[0].seek(0)
            ours, theirs = (stack.enter_context(end) for end in socket.socketpair())
            request = json.dumps({"words": list(words), "cwd": str(cwd), "env": dict(env)})
            socket.send_fds(
                self._requests, [request.encode()], [*(stream.fileno() for stream in streams), theirs.fileno()]
            )
            theirs.close()
            ours.settimeout(timeout)
            answers = ours.makefile()
            pid = int(answers.readline())
            try:
                code = int(answers.readline())
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(["lab", *words], timeout) from None
            for stream in streams:
                stream.seek(0)
            return subprocess.CompletedProcess(
                ["lab", *words], code, streams[1].read().decode(), streams[2].read().decode()
            )

    def close(self) -> None:
        self._requests.close()
        self._process.wait()


def serve(requests: socket.socket) -> None:
    """Fork a command for every request until nobody can send one; tell its pid at once and its exit code at its end."""
    for name in IMPORTED_BY_COMMANDS:
        import_module(name)
    gc.collect()
    gc.freeze()
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    with selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is requests:
                    message, fds, _, _ = socket.recv_fds(requests, 1 << 20, 4)
                    if not message:
                        return
                    pid = os.fork()
                    if pid == 0:
                        selector.close()
                        requests.close()
                        become(json.loads(message), fds)
                        return
                    for fd in fds[:3]:
                        os.close(fd)
                    os.write(fds[3], f"{pid}\n".encode())
                    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, fds[3]))
                else:
                    pid, answers = key.data
                    _, status = os.waitpid(pid, 0)
                    # Whoever asked may have given up.
                    with contextlib.suppress(BrokenPipeError):
                        os.write(answers, f"{os.waitstatus_to_exitcode(status)}\n".encode())
                    selector.unregister(key.fileobj)
                    os.close(answers)
                    os.close(key.fd)


def become(request: dict[str, object], fds: Sequence[int]) -> None:
    """Be the command: run it and leave as it does."""
    from serverless_lab.cli import main

    for number, fd in enumerate(fds[:3]):
        os.dup2(fd, number)
    for fd in fds:
        os.close(fd)
    os.chdir(str(request["cwd"]))
    os.environ.clear()
    os.environ.update(request["env"])  # type: ignore[call-overload]
    sys.argv = [main.__file__, *request["words"]]  # type: ignore[misc]
    main.run()


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
