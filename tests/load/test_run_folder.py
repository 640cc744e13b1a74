"""What a run folder holds: rows, the figures drawn from them, the manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from serverless_lab.errors import ReportError
from serverless_lab.load import manifest, samples
from serverless_lab.load.manifest import RunManifest
from serverless_lab.project import DeployedFunction, Deployment
from serverless_lab.scenario import load_scenario


def row(index: int, **cells: Any) -> list[Any]:
    usual = {
        "index": index,
        "phase": "p",
        "name": "GET /",
        "method": "GET",
        "path": "/",
        "intended_ms": float(index),
        "sent_ms": index + 0.5,
        "latency_ms": 10.0 * (index + 1),
        "status_code": 200,
        "error": None,
        "request_id": None,
        "environment_id": None,
        "response_bytes": 2,
        "succeeded": True,
    }
    assert tuple(usual) == samples.COLUMNS
    return list({**usual, **cells}.values())


def write(path: Path, *written: list[Any], torn: str = "") -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in written) + torn)
    return path


def test_rows_of_several_processes_are_merged_in_order_of_arrival(tmp_path: Path) -> None:
    """A process that was killed within a line leaves half of it, which is no row."""
    files = [
        write(tmp_path / "rows-0.jsonl", row(2), row(0)),
        write(tmp_path / "rows-1.jsonl", row(3), row(1), torn='[5, "p", "GET'),
    ]
    assert samples.row_files(tmp_path) == files
    samples.merge(files, tmp_path / samples.FILE_NAME)
    table = samples.read(tmp_path)
    assert table["index"].to_pylist() == [0, 1, 2, 3]
    assert table.schema.equals(samples.schema())


def test_the_columns_have_the_types_that_readers_rely_on(tmp_path: Path) -> None:
    """A run without a single response still has a whole-number column of status codes, not one of nulls."""
    lost = row(
        0, sent_ms=None, latency_ms=None, status_code=None, error="not sent", response_bytes=None, succeeded=False
    )
    table = samples.merge([write(tmp_path / "rows-0.jsonl", lost)], tmp_path / samples.FILE_NAME)
    types = {field.name: str(field.type) for field in table.schema}
    assert types == {
        "index": "int64", "phase": "string", "name": "string", "method": "string", "path": "string",
        "intended_ms": "double", "sent_ms": "double", "latency_ms": "double", "status_code": "int64",
        "error": "string", "request_id": "string", "environment_id": "string", "response_bytes": "int64",
        "succeeded": "bool",
    }  # fmt: skip
    figures = samples.figures(table)
    assert (figures.due, figures.sent, figures.succeeded, figures.failed) == (1, 0, 0, 1)
    assert (figures.latency_ms, figures.late_ms) == ({}, {})


def test_no_rows_at_all_make_an_empty_table(tmp_path: Path) -> None:
    table = samples.merge([], tmp_path / samples.FILE_NAME)
    assert table.num_rows == 0
    assert samples.figures(table).sent == 0


def test_a_timed_out_request_counts_with_the_time_it_took(tmp_path: Path) -> None:
    """Leaving out those who gave up would make a stalled API look quick."""
    rows = [row(index) for index in range(9)]
    rows.append(row(9, latency_ms=10_000.0, status_code=None, error="timeout after 10 s", succeeded=False))
    figures = samples.figures(samples.merge([write(tmp_path / "rows-0.jsonl", *rows)], tmp_path / samples.FILE_NAME))
    assert figures.latency_ms["max"] == 10_000
    assert figures.latency_ms["p50"] == 55
    assert figures.late_ms == {"p50": 0.5, "p90": 0.5, "p95": 0.5, "p99": 0.5, "max": 0.5}
    assert figures.by_status == {200: 9}
    assert figures.by_error == {"timeout after 10 s": 1}
    assert (figures.succeeded, figures.failed) == (9, 1)


def test_a_manifest_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    function = DeployedFunction("Ingest", "lab-ingest", "/aws/lambda/lab-ingest", 512, 10, "python3.11", "x86_64")
    deployment = Deployment(
        "local", "lab", "eu-west-1", "000000000000", "template.yaml", "2025-01-06T09:00:00+00:00", {}, {}, (function,)
    )
    begun = manifest.begin(
        load_scenario("monday-spike"),
        run_folder=tmp_path,
        base_url="http://127.0.0.1:1/x",
        seed=3,
        planned=500,
        processes=2,
        started_at_ms=1_736_150_400_000,
        deployment=deployment,
    )
    begun.write(tmp_path)
    read = RunManifest.read(tmp_path)
    assert read == begun
    assert read.functions == [
        {
            "logical_id": "Ingest",
            "name": "lab-ingest",
            "log_group": "/aws/lambda/lab-ingest",
            "memory_size_mb": 512,
            "architecture": "x86_64",
            "provisioned_environments": 0,
        }
    ]
    assert (read.clock, read.complete, read.target, read.stack_name) == ("wall", False, "local", "lab")
    assert set(read.versions) == {"lab", "locust", "python"}


def test_a_manifest_of_another_schema_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="schema 2"):
        RunManifest.from_json({"schema": 2})
    with pytest.raises(ReportError, match="incomplete"):
        RunManifest.from_json({"schema": 1})
    with pytest.raises(ReportError, match=r"has no manifest\.json"):
        RunManifest.read(tmp_path)
    with pytest.raises(ReportError, match=r"has no requests\.parquet"):
        samples.read(tmp_path)
