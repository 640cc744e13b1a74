"""What several packages' tests share: what functions run on, and a real MiniStack in a process of its own."""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from serverless_lab.emulator.runtimes import bundled_python

# An example's time is the host's: a busy one takes ten times as long for the same work.
settings.register_profile("lab", deadline=None)
settings.load_profile("lab")

SAMPLES = Path(__file__).parent / "samples"
START_TIMEOUT_S = 60
PR_SET_PDEATHSIG = 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules that start processes are long and come first; the many short ones level out the end of a parallel run."""
    long = {item.path for item in items if item.get_closest_marker("process")}
    items.sort(key=lambda item: item.path not in long)


@functools.cache
def python_runtime() -> str:
    """The runtime of functions whose test is not about a version: an optimised Python, where this machine has one.

    Any other takes half as long again for each init.
    """
    return bundled_python() or "python3.12"


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class MiniStackProcess:
    """A standalone MiniStack. `endpoint` is its URL; `stop()` ends it together with its Lambda workers.

    Args:
        port: where it listens; None takes a free one.
        python: what it takes for its own interpreter, and so starts for each Python function.
    """

    def __init__(self, folder: Path, *, port: int | None = None, python: Path | None = None) -> None:
        self.port = port or free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"ministack-{self.port}.log"
        # The developer's AWS settings must not reach the handlers MiniStack runs in its own workers.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment |= {
            "GATEWAY_PORT": str(self.port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "localhost",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "S3_DATA_DIR": str(folder / "s3"),
            "TMPDIR": str(folder),
        }
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [str(python or sys.executable), "-m", "ministack"],
                executable=sys.executable,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )

    def wait_until_ready(self) -> None:
        pause = threading.Event()
        for _ in range(START_TIMEOUT_S * 20):
            if self._process.poll() is not None:
                raise RuntimeError(f"MiniStack ended with {self._process.returncode}:\n{self.log.read_text()[-2000:]}")
            try:
                urllib.request.urlopen(f"{self.endpoint}/_ministack/health", timeout=5).close()
                return
            except (urllib.error.URLError, OSError):
                pause.wait(0.05)
        raise RuntimeError(f"MiniStack did not answer in {START_TIMEOUT_S} s:\n{self.log.read_text()[-2000:]}")

    def kill(self) -> None:
        """End it as a crash does, at once and with what it started."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()


def end_with_parent() -> None:
    """A test run that is killed must not leave an emulator behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint URL of a standalone MiniStack that lives as long as this test process."""
    process = MiniStackProcess(tmp_path_factory.mktemp("ministack"))
    try:
        process.wait_until_ready()
        yield process.endpoint
    finally:
        process.stop()
