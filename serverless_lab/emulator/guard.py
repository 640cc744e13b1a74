"""Sees to it that no process group outlives the emulator, whatever kills it.

A small process of its own holds the reading end of a pipe and is told of every process group that starts and ends. When
the pipe closes, because the emulator ended or was killed, it kills the groups that are left and removes the emulator's
working folder. With the groups go the processes that had left them: they are known by the address of the Runtime API
that is among their variables.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

_PATIENCE_S = 5.0


class Guard:
    """The emulator's end of the pipe. `work` is the folder to remove at the end."""

    def __init__(self, work: Path) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__)), str(work)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            env={},
        )

    def add(self, group: int, address: str) -> None:
        self._tell(f"+{group} {address}\n")

    def remove(self, group: int) -> None:
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """End what is left now, and wait until it is done."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(timeout=30)

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with self._lock, contextlib.suppress(BrokenPipeError):
            os.write(self._process.stdin.fileno(), line.encode())


def watch(work: str) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: dict[int, str] = {}
    for line in sys.stdin:
        group, _, address = line[1:].strip().partition(" ")
        if line.startswith("+"):
            groups[int(group)] = address
        else:
            groups.pop(int(group), None)
    ended_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    for leader in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)
    if groups:
        _end_strays({f"AWS_LAMBDA_RUNTIME_API={address}".encode() for address in groups.values()}, ended_s)
    shutil.rmtree(work, ignore_errors=True)


def _end_strays(marks: set[bytes], until_s: float) -> None:
    """Kill what has one of `marks` among its variables and started before `until_s`: later the address is another's."""
    again, deadline = True, time.monotonic() + _PATIENCE_S
    while again and time.monotonic() < deadline:  # until all are seen to have ended
        again = False
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = (process / "stat").read_bytes().rpartition(b") ")[2].split()
                started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
                if fields[0] == b"Z" or started_s > until_s:
                    continue
                if not marks.isdisjoint((process / "environ").read_bytes().split(b"\0")):
                    os.kill(int(process.name), signal.SIGKILL)
                    again = True


if __name__ == "__main__":
    watch(sys.argv[1])
