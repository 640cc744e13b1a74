"""requests.parquet, one row per request that was due, and the figures drawn from it.

index           int64     number of the arrival; the requests of one session share it
phase           string
name            string    "POST /events", as the scenario writes it
method, path    string    as sent
intended_ms     float64   when it should have been sent, after the run's start
sent_ms         float64   when it was; null if it never was
latency_ms      float64   from the intended instant to the last byte, or to giving up; null if never sent
status_code     int64     null without a response
error           string    null with a response
request_id      string    the function's, from the response header x-lab-request-id
environment_id  string    from the response header x-lab-environment-id
response_bytes  int64     of the body
succeeded       bool      2xx or 3xx, or what the scenario expects
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serverless_lab.errors import ReportError

if TYPE_CHECKING:
    import pyarrow as pa

FILE_NAME = "requests.parquet"
COLUMNS = (
    "index",
    "phase",
    "name",
    "method",
    "path",
    "intended_ms",
    "sent_ms",
    "latency_ms",
    "status_code",
    "error",
    "request_id",
    "environment_id",
    "response_bytes",
    "succeeded",
)
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
ROWS_AT_ONCE = 50_000


@dataclass(frozen=True)
class Figures:
    """What the rows of a run add up to.

    `latency_ms` and `late_ms` (of all requests sent) map p50, p90, p95, p99, max to ms; empty where nothing was sent.
    """

    due: int
    sent: int
    succeeded: int
    failed: int
    by_status: dict[int, int]
    by_error: dict[str, int]
    latency_ms: dict[str, float]
    late_ms: dict[str, float]


def schema() -> pa.Schema:
    import pyarrow as pa

    text, real, whole = pa.string(), pa.float64(), pa.int64()
    types = {"index": whole, "intended_ms": real, "sent_ms": real, "latency_ms": real, "status_code": whole}
    types |= {"response_bytes": whole, "succeeded": pa.bool_()}
    return pa.schema([(column, types.get(column, text)) for column in COLUMNS])


def row_files(run_folder: Path) -> list[Path]:
    """What the load processes wrote, one file each."""
    return sorted(path for path in run_folder.glob("rows-*.jsonl") if path.is_file())


def merge(files: Iterable[Path], to: Path) -> pa.Table:
    """The rows of all files as one table, in order of arrival, also written to `to`.

    A line that was cut short by the end of its process is left out.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet

    kind = schema()
    chunks = [
        pa.record_batch(
            [pa.array(column, field.type) for column, field in zip(columns, kind, strict=True)], schema=kind
        )
        for columns in _column_chunks(files)
    ]
    table = pa.Table.from_batches(chunks, schema=kind).sort_by(
        [("index", "ascending"), ("intended_ms", "ascending"), ("name", "ascending")]
    )
    draft = to.with_name(f".{to.name}")
    parquet.write_table(table, draft, compression="zstd")
    draft.replace(to)
    return table


def _column_chunks(files: Iterable[Path]) -> Iterator[list[Sequence[Any]]]:
    rows: list[list[Any]] = []
    for file in files:
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                if not line.endswith("\n"):
                    continue
                rows.append(json.loads(line))
                if len(rows) == ROWS_AT_ONCE:
                    yield list(zip(*rows, strict=True))
                    rows = []
    if rows:
        yield list(zip(*rows, strict=True))


def read(run_folder: Path) -> pa.Table:
    """The rows of a run.

    Raises:
        ReportError: the run has none.
    """
    import pyarrow.parquet as parquet

    path = run_folder / FILE_NAME
    if not path.is_file():
        raise ReportError(f"{run_folder} has no {FILE_NAME}", hint="send a load first: `lab load`")
    return parquet.read_table(path)


def figures(table: pa.Table) -> Figures:
    """Counts and quantiles of the rows in `table`."""
    import pyarrow.compute as pc

    sent = table.filter(pc.is_valid(table["sent_ms"]))
    answered = sent.filter(pc.is_valid(sent["status_code"]))
    # A request that timed out counts with the time its caller gave it: leaving it out would flatter the quantiles.
    waited = sent.filter(pc.is_valid(sent["latency_ms"]))
    succeeded = int(pc.sum(table["succeeded"]).as_py() or 0)
    return Figures(
        due=table.num_rows,
        sent=sent.num_rows,
        succeeded=succeeded,
        failed=table.num_rows - succeeded,
        by_status=_counts(answered["status_code"]),
        by_error=_counts(table["error"]),
        latency_ms=quantiles(waited["latency_ms"]),
        late_ms=quantiles(pc.subtract(sent["sent_ms"], sent["intended_ms"])),
    )


def last_end_ms(table: pa.Table) -> float:
    """When the last answer was in, in ms after the run's start; 0 for nothing."""
    import pyarrow.compute as pc

    return float(pc.max(pc.add(table["intended_ms"], table["latency_ms"])).as_py() or 0.0)


def quantiles(values: Any) -> dict[str, float]:
    """p50, p90, p95, p99 and max of `values`, linear between neighbours; empty for nothing."""
    import numpy as np

    numbers = np.asarray(values, dtype=float)
    if not numbers.size:
        return {}
    found = np.quantile(numbers, list(QUANTILES.values()))
    return {**{name: float(value) for name, value in zip(QUANTILES, found, strict=True)}, "max": float(numbers.max())}


def _counts(column: Any) -> dict[Any, int]:
    """Value -> how often, the most frequent first; nulls left out."""
    pairs = [(item["values"], item["counts"]) for item in column.drop_null().value_counts().to_pylist()]
    return dict(sorted(pairs, key=lambda pair: (-pair[1], str(pair[0]))))
