"""A server of our own for the load generator to load."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.load.server import ServerProcess


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    process = ServerProcess()
    try:
        yield process
    finally:
        process.stop()
