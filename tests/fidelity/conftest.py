"""One emulator for all behaviours: each test creates functions of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from serverless_lab.emulator import control
from serverless_lab.project import Project
from tests.emulator.conftest import Emulator, prepare_runtimes


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    prepare_runtimes()
    project = Project(tmp_path_factory.mktemp("fidelity"))
    status, _ = control.up(project, control.UpOptions(idle_lifetime_ms=600_000))
    yield Emulator(project, status)
    control.down(project)
