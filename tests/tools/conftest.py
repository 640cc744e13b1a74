"""A deployment that was loaded once, and the AWS CLI pointed at its emulator."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import HELLO, Lab

SCENARIO = """
name: burst-and-stream
description: requests at the same instant, then a stream of them
seed: 3
client_timeout: 30s
phases:
  - name: burst
    law: burst
    count: 5
  - name: stream
    start: 2s
    duration: 3s
    law: poisson
    count: 25
mix:
  - request: GET /hello
"""


@dataclass
class Loaded:
    """The sample stack after a run: `function` is its name, `report` the cold-start report as JSON."""

    lab: Lab
    function: str
    report: dict[str, Any]
    emulator: dict[str, Any]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.emulator['port']}"


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    lab = Lab(tmp_path_factory.mktemp("tools"))
    try:
        deployment = lab("deploy", "--template", str(HELLO), "--json").json
        (function,) = [item["name"] for item in deployment["functions"]]
        lab("load", "--scenario", lab.scenario(SCENARIO), "--json")
        yield Loaded(lab, function, lab("coldstarts", "report", "--json").json, lab.emulator())
    finally:
        lab.end()


@dataclass(frozen=True)
class AwsCli:
    """`aws` version 2, in an environment that has nothing of the developer's."""

    program: str
    url: str
    folder: Path

    def command(self, *words: str) -> list[str]:
        # Versions before 2.13 do not read AWS_ENDPOINT_URL, and Debian has one of those.
        return [self.program, *words, "--endpoint-url", self.url, "--no-cli-pager"]

    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "PYTHONUNBUFFERED": "1",
        }

    def __call__(self, *words: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert not ok or done.returncode == 0, done.stderr
        return done

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--output", "json").stdout)


def aws_cli_2() -> str | None:
    """The first `aws` on the PATH that is version 2; another one may stand before it."""
    folders = dict.fromkeys([*os.environ["PATH"].split(os.pathsep), "/usr/local/bin", "/usr/bin"])
    for program in filter(None, (shutil.which("aws", path=folder) for folder in folders)):
        told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
        if (told.stdout + told.stderr).startswith("aws-cli/2."):
            return program
    return None


@pytest.fixture(scope="session")
def aws(loaded: Loaded, tmp_path_factory: pytest.TempPathFactory) -> AwsCli:
    """The AWS CLI; without it the test is skipped, and on CI, where nobody reads skips, it fails."""
    program = aws_cli_2()
    if program is None:
        reason = "AWS CLI version 2 is not installed: `apt-get install awscli`, or AWS's own installer"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return AwsCli(program, loaded.url, tmp_path_factory.mktemp("awscli"))
