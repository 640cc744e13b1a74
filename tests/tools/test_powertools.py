"""Powertools for AWS Lambda (https://docs.aws.amazon.com/powertools/python/latest/) says which invocations were cold.

Its Logger writes `cold_start` with every line, its Metrics a `ColdStart` metric in the embedded metric format. Both
come from inside the handler, ours from the platform's lines around it.
"""

from __future__ import annotations

import importlib.util
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from serverless_lab.coldstarts.files import read_paths
from serverless_lab.coldstarts.frame import to_frame
from tests.conftest import python_runtime
from tests.emulator.conftest import Emulator, zip_of
from tests.tools.conftest import Loaded

pytestmark = pytest.mark.process

HANDLER = """
    import time

    from aws_lambda_powertools import Logger, Metrics
    from aws_lambda_powertools.metrics import MetricUnit

    logger = Logger(service="orders")
    metrics = Metrics(namespace="Shop", service="orders")

    @metrics.log_metrics(capture_cold_start_metric=True)
    @logger.inject_lambda_context
    def handler(event, context):
        logger.info("order", extra={"number": event["number"]})
        metrics.add_metric(name="Orders", unit=MetricUnit.Count, value=1)
        time.sleep(0.05)
        return event["number"]
"""


def package() -> bytes:
    """The handler with Powertools beside it, as `pip install --target` lays it."""
    files = {"app.py": HANDLER}
    for name in ("aws_lambda_powertools", "typing_extensions"):
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.origin is not None
        origin = Path(spec.origin)
        found = origin.parent.rglob("*.py") if origin.name == "__init__.py" else [origin]
        root = origin.parents[1] if origin.name == "__init__.py" else origin.parent
        files |= {str(path.relative_to(root)): path.read_text() for path in found}
    return zip_of(files)


@pytest.fixture(scope="module")
def log(loaded: Loaded, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The events of a function after twelve invocations, four at a time, as FilterLogEvents gives them."""
    emulator = Emulator(loaded.lab, loaded.emulator)  # type: ignore[arg-type]
    emulator.client("lambda").create_function(
        FunctionName="powertools",
        Role="arn:aws:iam::000000000000:role/lab",
        Handler="app.handler",
        Runtime=python_runtime(),
        Timeout=20,
        MemorySize=512,
        Code={"ZipFile": package()},
    )
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda number: emulator.invoke("powertools", {"number": number}).body, range(12)))
    assert answers == list(range(12))
    pages = emulator.client("logs").get_paginator("filter_log_events").paginate(logGroupName="/aws/lambda/powertools")
    return [event for page in pages for event in page["events"]]


def our_kinds(log: list[dict[str, Any]], folder: Path) -> dict[str, bool]:
    """Request id -> whether our analysis says that its caller waited for an init."""
    path = folder / "powertools.json"
    path.write_text(json.dumps({"events": log}))
    reading = read_paths([path], function="powertools")
    assert reading.unreadable == ()
    frame = to_frame(reading.invocations.rows)
    return dict(zip(frame["request_id"], frame["kind"] == "cold", strict=True))


def test_the_loggers_cold_start_key_agrees_with_our_report_invocation_by_invocation(log, tmp_path: Path):
    written = [json.loads(event["message"]) for event in log if '"message":"order"' in event["message"]]
    said = {line["function_request_id"]: line["cold_start"] for line in written}
    ours = our_kinds(log, tmp_path)
    assert said == ours
    assert len(ours) == 12
    assert 1 <= sum(ours.values()) < 12


def test_the_cold_start_metric_agrees_with_our_report_invocation_by_invocation(log, tmp_path: Path):
    """The metric has no request id: it stands between START and END of its invocation, in its environment's stream."""
    said: dict[str, bool] = {}
    current: dict[str, str] = {}
    for event in log:
        stream, message = event["logStreamName"], event["message"]
        if started := re.match(r"START RequestId: (\S+)", message):
            current[stream] = started[1]
            said[started[1]] = False
        elif '"ColdStart":' in message:
            metric = json.loads(message)
            assert metric["ColdStart"] == [1.0]
            assert metric["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Shop"
            said[current[stream]] = True
    assert said == our_kinds(log, tmp_path)


def test_logs_insights_counts_the_same_by_powertools_fields_and_by_lambdas(log, loaded: Loaded, tmp_path: Path):
    """`cold_start` and `ColdStart.0` are fields that Insights finds in JSON; @initDuration is Lambda's."""
    client = Emulator(loaded.lab, loaded.emulator).client("logs")  # type: ignore[arg-type]
    begin = min(event["timestamp"] for event in log) // 1000
    counted = []
    for query in (
        "filter cold_start = 1 and message = 'order' | stats count(*) as n",
        "filter ispresent(ColdStart.0) | stats sum(ColdStart.0) as n",
        "filter @type = 'REPORT' | stats count(@initDuration) as n",
    ):
        asked = {"startTime": begin, "endTime": begin + 3600, "queryString": query}
        query_id = client.start_query(logGroupName="/aws/lambda/powertools", **asked)["queryId"]
        while (answer := client.get_query_results(queryId=query_id))["status"] in ("Scheduled", "Running"):
            pass
        counted.append(int(answer["results"][0][0]["value"]))
    assert counted == [sum(our_kinds(log, tmp_path).values())] * 3
