"""Locust in a process of its own: how it is started, followed through a pipe, stopped and, at last, ended."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

from serverless_lab.errors import LoadError

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
LOG_NAME = "locust.log"
STOP_TIMEOUT_S = 20.0
STOP_AGAIN_S = 4.0  # Locust's page outlives the first Ctrl-C when that only stopped the run
LOOPBACK = "127.0.0.1"
# What the load process gets of our environment. It sends plain HTTP: it has no business with AWS credentials.
PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")


@dataclass(frozen=True)
class RemoteWorkers:
    """`count` processes that `lab load --worker` starts, here or on other machines.

    The master listens for them on `port` of 127.0.0.1, `wait_s` seconds at most: Locust's protocol asks nobody who they
    are, so from other machines they come through a tunnel that does.
    """

    count: int
    port: int
    wait_s: int = 600


def load_environment(home: Path, headers: Mapping[str, str]) -> dict[str, str]:
    """What a load process gets to know of ours."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ} | {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        # Locust reads ~/.locust.conf: a run must not depend on it.
        "HOME": str(home.resolve()),
        "LAB_LOAD_HEADERS": json.dumps(dict(headers)),
    }


def locust_options(
    locustfile: Path,
    run_folder: Path,
    base_url: str,
    processes: int,
    web: bool,
    web_port: int,
    remote: RemoteWorkers | None = None,
) -> list[str]:
    folder = run_folder.resolve()
    options = ["-f", str(locustfile), "--host", base_url, "--only-summary"]
    options += ["--csv", str(folder / "locust"), "--html", str(folder / "locust.html")]
    options += ["--web-host", LOOPBACK, "--web-port", str(web_port), "--autostart"] if web else ["--headless"]
    if remote is not None:
        options += ["--master", "--master-bind-host", LOOPBACK, "--master-bind-port", str(remote.port)]
        options += ["--expect-workers", str(remote.count), "--expect-workers-max-wait", str(remote.wait_s)]
    elif processes > 1:
        port = str(_free_port())
        options += ["--processes", str(processes), "--expect-workers-max-wait", "30"]
        options += ["--master-bind-host", LOOPBACK, "--master-bind-port", port]
        options += ["--master-host", LOOPBACK, "--master-port", port]
    return options


def run_locust(
    options: Sequence[str],
    environment: Mapping[str, str],
    run_folder: Path,
    on_line: Callable[[str], bool],
    *,
    cwd: Path,
) -> tuple[int, bool]:
    """Locust's exit code, and whether a signal ended the run. Every process it started is gone then."""
    read_end, write_end = os.pipe()
    # A full pipe must not hold up arrivals: the child drops a line instead.
    os.set_blocking(write_end, False)
    with contextlib.ExitStack() as stack:
        lines = stack.enter_context(os.fdopen(read_end, "rb", buffering=0))
        output = stack.enter_context((run_folder / LOG_NAME).open("ab"))
        stop = stack.enter_context(_stop_requests())
        try:
            child = subprocess.Popen(
                [sys.executable, "-m", "locust", *options],
                env={**environment, "LAB_LOAD_PROGRESS_FD": str(write_end)},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(write_end,),
                # A group of its own: Ctrl-C in the terminal reaches us, and we tell Locust once.
                start_new_session=True,
            )
        finally:
            os.close(write_end)
        try:
            _follow(child, lines, on_line, stop)
        finally:
            _end(child)
        return child.returncode, stop.is_set()


def _follow(child: subprocess.Popen[bytes], lines: IO[bytes], on_line: Callable[[str], bool], stop: _Stop) -> None:
    """Hands on the child's progress lines until it ends.

    The child is told to stop when we are, and when `on_line` returns False.
    """
    rest = b""
    deadline: float | None = None
    told = 0.0
    hopeless = False
    while True:
        ready, _, _ = select.select([lines.fileno(), stop.wake.fileno()], [], [], 0.5)
        now = time.monotonic()
        if stop.is_set() or hopeless:
            stop.drain()
            deadline = deadline or now + STOP_TIMEOUT_S
            if not told or now > told + STOP_AGAIN_S:
                told = now
                child.send_signal(signal.SIGINT)
        if lines.fileno() in ready:
            block = os.read(lines.fileno(), 65536)
            if not block:
                # The last process has closed its end; it may still be leaving.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(timeout=STOP_TIMEOUT_S)
                return
            *whole, rest = (rest + block).split(b"\n")
            for line in whole:
                hopeless |= not on_line(line.decode())
        if child.poll() is not None and not ready:
            return
        if stop.count > 1 or (deadline is not None and now > deadline):
            return


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ends the child and what it forked, whatever state they are in."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


class _Stop:
    """SIGINT and SIGTERM, as something `select` can wait for."""

    def __init__(self) -> None:
        self.count = 0
        self.wake, self._write = socket.socketpair()
        self.wake.setblocking(False)
        self._write.setblocking(False)

    def is_set(self) -> bool:
        return self.count > 0

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        with contextlib.suppress(OSError):
            self._write.send(b"!")

    def drain(self) -> None:
        with contextlib.suppress(OSError):
            self.wake.recv(64)

    def close(self) -> None:
        self.wake.close()
        self._write.close()


@contextlib.contextmanager
def _stop_requests() -> Iterator[_Stop]:
    stop = _Stop()
    # Only the main thread may install handlers; elsewhere signals are its caller's affair.
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, stop.on_signal) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.close()


def crashed(run_folder: Path, exit_code: int, reason: str | None) -> LoadError:
    log = run_folder / LOG_NAME
    tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-15:])
    what = f"the load process failed: {reason}" if reason else f"the load process ended early (exit code {exit_code})"
    return LoadError(f"{what}\n{tail}", hint=f"its whole log is {log}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
