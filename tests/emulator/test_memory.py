"""How much memory a process and its children use, and whether that is too much: of real processes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from serverless_lab.emulator.memory import MEGABYTE, MemoryWatch

pytestmark = pytest.mark.process

HOLD = "held = b'x' * 60_000_000; print('ready', flush=True); input()"
FORKS = """
import os
held = b'x' * 60_000_000
for _ in range(4):
    if os.fork() == 0:
        input()
        os._exit(0)
print('ready', flush=True)
input()
"""
STARTED_BY_A_THREAD = f"""
import subprocess, sys, threading
def start():
    global child
    child = subprocess.Popen([sys.executable, '-c', {HOLD!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
thread = threading.Thread(target=start)
thread.start()
thread.join()
keeper = threading.Thread(target=input)
print('ready', flush=True)
input()
"""
MAPPED = """
import mmap, sys, tempfile
file = tempfile.TemporaryFile()
file.truncate(60_000_000)
held = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
for at in range(0, 60_000_000, 4096): held[at]
print('ready', flush=True)
input()
"""
LET_GO = "held = b'x' * 60_000_000; del held; print('ready', flush=True); input()"


@contextmanager
def running(code: str) -> Iterator[int]:
    """The pid of a process that has said it is ready."""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        try:
            yield process.pid
        finally:
            process.stdin.close()
            process.kill()


def watch(pid: int, limit_mb: int) -> MemoryWatch:
    return MemoryWatch(pid, limit_mb, time.monotonic_ns())


@pytest.mark.parametrize(
    ("code", "least_mb", "most_mb"),
    [(HOLD, 60, 90), (FORKS, 60, 110), (STARTED_BY_A_THREAD, 60, 120)],
    ids=["alone", "what-forks-share-counts-once", "a-child-of-a-thread"],
)
def test_what_processes_use_together_is_seen(code: str, least_mb: int, most_mb: int):
    with running(code) as pid:
        within, over = watch(pid, 300), watch(pid, least_mb - 10)
        assert not within.look()
        assert least_mb - 5 < within.peak_bytes / MEGABYTE < most_mb
        assert over.look()
        assert over.peak_bytes == over.limit_bytes


def test_pages_of_mapped_files_may_be_dropped_and_do_not_count():
    with running(MAPPED) as pid:
        assert not watch(pid, 50).look() and not watch(pid, 50).settle()


def test_what_was_let_go_before_anybody_looked_is_remembered():
    with running(LET_GO) as pid:
        seen = watch(pid, 50)
        assert not seen.look()
        assert seen.settle()


def test_the_less_room_is_left_the_sooner_is_the_next_look():
    with running(HOLD) as pid:

        def pause(limit_mb: int) -> int:
            looking = watch(pid, limit_mb)
            looking.look()
            return looking.due_ns - time.monotonic_ns()

        assert pause(90) < 25_000_000 < pause(500)


def test_a_process_that_sleeps_is_hardly_looked_at(monkeypatch: pytest.MonkeyPatch):
    """Hundreds of idle environments must not cost the emulator a core."""
    with running(HOLD) as pid:
        looking = watch(pid, 100)
        looking.look()
        measured = counting(looking._used)
        monkeypatch.setattr(looking, "_used", measured)
        for _ in range(10):
            looking.look()
        assert measured.calls == 0
        assert looking.due_ns - time.monotonic_ns() > 40_000_000


class counting:
    def __init__(self, function: Callable[[], int]) -> None:
        self.function, self.calls = function, 0

    def __call__(self) -> int:
        self.calls += 1
        return self.function()


def test_a_process_that_is_gone_uses_nothing_more():
    with running(HOLD) as pid:
        gone = watch(pid, 100)
        gone.look()
    time.sleep(0)
    assert not gone.look() and not gone.settle()
    assert gone.peak_bytes > 50 * MEGABYTE
