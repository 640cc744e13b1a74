"""InvocationRows as a pandas frame, as parquet, and beside the client's requests.

`COLUMNS` is the frame: name -> (dtype, unit or meaning). Times are epoch milliseconds. Absent is missing (NaN or <NA>),
never 0: a warm invocation has no Init Duration.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from serverless_lab.coldstarts.invocations import (
    FROM_WRAPPER,
    WAITED,
    WRAPPER_IN_DURATION,
    InitRow,
    InvocationRow,
    Invocations,
    UnfinishedInvocation,
)
from serverless_lab.errors import ReportError

COLUMNS: dict[str, tuple[str, str]] = {
    "function": ("str", "function name"),
    "log_group": ("str", ""),
    "log_stream": ("str", ""),
    "environment_id": (
        "str",
        "end of the stream's name; where a stream is not an environment, what the wrapper says, or missing",
    ),
    "version": ("str", "executed version: $LATEST or a number"),
    "request_id": ("str", "the function's request id; missing where a query left it away"),
    "timestamp": ("Int64", "ms epoch, of the REPORT event"),
    "start_timestamp": ("Int64", "ms epoch, of the START event"),
    "init_start_timestamp": ("Int64", "ms epoch, of the INIT_START (or RESTORE_START) this invocation used up"),
    "duration_ms": ("float64", "ms"),
    "billed_duration_ms": ("Int64", "ms"),
    "memory_size_mb": ("Int64", "MB"),
    "max_memory_used_mb": ("Int64", "MB, peak of the environment so far"),
    "init_duration_ms": (
        "float64",
        "ms; missing when the line has none. Of the kind sources wrapper and wrapper-in-duration: the handler's import",
    ),
    "restore_duration_ms": ("float64", "ms; SnapStart"),
    "billed_restore_duration_ms": ("Int64", "ms; SnapStart"),
    "status": ("str", "timeout, error, failure; missing for success"),
    "error_type": ("str", "e.g. Runtime.ExitError"),
    "kind": ("str", "cold, restored, init-repeated, provisioned, proactive, warm, unknown"),
    "kind_source": ("str", "what told the kind"),
    "initialization_type": (
        "str",
        "on-demand, provisioned-concurrency, snap-start, lambda-managed-instances; missing where nothing tells",
    ),
}

_METADATA_KEY = b"serverless_lab"
_SCHEMA = 2


def to_frame(rows: Sequence[InvocationRow]) -> pd.DataFrame:
    """One row per invocation, columns and dtypes of `COLUMNS`, in the order of `rows`."""
    columns = {
        name: pd.Series([getattr(row, name) for row in rows], dtype=dtype) for name, (dtype, _) in COLUMNS.items()
    }
    frame = pd.DataFrame(columns)
    frame["request_id"] = frame["request_id"].where(frame["request_id"] != "")
    return frame


def carries_init(frame: pd.DataFrame) -> pd.Series:
    """Which invocations' REPORT has an Init Duration or a Restore Duration, whoever waited for it."""
    return reported_init_ms(frame).notna() | frame["restore_duration_ms"].notna()


def reported_init_ms(frame: pd.DataFrame) -> pd.Series:
    """The Init Duration that REPORT lines have, ms; missing where a module that lab added has measured the init."""
    return frame["init_duration_ms"].where(~frame["kind_source"].isin(FROM_WRAPPER))


def caller_waited(frame: pd.DataFrame) -> pd.Series:
    """Which invocations' callers waited for an init or a restore."""
    return frame["kind"].isin(WAITED)


def init_plus_duration_ms(frame: pd.DataFrame) -> pd.Series:
    """What an invocation whose caller waited took in all, ms: the init and the first duration.

    A repeated init is inside Duration already, and so is any on a target that starts its processes there. Missing for
    other kinds, and where the log has no Init Duration.
    """
    before = frame["init_duration_ms"].where(frame["kind"] == "cold")
    before = before.where(frame["kind"] != "restored", frame["restore_duration_ms"])
    is_inside = (frame["kind"] == "init-repeated") | (
        (frame["kind"] == "cold") & (frame["kind_source"] == WRAPPER_IN_DURATION)
    )
    before = before.where(~is_inside, 0.0)
    # Both are printed with two or three decimals; a sum has no more.
    return (before + frame["duration_ms"]).round(3)


# --- parquet ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SavedInvocations:
    """`invocations.parquet`: the frame, and what was found beside REPORT lines.

    `read_at_ms` (epoch) is when the log was read; the other fields are those of `Invocations` and `LogReading`.
    """

    frame: pd.DataFrame
    inits: tuple[InitRow, ...] | None
    unfinished: tuple[UnfinishedInvocation, ...] = ()
    unreadable: dict[str, int] | None = None
    ignored_init_durations: int = 0
    missing_groups: tuple[str, ...] = ()
    unreported: int | None = None
    read_at_ms: int = 0
    restores: tuple[InitRow, ...] = ()
    dropped_log_events: int = 0
    repeated_reports: int = 0
    failures_only: tuple[str, ...] = ()
    without_status: int = 0
    has_starts: bool = True
    emulated: tuple[str, ...] = ()

    @classmethod
    def from_invocations(
        cls,
        invocations: Invocations,
        *,
        missing_groups: tuple[str, ...] = (),
        unreported: int | None = None,
        read_at_ms: int = 0,
    ) -> SavedInvocations:
        return cls(
            frame=to_frame(invocations.rows),
            inits=invocations.initialised,
            unfinished=invocations.unfinished,
            unreadable=dict(invocations.unreadable),
            ignored_init_durations=invocations.ignored_init_durations,
            missing_groups=missing_groups,
            unreported=unreported,
            read_at_ms=read_at_ms,
            restores=invocations.restores,
            dropped_log_events=invocations.dropped_log_events,
            repeated_reports=invocations.repeated_reports,
            failures_only=invocations.failures_only,
            without_status=invocations.without_status,
            has_starts=invocations.has_starts,
            emulated=invocations.emulated,
        )


def write_parquet(path: Path, saved: SavedInvocations) -> None:
    """Put everything into one parquet file, in one step: REPORT rows as the table, the rest in its metadata."""
    import pyarrow
    import pyarrow.parquet

    beside = {
        "schema": _SCHEMA,
        "inits": None if saved.inits is None else [asdict(init) for init in saved.inits],
        "restores": [asdict(init) for init in saved.restores],
        "unfinished": [asdict(open_) for open_ in saved.unfinished],
        "unreadable": saved.unreadable or {},
        "ignored_init_durations": saved.ignored_init_durations,
        "missing_groups": list(saved.missing_groups),
        "unreported": saved.unreported,
        "read_at_ms": saved.read_at_ms,
        "dropped_log_events": saved.dropped_log_events,
        "repeated_reports": saved.repeated_reports,
        "failures_only": list(saved.failures_only),
        "without_status": saved.without_status,
        "has_starts": saved.has_starts,
        "emulated": list(saved.emulated),
    }
    table = pyarrow.Table.from_pandas(saved.frame, preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), _METADATA_KEY: json.dumps(beside).encode()})
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    pyarrow.parquet.write_table(table, draft)
    draft.replace(path)


def read_parquet(path: Path) -> SavedInvocations:
    """What `write_parquet` wrote.

    Raises:
        ReportError: no such file, or not one of ours.
    """
    import pyarrow
    import pyarrow.parquet

    hint = "read the log again: `lab coldstarts report --refresh`"
    try:
        table = pyarrow.parquet.read_table(path)
        beside: dict[str, Any] = json.loads((table.schema.metadata or {}).get(_METADATA_KEY, b"{}"))
    except (OSError, pyarrow.ArrowException, ValueError) as error:
        raise ReportError(f"{path} cannot be read: {error}", hint=hint) from error
    if beside.get("schema") != _SCHEMA or not set(COLUMNS) <= set(table.column_names):
        raise ReportError(f"{path} was written by another version of lab", hint=hint)
    frame = table.to_pandas()[list(COLUMNS)].astype({name: dtype for name, (dtype, _) in COLUMNS.items()})
    inits = beside["inits"]
    return SavedInvocations(
        frame=frame,
        inits=None if inits is None else tuple(InitRow(**init) for init in inits),
        unfinished=tuple(UnfinishedInvocation(**open_) for open_ in beside["unfinished"]),
        unreadable=beside["unreadable"],
        ignored_init_durations=beside["ignored_init_durations"],
        missing_groups=tuple(beside["missing_groups"]),
        unreported=beside["unreported"],
        read_at_ms=beside["read_at_ms"],
        restores=tuple(InitRow(**init) for init in beside["restores"]),
        dropped_log_events=beside["dropped_log_events"],
        repeated_reports=beside["repeated_reports"],
        failures_only=tuple(beside["failures_only"]),
        without_status=beside["without_status"],
        has_starts=beside.get("has_starts", True),
        emulated=tuple(beside.get("emulated", ())),
    )


# --- the client's side -----------------------------------------------------------------------------------------------

_INVOCATION_SIDE = (
    "function",
    "timestamp",
    "start_timestamp",
    "duration_ms",
    "billed_duration_ms",
    "init_duration_ms",
    "restore_duration_ms",
    "status",
    "error_type",
    "kind",
    "kind_source",
)


@dataclass(frozen=True)
class Join:
    """Requests beside the invocations that served them.

    `frame` has every request once, in the order of the requests, with the invocation's columns of `_INVOCATION_SIDE`
    (missing without a REPORT) and `reports`, the number of REPORT lines with its request id; with several, the first
    one by time is shown. `unexplained` holds the invocations that no request of this client caused: warming pings,
    streams, queues, schedules, other clients.
    """

    frame: pd.DataFrame
    unexplained: pd.DataFrame
    with_request_id: int
    without_report: int
    with_several_reports: int

    @property
    def joined(self) -> int:
        return self.with_request_id - self.without_report


def join_requests(requests: pd.DataFrame, invocations: pd.DataFrame) -> Join:
    """Join by request id: client latency beside the REPORT line.

    Args:
        requests: the columns of requests.parquet; `request_id` is missing where no response named one.
        invocations: a frame of `COLUMNS`.
    """
    ids = requests["request_id"].astype("str")
    has_id = requests["request_id"].notna() & (ids != "")
    counts = invocations.groupby("request_id").size()
    first = invocations.sort_values("timestamp", kind="stable").drop_duplicates("request_id").set_index("request_id")
    beside = first.reindex(ids.where(has_id, ""))[list(_INVOCATION_SIDE)].set_index(requests.index)
    taken = [name for name in _INVOCATION_SIDE if name in requests.columns]
    frame = pd.concat([requests.drop(columns=taken), beside], axis=1)
    frame["reports"] = counts.reindex(ids.where(has_id, "")).fillna(0).astype("int64").to_numpy()
    known = set(ids[has_id])
    return Join(
        frame=frame,
        unexplained=invocations[~invocations["request_id"].isin(known)],
        with_request_id=int(has_id.sum()),
        without_report=int((has_id & (frame["reports"] == 0)).sum()),
        with_several_reports=int((frame["reports"] > 1).sum()),
    )
