"""A run's folder, as `lab load` leaves it: a few environments' stories and the requests that caused them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from serverless_lab.targets.base import Capabilities
from tests.coldstarts.story import T0, Environment, request_id

STACK = "lab-shop"
ORDERS = f"{STACK}-Orders-A1B2C3D4E5F6"
MAIL = f"{STACK}-Mail-Z9Y8X7W6V5U4"


def story() -> list[Environment]:
    """Orders: 2 cold starts, 1 reset after a timeout, 3 warm. Mail: 1 proactive, 1 warm, not from the client."""
    first = Environment(ORDERS, T0 + 100).cold(1, 230.0, 20.0).wait(1_000).invoke(2).wait(1_000).invoke(3)
    second = Environment(ORDERS, T0 + 120).cold(4, 250.0, 30.0).wait(100).invoke(5, 3000.0, status="timeout")
    second.wait(10_000).invoke(6, 300.0, max_memory_used_mb=91)
    mail = Environment(MAIL, T0).init_start().wait(30_000).invoke(100, init_duration_ms=90.0).wait(5).invoke(101)
    return [first, second, mail]


def requests(**changes: dict[int, Any]) -> pd.DataFrame:
    """Seven requests: six answered by Orders (the fifth with a 502), the seventh without a response."""
    columns: dict[str, list[Any]] = {
        "index": list(range(7)),
        "phase": ["spike"] * 7,
        "name": ["POST /orders"] * 7,
        "method": ["POST"] * 7,
        "path": ["/orders"] * 7,
        "intended_ms": [float(100 * n) for n in range(7)],
        "sent_ms": [float(100 * n + 1) for n in range(7)],
        "latency_ms": [260.0, 25.0, 26.0, 290.0, 3010.0, 310.0, 5000.0],
        "status_code": [200, 200, 200, 200, 502, 200, None],
        "error": [None] * 6 + ["ReadTimeout"],
        "request_id": [request_id(n + 1) for n in range(6)] + [None],
        "environment_id": [None] * 7,
        "response_bytes": [10] * 6 + [None],
    }
    for name, values in changes.items():
        for at, value in values.items():
            columns[name][at] = value
    types = {
        "status_code": "Int64",
        "response_bytes": "Int64",
        "error": "str",
        "request_id": "str",
        "environment_id": "str",
    }
    return pd.DataFrame(columns).astype(types)


def manifest(**changes: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "run_id": "20251124-160000-spike",
        "scenario": "spike",
        "target": "local",
        "stack_name": STACK,
        "region": "eu-west-1",
        "functions": [{"name": name, "log_group": f"/aws/lambda/{name}"} for name in (ORDERS, MAIL)],
        "started_at_ms": T0,
        "ended_at_ms": T0 + 40_000,
        "clock": "virtual",
        "complete": True,
        **changes,
    }


def write_run(folder: Path, *, requests: pd.DataFrame | None = None, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(manifest(**changes)))
    if requests is not None:
        requests.to_parquet(folder / "requests.parquet")
    return folder


@dataclass
class LogsTarget:
    """A target whose CloudWatch Logs are a real client's."""

    logs: Any
    capabilities: Capabilities = field(default_factory=lambda: Capabilities(True, True, True))
    name: str = "local"
    region: str = "eu-west-1"
    endpoint_url: str | None = None

    def client(self, service: str) -> Any:
        assert service == "logs"
        return self.logs
