"""The main job for real: deploy, load, report; and the report's numbers counted a second time from the log itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pandas as pd
import pytest

from tests.cli.conftest import Lab, wait_until

BURST = 8
STREAM = 30

SCENARIO = """
name: small-spike
description: a burst, then a Poisson stream
seed: 11
client_timeout: 60s
phases:
  - name: burst
    start: 0s
    law: burst
    count: {burst}
  - name: stream
    start: 0s
    duration: 4s
    law: poisson
    count: {stream}
mix:
  - request: POST /events
    values:
      user: {{$int: [1, 5]}}
    body:
      userId: {{$format: "user-{{user}}"}}
      eventType: {{$choice: {{page_view: 3, click: 1}}}}
      timestamp: {{$now: iso}}
      properties:
        sessionId: {{$uuid: true}}
"""

REPORT = re.compile(r"^REPORT RequestId: (\S+)\t")
START = re.compile(r"^START RequestId: (\S+) ")

pytestmark = [pytest.mark.end_to_end, pytest.mark.process, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Run:
    """One run: what the commands said, and what boto3 and the rows say independently of them."""

    deployment: dict[str, Any]
    load: dict[str, Any]
    report: dict[str, Any]
    requests: pd.DataFrame
    streams: dict[str, list[str]]
    """Messages of each log stream of ingest-event, which is one execution environment, in their order."""

    def clients(self) -> set[str]:
        return set(self.requests["request_id"].dropna())

    def cold_for_a_client(self) -> int:
        """Environments whose Init was followed by an invocation that a client of this run waited for."""
        count = 0
        for messages in self.streams.values():
            starts = [found[1] for message in messages if (found := START.match(message))]
            initialised_first = messages[0].startswith("INIT_START")
            count += initialised_first and bool(starts) and starts[0] in self.clients()
        return count


def client(deployment: dict[str, Any], service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=deployment["endpoint_url"],
        region_name=deployment["region"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def main_job(lab: Lab, style: str, burst: int, stream: int) -> Run:
    """The three commands, then the log read with nothing of lab."""
    deployment = lab("deploy", "--parameter", f"InitStyle={style}", "--json").json
    scenario = lab.scenario(SCENARIO.format(burst=burst, stream=stream), "small-spike.yaml")
    load = lab("load", "--scenario", scenario, "--json").json
    report = lab("coldstarts", "report", "--json").json
    [group] = [item["log_group"] for item in deployment["functions"] if item["logical_id"] == "IngestEvent"]
    streams: dict[str, list[str]] = {}
    for page in client(deployment, "logs").get_paginator("filter_log_events").paginate(logGroupName=group):
        for event in page["events"]:
            streams.setdefault(event["logStreamName"], []).append(event["message"])
    requests = pd.read_parquet(Path(load["run_folder"]) / "requests.parquet")
    return Run(deployment, load, report, requests, streams)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    """A run against lazy init, then one against eager init on the same emulator."""
    lab = Lab(tmp_path_factory.mktemp("end-to-end"))
    try:
        lazy = main_job(lab, "lazy", BURST, STREAM)
        # Eager inits take over a second of CPU each: few of them, so that a busy machine is done in time.
        yield {"lazy": lazy, "eager": main_job(lab, "eager", 3, STREAM)}
    finally:
        lab.end()


@pytest.mark.parametrize("style", ["lazy", "eager"])
def test_every_request_was_sent_and_answered(runs: dict[str, Run], style: str) -> None:
    run = runs[style]
    planned = (BURST if style == "lazy" else 3) + STREAM
    assert run.load["planned"] == run.load["sent"] == len(run.requests) == planned
    assert set(run.requests["status_code"].dropna()) <= {202, 504}
    assert run.requests["status_code"].notna().all()


@pytest.mark.parametrize("style", ["lazy", "eager"])
def test_cold_starts_are_the_environments_whose_first_request_a_client_waited_for(
    runs: dict[str, Run], style: str
) -> None:
    run = runs[style]
    expected = run.cold_for_a_client()
    assert run.report["client"]["cold_starts"]["count"] == expected
    [ingest] = [item for item in run.report["functions"] if item["function"].endswith("-ingest-event")]
    assert ingest["cold_starts"]["count"] == expected
    assert ingest["init_ms"]["n"] == expected
    # Nobody has finished when the whole burst is there, so each of its requests needs an environment of its own.
    assert expected >= (BURST if style == "lazy" else 3)


@pytest.mark.parametrize("style", ["lazy", "eager"])
def test_every_client_request_has_exactly_one_report_line(runs: dict[str, Run], style: str) -> None:
    run = runs[style]
    answered = run.requests[run.requests["status_code"] == 202]
    assert answered["request_id"].notna().all()
    assert answered["request_id"].is_unique
    messages = [message for stream in run.streams.values() for message in stream]
    reports = Counter(found[1] for message in messages if (found := REPORT.match(message)))
    assert {reports[request_id] for request_id in run.clients()} == {1}
    assert run.report["client"]["joined"] == len(run.clients())
    assert run.report["client"]["without_report"] == run.report["client"]["with_several_reports"] == 0


@pytest.mark.parametrize("style", ["lazy", "eager"])
def test_a_requests_environment_is_the_log_stream_it_was_logged_in(runs: dict[str, Run], style: str) -> None:
    run = runs[style]
    where = {
        found[1]: stream.rpartition("]")[2]
        for stream, messages in run.streams.items()
        for message in messages
        if (found := REPORT.match(message))
    }
    rows = run.requests.dropna(subset=["request_id"])
    assert [where[request_id] for request_id in rows["request_id"]] == list(rows["environment_id"])


def test_eager_init_takes_longer_than_lazy_init(runs: dict[str, Run]) -> None:
    """The template parameter reached the function: it is other code that runs at init."""
    medians = {style: run.report["total"]["init_ms"]["p50"] for style, run in runs.items()}
    assert medians["eager"] > 1.15 * medians["lazy"]
    assert runs["eager"].deployment["parameters"]["InitStyle"] == "eager"


def test_every_accepted_event_went_through_the_stream_and_was_counted_once(runs: dict[str, Run]) -> None:
    deployment = runs["eager"].deployment
    accepted = sum(int((run.requests["status_code"] == 202).sum()) for run in runs.values())
    timed_out = sum(int((run.requests["status_code"] == 504).sum()) for run in runs.values())
    table = deployment["outputs"]["AggregationsTableName"]

    def counted() -> int:
        pages = client(deployment, "dynamodb").get_paginator("scan").paginate(TableName=table)
        items = [item for page in pages for item in page["Items"]]
        return sum(int(item["events"]["N"]) for item in items if item["sk"]["S"].startswith("type#"))

    # A request whose caller gave up may have been stored all the same; without one the sum is exact.
    assert wait_until(lambda: counted() >= accepted)
    assert counted() <= accepted + timed_out
    [group] = [item["log_group"] for item in deployment["functions"] if item["logical_id"] == "ProcessEvent"]
    events = client(deployment, "logs").filter_log_events(logGroupName=group)["events"]
    assert any(REPORT.match(event["message"]) for event in events)
