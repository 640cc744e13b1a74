"""A real emulator, and functions to put into it."""

from __future__ import annotations

import functools
import io
import json
import textwrap
import urllib.request
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from serverless_lab.emulator import control
from serverless_lab.emulator.runtimes import Runtimes
from serverless_lab.project import Project
from serverless_lab.report_line import ReportLine, parse
from tests.conftest import python_runtime


def zip_of(files: dict[str, str]) -> bytes:
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, textwrap.dedent(text))
    return bundle.getvalue()


@dataclass
class Emulator:
    """A running emulator and a client's view of it."""

    project: Project
    status: dict[str, Any]
    _clients: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.status['port']}"

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                endpoint_url=self.url,
                region_name="us-east-1",
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=Config(retries={"max_attempts": 0}, max_pool_connections=50),
            )
        return self._clients[service]

    def create(self, name: str, code: str, **options: Any) -> str:
        """Create a function from Python source with a `handler`; gives its name."""
        settings = {"Runtime": python_runtime(), "Timeout": 5, "MemorySize": 256, **options}
        self.client("lambda").create_function(
            FunctionName=name,
            Role="arn:aws:iam::000000000000:role/lab",
            Handler="app.handler",
            Code={"ZipFile": zip_of({"app.py": code})},
            **settings,
        )
        return name

    def invoke(self, name: str, event: Any = None, **options: Any) -> Invoked:
        answer = self.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event), **options)
        payload = answer["Payload"].read()
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        return Invoked(
            status=answer["StatusCode"],
            function_error=answer.get("FunctionError"),
            body=json.loads(payload) if payload else None,
            request_id=answer["ResponseMetadata"]["RequestId"],
            headers=headers,
        )

    def log(self, name: str) -> list[tuple[str, str]]:
        """(stream, message) of every event in the function's log group, in the order of the log."""
        pages = self.client("logs").get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{name}")
        return [(event["logStreamName"], event["message"]) for page in pages for event in page["events"]]

    def pass_time(self, seconds: float) -> None:
        """Let this much virtual time pass, with all that takes place in it: as a load generator's quiet period does."""
        said = {"run": uuid.uuid4().hex, "worker": 0, "workers": 1, "first_ms": 0.0, "quiet_ms": seconds * 1000}
        generator = self._post("/_lab/clock/join", said, {})["generator"]
        stamped = {
            "x-lab-generator": generator,
            "x-lab-arrival-ms": "0",
            "x-lab-sequence": "0",
            "x-lab-next-ms": "none",
        }
        self._post("/_ministack/health", None, stamped)
        self._post("/_lab/clock/leave", {"generator": generator}, {})

    def _post(self, path: str, body: Any, headers: dict[str, str]) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers), timeout=120) as answer:
            return json.load(answer)

    def reports(self, name: str) -> list[ReportLine]:
        found = [parse(message) for _, message in self.log(name) if message.startswith("REPORT ")]
        assert None not in found
        return [report for report in found if report is not None]


@dataclass(frozen=True)
class Invoked:
    status: int
    function_error: str | None
    body: Any
    request_id: str
    headers: dict[str, str]


@functools.cache
def prepare_runtimes() -> Runtimes:
    """What functions here run on is installed before one is invoked: the first time on a machine it takes a while."""
    runtimes = Runtimes(virtual=True)
    for identifier in {python_runtime(), "python3.12", "python3.13", "nodejs20.x"}:
        runtimes.get(identifier)
    return runtimes


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An emulator of its own for each module, on a free port."""
    prepare_runtimes()
    project = Project(tmp_path_factory.mktemp("emulator"))
    status, _ = control.up(project, control.UpOptions(idle_lifetime_ms=600_000))
    yield Emulator(project, status)
    control.down(project)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A working directory whose emulator, if a test starts one, is stopped at the end."""
    prepare_runtimes()
    made = Project(tmp_path)
    yield made
    control.down(made)
