"""`lab load --worker`: this machine's share of a load whose master is elsewhere.

The master sends what to send, and gets every row back: nothing of the run stays here but Locust's log.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serverless_lab.errors import LoadError
from serverless_lab.load.child import LOCUSTFILE, LOG_NAME, crashed, load_environment, run_locust
from serverless_lab.load.runner import CONNECT_TIMEOUT_S, checked_headers

RETRY_S = 0.2


@dataclass
class WorkerResult:
    """What the processes here did: requests that were sent, and how many shares of the run these were.

    `complete`: each share was sent to its end.
    """

    shares: int = 0
    sent: int = 0
    failed: int = 0
    interrupted: bool = False
    _ticks: dict[int, dict[str, Any]] = field(default_factory=dict, repr=False)
    _done: int = field(default=0, repr=False)
    crash: str | None = field(default=None, repr=False)

    @property
    def complete(self) -> bool:
        return 0 < self._done == self.shares

    def read(self, fact: Mapping[str, Any]) -> None:
        match fact["event"]:
            case "share":
                self.shares += 1
            case "tick":
                self._ticks[fact["worker"]] = dict(fact)
                self.sent = sum(tick["sent"] for tick in self._ticks.values())
                self.failed = sum(tick["failed"] for tick in self._ticks.values())
            case "done":
                self._done += fact["whole"]
            case "crash":
                self.crash = self.crash or fact["error"]

    def to_json(self) -> dict[str, Any]:
        return {"shares": self.shares, "sent": self.sent, "failed": self.failed, "complete": self.complete}


def _wait_for_master(host: str, port: int, wait_s: float) -> None:
    deadline_s = time.monotonic() + wait_s
    while True:
        try:
            socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S).close()
        except OSError as error:
            if time.monotonic() >= deadline_s:
                raise LoadError(
                    f"no master answered at {host}:{port} for {wait_s:g} s: {error}",
                    hint="start `lab load --master`; to another machine's, open a tunnel: see docs/distributed.md",
                ) from error
            time.sleep(RETRY_S)
        else:
            return


def run_worker(
    *,
    master_host: str,
    master_port: int,
    folder: Path,
    processes: int = 1,
    wait_s: float = 600,
    headers: Mapping[str, str] | None = None,
    on_fact: Callable[[Mapping[str, Any]], None] = lambda fact: None,
) -> WorkerResult:
    """Send what the master at `master_host`:`master_port` asks for, until the run is over.

    Args:
        folder: for Locust's log.
        processes: how many of the master's workers these are.
        wait_s: for the master, which may be started later.
        headers: added to every request from here; they go to the API alone, never to the master.
        on_fact: called with what the workers tell: `share` ({"index", "workers", "url", "scenario"}), `tick`, `done`.

    Raises:
        LoadError: nobody listens there, the master did not want this worker, or it stopped or went away before the end.
        BadInput: a header that cannot be sent.
    """
    checked = checked_headers(headers or {})
    _wait_for_master(master_host, master_port, wait_s)
    options = ["-f", str(LOCUSTFILE), "--headless", "--only-summary", "--exit-code-on-error", "0"]
    options += ["--worker", "--master-host", master_host, "--master-port", str(master_port)]
    if processes > 1:
        options += ["--processes", str(processes)]
    environment = load_environment(folder, checked) | {"LAB_LOAD_PARENT": str(os.getpid())}
    result = WorkerResult()

    def on_line(line: str) -> bool:
        fact = json.loads(line)
        result.read(fact)
        on_fact(fact)
        return result.crash is None

    exit_code, interrupted = run_locust(options, environment, folder, on_line, cwd=folder)
    result.interrupted = interrupted and not result.complete
    if result.crash is not None:
        raise LoadError(result.crash, hint=f"Locust's log is {folder / LOG_NAME}")
    if not result.complete and not interrupted:
        if not result.shares:
            raise crashed(folder, exit_code, None)
        raise LoadError(
            f"the master at {master_host}:{master_port} stopped the run or went away: {result.sent} requests were sent "
            "until then",
            hint="its machine says why; it keeps what it had been told",
        )
    return result
