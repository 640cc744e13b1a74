"""A run's folder, and the month that is made of it."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from serverless_lab.coldstarts.frame import SavedInvocations, write_parquet
from serverless_lab.cost.bill import bill
from serverless_lab.cost.monthly import monthly
from serverless_lab.cost.prices import load_prices
from serverless_lab.cost.run_usage import read_run, run_usage, usage_of_run
from serverless_lab.cost.usage import ASSUMED, COUNTED, MEASURED
from serverless_lab.errors import BadInput, ReportError
from tests.cost.frames import CALLS, MANIFEST, PROCESS, frame, line, with_provisioned

LINES = frame(line(), line(), line(function=PROCESS, memory_size_mb=1024))


def test_a_run_uses_what_its_lines_its_requests_and_its_functions_calls_say():
    found = run_usage(MANIFEST, LINES, 4, CALLS)
    assert found.usage.get("lambda.requests") == 3
    assert found.usage.get("lambda.duration.arm64") == Decimal("0.1")
    assert found.usage.get("apigateway.rest") == 4
    assert found.usage.get("s3.puts") == 4
    assert found.usage.get("dynamodb.writes") == 8
    assert found.usage.get("logs.ingested") == 2
    assert found.unknown == ()


def test_each_quantity_says_how_it_is_known():
    known = run_usage(MANIFEST, LINES, 4, CALLS).usage.known
    assert known["lambda.requests"] == MEASURED
    assert known["s3.puts"] == COUNTED
    assert known["s3.storage"] == ASSUMED


def test_what_was_stored_is_paid_for_a_month():
    found = run_usage(MANIFEST, LINES, 4, CALLS).usage
    assert found.get("s3.storage") == 4
    assert found.get("logs.stored") == Decimal("0.4")


def test_a_message_is_also_received_and_deleted():
    """Lambda's poller does that, and the account pays for it."""
    assert run_usage(MANIFEST, LINES, 4, CALLS).usage.get("sqs.requests") == 3 + 2 * 2


def test_an_http_api_is_billed_as_one():
    found = run_usage({**MANIFEST, "api_type": "http"}, LINES, 4, CALLS).usage
    assert (found.get("apigateway.http"), found.get("apigateway.rest")) == (4, 0)


def test_a_target_that_does_not_count_leaves_it_unknown_and_not_zero():
    found = run_usage({**MANIFEST, "target": "aws"}, LINES, 4, None)
    assert found.usage.get("s3.puts") == 0
    assert found.unknown == ("calls to S3, DynamoDB, SQS and EventBridge", "bytes of logs")


def test_provisioned_concurrency_costs_by_the_begun_five_minutes_of_the_run():
    found = run_usage(with_provisioned(5), LINES, 4, CALLS)
    assert found.usage.get("lambda.provisioned.allocated.x86_64") == 5 * Decimal("0.5") * 300


def test_a_month_scales_the_traffic_and_not_what_stands_there():
    run = run_usage(with_provisioned(5), LINES, 4, CALLS)
    month = monthly(run, 10_000_000)
    assert month.get("apigateway.rest") == 10_000_000
    assert month.get("s3.puts") == 10_000_000
    found = bill(month, load_prices("us-east-1"))
    assert found.amount("lambda.provisioned.allocated").quantize(Decimal("0.01")) == Decimal("27.00")
    assert found.amount("s3.puts") == 50


def test_a_run_without_requests_makes_no_month():
    with pytest.raises(BadInput, match="nothing was sent"):
        monthly(run_usage(MANIFEST, LINES, 0, CALLS), 10)


def test_the_folder_of_a_run_has_all_of_it(tmp_path: Path):
    _write(tmp_path)
    found = read_run(tmp_path)
    assert found.usage == run_usage(MANIFEST, LINES, 3, CALLS, 230).usage
    assert found.usage.get("transfer.out") == Decimal(230) / 1024**3
    assert usage_of_run(tmp_path) == found.usage
    assert (found.requests, found.duration_s) == (3, 60.0)


def test_a_run_that_was_stopped_is_of_what_was_sent_and_says_so():
    """What was under way then was invoked, though no client has its answer."""
    cut = run_usage({**MANIFEST, "complete": False, "sent": 4, "planned": 50}, LINES, 3, CALLS)
    assert cut.requests == 4
    assert "The run was not complete: 4 of 50 requests were sent, and a month is made of those." in cut.notes


def test_a_request_that_never_reached_the_api_is_not_billed(tmp_path: Path):
    """The fourth has no status: nobody answered it."""
    _write(tmp_path)
    assert read_run(tmp_path).usage.get("apigateway.rest") == 3


def test_a_run_whose_log_was_not_read_says_how_to(tmp_path: Path):
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    with pytest.raises(ReportError, match="not read yet") as caught:
        read_run(tmp_path)
    assert "lab coldstarts report" in str(caught.value.hint)
    with pytest.raises(ReportError, match=r"has no manifest\.json"):
        read_run(tmp_path / "nowhere")


def _write(folder: Path) -> None:
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    (folder / "calls.json").write_text(json.dumps(CALLS))
    statuses = pd.Series([202, 202, 504, None], dtype="Int64")
    sizes = pd.Series([100, 100, 30, None], dtype="Int64")
    pd.DataFrame({"status_code": statuses, "response_bytes": sizes}).to_parquet(folder / "requests.parquet")
    write_parquet(folder / "invocations.parquet", SavedInvocations(LINES, ()))
