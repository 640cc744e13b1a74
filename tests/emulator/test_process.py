"""A runtime process as the thread sees it that carries its invocation."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serverless_lab.emulator.filesystem import FileSystem, Stage
from serverless_lab.emulator.launch import Launch
from serverless_lab.emulator.process import RuntimeProcess, TimedOut
from serverless_lab.emulator.runtimes import own_python

pytestmark = pytest.mark.process


class Guard:
    """Nothing outlives these tests: they kill what they start."""

    def add(self, group: int, address: str) -> None: ...

    def remove(self, group: int) -> None: ...


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[RuntimeProcess]:
    """A program of the user's own which has closed its stdout and stderr, and is not ready yet."""
    code = tmp_path / "code"
    code.mkdir()
    program = code / "bootstrap"
    program.write_text("#!/bin/sh\nexec sleep 60 >&- 2>&-\n")
    program.chmod(0o755)
    stage = Stage(tmp_path / "stage", private=False, needed=())
    process = RuntimeProcess(
        launch=Launch(own_python().path, (), "handler", ("bootstrap", str(program))),
        variables={"PATH": "/usr/bin:/bin"},
        file_system=FileSystem(stage, tmp_path / "home", 512, task_root=code, opt=None, runtime=None),
        guard=Guard(),
        memory_size_mb=128,
    )
    yield process
    process.kill()


def test_waiting_for_a_program_that_keeps_no_pipe_open_costs_no_cpu(silent):
    """Its log pipe is closed when it begins, and its output may be: a pipe at its end is always ready to be read."""
    assert isinstance(silent.wait(time.monotonic_ns() + 200_000_000), TimedOut)
    begun_s = time.thread_time()
    assert isinstance(silent.wait(time.monotonic_ns() + 1_000_000_000), TimedOut)
    assert time.thread_time() - begun_s < 0.3
