"""Starts, finds and stops the emulator of one working directory.

`.lab/emulator.json` says where it is; its own `/_lab/status` says whether that is still true. Each working directory
has an emulator of its own, on the first free port from FIRST_PORT on, so projects do not meet.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serverless_lab.emulator.runtimes import host_variables
from serverless_lab.errors import EmulatorError
from serverless_lab.project import Project, read_json, write_json

FIRST_PORT = 4600
PORTS = 200
START_SECONDS = 90  # the first start on a machine prepares the runtime directory
STOP_SECONDS = 20
BACKLOG = 2048


@dataclass(frozen=True)
class UpOptions:
    """How to start it; None leaves the emulator's own default. Times in ms."""

    port: int | None = None
    idle_lifetime_ms: float | None = None
    account_concurrency: int | None = None
    seed: int | None = None
    clock: str | None = None
    tokens: int | None = None
    allowed_origins: tuple[str, ...] = ()

    def arguments(self, listener: int) -> list[str]:
        given = {
            "--listener": listener,
            "--idle-lifetime-ms": self.idle_lifetime_ms,
            "--account-concurrency": self.account_concurrency,
            "--seed": self.seed,
            "--clock": self.clock,
            "--tokens": self.tokens,
        }
        words = [word for name, value in given.items() if value is not None for word in (name, str(value))]
        return words + [word for origin in self.allowed_origins for word in ("--allow-origin", origin)]


def status(project: Project) -> dict[str, Any] | None:
    """What the emulator of `project` says of itself, or None when there is none running."""
    remembered = read_json(project.emulator_file)
    if remembered is None:
        return None
    found = _ask(remembered["port"], "GET", "status")
    if found is None or found.get("instance_id") != remembered["instance_id"]:
        return None
    return found


def up(project: Project, options: UpOptions | None = None) -> tuple[dict[str, Any], bool]:
    """The running emulator's status, and whether it was started now.

    Raises:
        EmulatorError: the port is taken, or it does not start.
    """
    options = options or UpOptions()
    with _lock(project):
        running = status(project)
        if running is not None:
            if options.port not in (None, running["port"]):
                raise EmulatorError(
                    f"the emulator of {project.directory} runs on port {running['port']}, not {options.port}",
                    hint="stop it first: `lab down`",
                )
            return running, False
        with _listen(options.port) as listener:
            return _start(project, options, listener), True


def down(project: Project) -> bool:
    """Stop the emulator of `project`; whether there was one. All its state goes with it.

    Raises:
        EmulatorError: it does not stop.
    """
    with _lock(project):
        running = status(project)
        if running is None:
            project.emulator_file.unlink(missing_ok=True)
            return False
        pid = int(running["pid"])
        if _ask(running["port"], "POST", "stop") is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        if not _wait_until(
            lambda: _ask(running["port"], "GET", "status") is None and not _alive(pid),
            STOP_SECONDS,
        ):
            raise EmulatorError(
                f"the emulator (process {pid}) does not stop",
                hint=f"kill -9 {pid}; its functions end with it",
            )
        project.emulator_file.unlink(missing_ok=True)
        return True


def largest_environment_mb(port: int) -> dict[str, int]:
    """Peak memory of the largest environment of each function that has run so far, in MB, by function name."""
    found = _ask(port, "GET", "memory") or {}
    return dict(found.get("largest_environment_mb", {}))


def _start(project: Project, options: UpOptions, listener: socket.socket) -> dict[str, Any]:
    port = listener.getsockname()[1]
    project.state.mkdir(parents=True, exist_ok=True)
    with project.emulator_log.open("w") as log, tempfile.TemporaryFile() as host:
        # Not in its environment, which functions can read in /proc.
        host.write(json.dumps(host_variables(os.environ)).encode())
        host.seek(0)
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "serverless_lab.emulator.server",
                *options.arguments(listener.fileno()),
            ],
            pass_fds=(listener.fileno(),),
            stdin=host,
            stdout=log,
            stderr=log,
            env=_clean_environment(),
            cwd="/",
            start_new_session=True,
        )
    listener.close()
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise EmulatorError(
                f"the emulator ended at once, with exit code {process.returncode}",
                hint=f"its log, {project.emulator_log}, ends with: {_last_line(project)}",
            )
        found = _ask(port, "GET", "status")
        if found is not None and found.get("pid") == process.pid:
            remembered = {key: found[key] for key in ("instance_id", "pid", "port", "started_at_ms")}
            write_json(project.emulator_file, remembered)
            return found
        time.sleep(0.05)
    process.kill()
    raise EmulatorError(
        f"the emulator did not answer within {START_SECONDS} s",
        hint=f"see its log: {project.emulator_log}",
    )


def _clean_environment() -> dict[str, str]:
    """What the emulator is given of the user's environment: nothing that says who the user is on AWS."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "XDG_CACHE_HOME", "TMPDIR", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in kept if name in os.environ}


def _listen(wanted: int | None) -> socket.socket:
    """A listening socket that the emulator inherits: a port that was only found free could be taken meanwhile."""
    for port in [wanted] if wanted is not None else range(FIRST_PORT, FIRST_PORT + PORTS):
        listener = socket.socket()
        # Without SO_REUSEADDR ports of connections that have just ended look taken; a listener still refuses.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            continue
        return listener
    if wanted is not None:
        raise EmulatorError(
            f"port {wanted} on 127.0.0.1 is in use",
            hint="choose another: `lab up --port N`, or leave --port away",
        )
    raise EmulatorError(
        f"no free port from {FIRST_PORT} to {FIRST_PORT + PORTS - 1}",
        hint="name one: `lab up --port N`",
    )


def _ask(port: int, method: str, name: str) -> dict[str, Any] | None:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/_lab/{name}", method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as response:
            answer = json.load(response)
    except (OSError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None


def _alive(pid: int) -> bool:
    """Whether the process is there and not merely waiting to be collected, which its parent may never do."""
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1]
    except FileNotFoundError:
        return False
    return state not in (b"Z", b"X")


def _wait_until(condition: Any, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


@contextlib.contextmanager
def _lock(project: Project) -> Iterator[None]:
    """Two commands at once in one directory start one emulator, not two."""
    project.state.mkdir(parents=True, exist_ok=True)
    with (project.state / "emulator.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _last_line(project: Project) -> str:
    lines = project.emulator_log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "nothing"
