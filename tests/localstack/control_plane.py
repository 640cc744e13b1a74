"""LocalStack's control plane as a process of this host, and the processes its functions ran in.

Nothing of LocalStack is changed: it is started with its own settings, and the plugins beside this file are chosen by
them. What it writes stays in a folder of its own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serverless_lab.emulator.runtimes import Runtimes
from tests.conftest import end_with_parent, free_port

VENV = Path(__file__).parents[2] / ".venv-localstack"
PLUGIN = Path(__file__).with_name("plugin")
RUNTIMES = ("python3.12",)
START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 30

ENVIRONMENT_START_TIMEOUT_S = 900
"""LocalStack gives an environment 20 s to start; with two cores for a hundred of them at once that is too few."""


@dataclass(frozen=True)
class Process:
    """A process that the operating system started for a function. `started` is the kernel's time of it, in ticks."""

    environment: str
    function: str
    pid: int
    started: int

    def is_alive(self) -> bool:
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text()
        except OSError:
            return False
        return _start_time(stat) == self.started


def _start_time(stat: str) -> int:
    """Field 22 of /proc/PID/stat; the second field is in parentheses and may hold anything."""
    return int(stat.rpartition(")")[2].split()[19])


def read_journal(lines: Iterable[str]) -> list[Process]:
    found = []
    for line in lines:
        environment, function, stat = line.split(" ", 2)
        found.append(Process(environment, function, int(stat.split(" ", 1)[0]), _start_time(stat)))
    return found


class LocalStack:
    """`endpoint` is its URL; `stop()` ends it with every environment it has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.log = folder / "localstack.log"
        for name in ("home", "tmp"):
            (folder / name).mkdir()
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [VENV / "bin" / "python", "-m", "localstack.runtime.main"],
                cwd=folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )

    def _environment(self) -> dict[str, str]:
        runtimes = Runtimes(virtual=False)
        found = {name: runtimes.get(name) for name in RUNTIMES}
        return {
            "PATH": f"{VENV / 'bin'}{os.pathsep}{os.defpath}",
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONPATH": str(PLUGIN),
            "OVERRIDE_IN_DOCKER": "0",
            "FILESYSTEM_ROOT": str(self.folder / "filesystem"),
            # LocalStack 4.8.1 binds to all addresses whatever IPv4 address it is told, but minds one of IPv6.
            "GATEWAY_LISTEN": f"[::ffff:127.0.0.1]:{self.port}",
            "DNS_ADDRESS": "0",
            "SKIP_SSL_CERT_DOWNLOAD": "1",
            "DISABLE_EVENTS": "1",
            "LAMBDA_RUNTIME_EXECUTOR": "process",
            "LAMBDA_RUNTIME_ENVIRONMENT_TIMEOUT": str(ENVIRONMENT_START_TIMEOUT_S),
            "PROVIDER_OVERRIDE_DYNAMODB": "moto",
            "PROVIDER_OVERRIDE_DYNAMODBSTREAMS": "moto",
            "LAB_LOCALSTACK_WORK": str(self.folder),
            "LAB_LOCALSTACK_RUNTIMES": json.dumps(
                {
                    name: {"python": str(runtime.executable), "directory": str(runtime.directory)}
                    for name, runtime in found.items()
                }
            ),
        }

    def processes(self) -> list[Process]:
        """Those started for functions so far, in their order."""
        journal = self.folder / "processes.journal"
        return read_journal(journal.read_text().splitlines()) if journal.exists() else []

    def client(self, service: str) -> Any:
        """A boto3 client with nothing of lab."""
        import boto3

        credentials = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client(service, endpoint_url=self.endpoint, region_name="us-east-1", **credentials)

    def info(self) -> dict[str, Any]:
        """What it says of itself.

        Raises:
            OSError: it does not answer.
        """
        with urllib.request.urlopen(f"{self.endpoint}/_localstack/info", timeout=10) as response:
            found: dict[str, Any] = json.loads(response.read())
        return found

    def wait_until_ready(self) -> None:
        pause = threading.Event()
        for _ in range(START_TIMEOUT_S * 10):
            if self._process.poll() is not None:
                raise RuntimeError(f"LocalStack ended with {self._process.returncode}:\n{self.last_words()}")
            try:
                self.info()
                return
            except OSError:
                pause.wait(0.1)
        raise RuntimeError(f"LocalStack did not answer in {START_TIMEOUT_S} s:\n{self.last_words()}")

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    def stop(self) -> None:
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            # Its environments end with it, however it ends: they watch a pipe.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
