"""One LocalStack for all tests of this folder; skipped where `make test-localstack` has not installed it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Lab, wait_until
from tests.localstack.control_plane import VENV, LocalStack

COMMAND_TIMEOUT_S = 900


@pytest.fixture(scope="session")
def localstack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Running, and at the end gone with every process that it has started."""
    if not (VENV / ".installed").exists():
        pytest.skip("LocalStack is not installed: `make test-localstack` does that")
    started = LocalStack(tmp_path_factory.mktemp("localstack"))
    try:
        started.wait_until_ready()
        yield started
    finally:
        started.stop()
    processes = started.processes()
    assert wait_until(lambda: not any(process.is_alive() for process in processes)), "functions outlive LocalStack"


@pytest.fixture(scope="module")
def lab(localstack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The installed `lab` in an empty directory, told only where LocalStack is."""
    return Lab(
        tmp_path_factory.mktemp("project"),
        command=(str(Path(sys.executable).with_name("lab")),),
        variables={"AWS_ENDPOINT_URL": localstack.endpoint},
        timeout_s=COMMAND_TIMEOUT_S,
    )
