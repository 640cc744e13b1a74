"""What functions leave behind: processes whose parents have ended, and who ends them.

A handler can start a daemon, or a child in a session of its own, and then end or be ended: no process group and no line
of descent leads from its environment to that process any more. So the emulator has the kernel hand such orphans to
itself, and knows whose they were by the address of the Runtime API in the variables they started with. Those that ended
on their own it collects.

Linux, from /proc. An orphan that has cleared its variables is ended with the emulator, not with its environment.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
import time
from pathlib import Path

from serverless_lab.emulator.memory import OOM_SCORE, with_descendants

ADDRESS_VARIABLE = "AWS_LAMBDA_RUNTIME_API"

_PR_SET_CHILD_SUBREAPER = 36
_PATIENCE_S = 2.0
_PAUSE_S = 0.002

_runtimes: set[int] = set()
_lock = threading.Lock()
"""Guards `_runtimes`, and is held while orphans are collected: no process is waited for by two threads."""


def adopt() -> None:
    """From now on orphaned descendants of this process become its children."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def begin(pid: int) -> None:
    """`pid`, a child of this process, is a runtime: no orphan. Said before its memory is restrained."""
    with _lock:
        _runtimes.add(pid)


def end(pid: int, address: str, killed: list[int]) -> None:
    """The runtime `pid` has been ended and collected: end what else it left behind than those `killed` already."""
    with _lock:
        _runtimes.discard(pid)
    _end(address, set(killed))


def descendants(pid: int) -> list[int]:
    """All that descends from the runtime `pid`, without itself."""
    return with_descendants(pid)[1:]


def end_all() -> None:
    """End every orphan, whoever left it."""
    _end(None, set())


def _end(address: str | None, killed: set[int]) -> None:
    """End the orphans of one runtime, or all; returns when they and those `killed` before have been collected."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        adopted = _adopted()
        for pid in adopted:
            if pid not in killed and (address is None or _is_of(pid, address)):
                # Its children become ours when it ends.
                for one in with_descendants(pid):
                    killed.add(one)
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(one, signal.SIGKILL)
        killed = {pid for pid in killed if _is_there(pid)}
        if not killed or time.monotonic() > deadline:
            return
        time.sleep(_PAUSE_S)


def _is_there(pid: int) -> bool:
    """Whether the process is there; one that has ended is, until we have collected it."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()[:2]
    except (OSError, ValueError):
        return False
    return state != b"Z" or int(parent) != 1


def _adopted() -> list[int]:
    """Orphans that are there; those that have ended are collected."""
    if _oom_score(os.getpid()) == OOM_SCORE:
        return []  # the mark tells nothing where everything has it
    found = []
    with _lock:
        for pid in _children():
            if pid in _runtimes or _oom_score(pid) != OOM_SCORE:
                continue
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG)[0] == 0:
                    found.append(pid)
    return found


def _children() -> list[int]:
    found: list[int] = []
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            found += map(int, (thread / "children").read_bytes().split())
    return found


def _is_of(pid: int, address: str) -> bool:
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return f"{ADDRESS_VARIABLE}={address}".encode() in variables.split(b"\0")


def _oom_score(pid: int) -> int | None:
    """By which everything that an environment has started is told from the emulator's own helpers; see `restrain`."""
    try:
        return int(Path(f"/proc/{pid}/oom_score_adj").read_bytes())
    except (OSError, ValueError):
        return None
