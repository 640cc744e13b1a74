"""A run's folder -> what the run used.

Lambda from the REPORT lines, calls of the API from the client's requests, everything else as the embedded emulator has
counted it at its services' doors (calls.json). Other targets count nothing that could be read from them: there the rest
is not known, and said to be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serverless_lab import quotas
from serverless_lab.cost.items import X86
from serverless_lab.cost.log_usage import LambdaUsage, architectures, usage_of_frame
from serverless_lab.cost.usage import ASSUMED, COUNTED, Usage, gigabytes, provisioned, total
from serverless_lab.errors import ReportError
from serverless_lab.project import read_json

if TYPE_CHECKING:
    import pandas as pd

MANIFEST_FILE, REQUESTS_FILE = "manifest.json", "requests.parquet"
INVOCATIONS_FILE, CALLS_FILE = "invocations.parquet", "calls.json"

MONTHS_KEPT = 1
"""assumed: what a run stored is paid for so many months; a bucket's or table's own rule may say otherwise."""


@dataclass(frozen=True)
class Standing:
    """Provisioned concurrency of a function, which costs as long as it is there."""

    function: str
    environments: int
    memory_mb: int
    architecture: str

    def usage(self, seconds: float, known: str = COUNTED) -> Usage:
        return provisioned(
            environments=self.environments,
            memory_mb=self.memory_mb,
            seconds=seconds,
            architecture=self.architecture,
            known=known,
        )


@dataclass(frozen=True)
class RunUsage:
    """What a run used, and what it can be scaled by.

    `requests` the client sent, `duration_s` is from its beginning to its end on the run's clock. `unknown` names what
    the target does not tell, in words.
    """

    run_id: str
    scenario: str
    target: str
    region: str
    requests: int
    duration_s: float
    usage: Usage
    of_lambda: LambdaUsage
    standing: tuple[Standing, ...] = ()
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    calls: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def usage_of_run(run_folder: Path) -> Usage:
    """What the run in `run_folder` used; its log must have been read. See `read_run` for what else is known of it.

    Raises:
        ReportError: the folder has no manifest, or the run's log was never read.
    """
    return read_run(run_folder).usage


def read_run(run_folder: Path) -> RunUsage:
    """
    Raises:
        ReportError: as `usage_of_run`.
    """
    from serverless_lab.coldstarts.frame import read_parquet

    manifest = read_json(run_folder / MANIFEST_FILE)
    if manifest is None:
        raise ReportError(f"{run_folder} has no {MANIFEST_FILE}", hint="name a run: `lab load` prints its id")
    if not (run_folder / INVOCATIONS_FILE).is_file():
        raise ReportError(
            f"the log of run {run_folder.name} was not read yet", hint="report on it first: `lab coldstarts report`"
        )
    saved = read_parquet(run_folder / INVOCATIONS_FILE)
    answered, response_bytes = _answers(run_folder)
    return run_usage(manifest, saved.frame, answered, read_json(run_folder / CALLS_FILE), response_bytes)


def run_usage(
    manifest: Mapping[str, Any],
    frame: pd.DataFrame,
    requests: int | None,
    calls: Mapping[str, Any] | None,
    response_bytes: int = 0,
) -> RunUsage:
    """From what has been read.

    Args:
        frame: the run's invocations, of `frame.COLUMNS`.
        requests: how many of the client's requests were answered by the API; None where that is not known.
        calls: calls.json; None where the target does not count.
        response_bytes: of the bodies that the client got.
    """
    functions = [function for function in manifest.get("functions") or () if isinstance(function, Mapping)]
    of_lambda = usage_of_frame(
        frame,
        architectures((str(function["name"]), str(function.get("architecture") or X86)) for function in functions),
    )
    standing = tuple(_standing(function) for function in functions if function.get("provisioned_environments"))
    duration_s = _duration_s(manifest)
    parts = [of_lambda.usage, *(part.usage(duration_s) for part in standing)]
    notes = list(of_lambda.notes)
    unknown = []
    sent, planned = int(manifest.get("sent") or 0), int(manifest.get("planned") or 0)
    is_cut = manifest.get("complete") is False
    if is_cut:
        notes.append(
            f"The run was not complete: {sent:,} of {planned:,} requests were sent, and a month is made of those."
        )
    if manifest.get("stack_name") is not None and requests is not None:
        api = f"apigateway.{manifest.get('api_type') or 'rest'}"
        parts.append(Usage.of({api: requests, "transfer.out": gigabytes(response_bytes)}, COUNTED))
    if calls is None:
        unknown += ["calls to S3, DynamoDB, SQS and EventBridge", "bytes of logs"]
    else:
        called, said = _called(calls)
        parts.append(called)
        notes += said
    return RunUsage(
        run_id=str(manifest.get("run_id") or ""),
        scenario=str(manifest.get("scenario") or ""),
        target=str(manifest.get("target") or ""),
        region=str(manifest.get("region") or ""),
        # What was under way when a run was stopped was invoked, and no client has its answer.
        requests=sent if requests is None or is_cut else requests,
        duration_s=duration_s,
        usage=total(parts),
        of_lambda=of_lambda,
        standing=standing,
        unknown=tuple(unknown),
        notes=tuple(notes),
        calls={} if calls is None else dict(calls.get("calls") or {}),
    )


def _answers(run_folder: Path) -> tuple[int | None, int]:
    """How many requests were answered, for what never reached the API is not billed, and how long the bodies were."""
    import pyarrow.compute
    import pyarrow.parquet

    file = run_folder / REQUESTS_FILE
    if not file.is_file():
        return None, 0
    table = pyarrow.parquet.read_table(file, columns=["status_code", "response_bytes"])
    statuses = table.column("status_code")
    size = pyarrow.compute.sum(table.column("response_bytes")).as_py()
    return len(statuses) - int(statuses.null_count), int(size or 0)


def _standing(function: Mapping[str, Any]) -> Standing:
    return Standing(
        function=str(function["name"]),
        environments=int(function["provisioned_environments"]),
        memory_mb=int(function["memory_size_mb"]),
        architecture=str(function.get("architecture") or X86),
    )


def _duration_s(manifest: Mapping[str, Any]) -> float:
    started, ended = manifest.get("started_at_ms"), manifest.get("ended_at_ms")
    return 0.0 if started is None or ended is None else max(0.0, (ended - started) / 1000)


def _called(calls: Mapping[str, Any]) -> tuple[Usage, list[str]]:
    """What was counted, what follows from it, and what is to be said of that."""
    notes = []
    counted = Usage.of(dict(calls.get("units") or {}), COUNTED)
    logged = Usage.of({"logs.ingested": gigabytes(int(calls.get("log_bytes") or 0))}, COUNTED)
    stored = calls.get("stored_bytes") or {}
    kept = {
        "s3.storage": gigabytes(int(stored.get("s3") or 0)) * MONTHS_KEPT,
        "dynamodb.storage": gigabytes(int(stored.get("dynamodb") or 0)) * MONTHS_KEPT,
        "logs.stored": logged.get("logs.ingested") * Decimal(str(quotas.LOG_STORED_SHARE)) * MONTHS_KEPT,
    }
    notes.append("Storage is that of a month, for what was put there; logs are stored as a fifth of what was ingested.")
    sent = sum(
        count for name, count in (calls.get("calls") or {}).get("sqs", {}).items() if name.startswith("SendMessage")
    )
    polled = Usage.of({"sqs.requests": 2 * sent}, ASSUMED)
    if sent:
        notes.append("Each message that was sent is billed two more requests: Lambda receives it and deletes it.")
    return total([counted, logged, Usage.of(kept, ASSUMED), polled]), notes
