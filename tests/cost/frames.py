"""REPORT lines as a frame, written by hand."""

from __future__ import annotations

from typing import Any

import pandas as pd

from serverless_lab.coldstarts.frame import COLUMNS

INGEST, PROCESS = "shop-ingest", "shop-process"


def line(**changes: Any) -> dict[str, Any]:
    """A warm invocation of 100 ms at 512 MB."""
    return {
        "function": INGEST,
        "duration_ms": 99.5,
        "billed_duration_ms": 100,
        "memory_size_mb": 512,
        "kind": "warm",
        "initialization_type": "on-demand",
        **changes,
    }


def cold(init_ms: float = 500.0, billed_ms: int | None = 600, **changes: Any) -> dict[str, Any]:
    """One that began with an init, billed as it is since August 2025."""
    return line(kind="cold", init_duration_ms=init_ms, billed_duration_ms=billed_ms, **changes)


def frame(*lines: dict[str, Any]) -> pd.DataFrame:
    columns = {name: pd.Series([one.get(name) for one in lines], dtype=dtype) for name, (dtype, _) in COLUMNS.items()}
    return pd.DataFrame(columns)


MANIFEST: dict[str, Any] = {
    "schema": 1,
    "run_id": "20261124-160000-spike",
    "scenario": "spike",
    "target": "local",
    "stack_name": "shop",
    "region": "us-east-1",
    "api_type": "rest",
    "started_at_ms": 1_795_550_000_000,
    "ended_at_ms": 1_795_550_060_000,
    "sent": 4,
    "functions": [
        {
            "name": INGEST,
            "log_group": f"/aws/lambda/{INGEST}",
            "memory_size_mb": 512,
            "architecture": "x86_64",
            "provisioned_environments": 0,
        },
        {
            "name": PROCESS,
            "log_group": f"/aws/lambda/{PROCESS}",
            "memory_size_mb": 1024,
            "architecture": "arm64",
            "provisioned_environments": 0,
        },
    ],
}

CALLS: dict[str, Any] = {
    "calls": {"s3": {"PUT": 4}, "dynamodb": {"PutItem": 4}, "sqs": {"SendMessage": 2, "ReceiveMessage": 1}},
    "units": {"s3.puts": 4, "dynamodb.writes": 8, "sqs.requests": 3},
    "stored_bytes": {"s3": 4 * 1024**3},
    "log_bytes": 2 * 1024**3,
}


def with_provisioned(environments: int) -> dict[str, Any]:
    ingest, process = MANIFEST["functions"]
    return {**MANIFEST, "functions": [{**ingest, "provisioned_environments": environments}, process]}
