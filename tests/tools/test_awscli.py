"""The AWS CLI version 2 against the emulator, with what people type when they look for cold starts."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator

import pytest

from tests.tools.conftest import AwsCli, Loaded

pytestmark = pytest.mark.process


def query(aws: AwsCli, loaded: Loaded, text: str) -> list[dict[str, str]]:
    """`aws logs start-query`, then `get-query-results` until it is complete."""
    now_s = loaded.lab.emulator()["now_ms"] // 1000
    times = ["--start-time", str(now_s - 3600), "--end-time", str(now_s + 60)]
    group = f"/aws/lambda/{loaded.function}"
    query_id = aws.json("logs", "start-query", "--log-group-name", group, *times, "--query-string", text)["queryId"]
    while True:
        answer = aws.json("logs", "get-query-results", "--query-id", query_id)
        if answer["status"] not in ("Scheduled", "Running"):
            assert answer["status"] == "Complete"
            return [{pair["field"]: pair["value"] for pair in row} for row in answer["results"]]


def test_the_usual_query_for_cold_starts_has_the_numbers_of_our_report(aws: AwsCli, loaded: Loaded):
    """Invocations, REPORT lines with an init, and the longest init; asked first, while only the run is in the log."""
    (row,) = query(
        aws,
        loaded,
        """
        filter @type = "REPORT"
        | stats count(*) as invocations, count(@initDuration) as coldStarts, max(@initDuration) as longest,
                max(@maxMemoryUsed / 1000 / 1000) as memory
        """,
    )
    (function,) = loaded.report["functions"]
    assert int(row["invocations"]) == function["invocations"] == 30
    assert int(row["coldStarts"]) == function["cold_starts"]["count"] == function["init_ms"]["n"] >= 5
    assert float(row["longest"]) == function["init_ms"]["max"]
    assert int(row["memory"]) == function["max_memory_used_mb"]


def test_a_function_is_listed_described_and_invoked(aws: AwsCli, loaded: Loaded):
    names = [item["FunctionName"] for item in aws.json("lambda", "list-functions")["Functions"]]
    assert names == [loaded.function]
    described = aws.json("lambda", "get-function-configuration", "--function-name", loaded.function)
    assert (described["MemorySize"], described["Timeout"], described["Runtime"]) == (128, 10, "python3.12")
    answer = aws.json(
        *("lambda", "invoke", "--function-name", loaded.function, "--log-type", "Tail", "--payload", "e30=", "out.json")
    )
    assert answer["StatusCode"] == 200
    assert json.loads((aws.folder / "out.json").read_text())["statusCode"] == 200
    assert "LogResult" in answer


def test_logs_are_followed_as_they_come(aws: AwsCli, loaded: Loaded):
    """`aws logs tail --follow` asks again every 5 s: it shows each event once, also those of the same millisecond."""
    group = f"/aws/lambda/{loaded.function}"
    with subprocess.Popen(
        aws.command("logs", "tail", group, "--follow", "--format", "short"),
        env=aws.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as tail:
        watchdog = threading.Timer(90, tail.kill)
        watchdog.start()
        try:
            assert tail.stdout is not None
            lines: Iterator[str] = (line for line in tail.stdout if line.strip())
            seen = [next(lines)]
            invoked = loaded.lab("invoke", loaded.function, "--json").json["request_id"]
            while not re.search(rf"REPORT RequestId: {invoked}", seen[-1]):
                seen.append(next(lines))
        finally:
            watchdog.cancel()
            tail.terminate()
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d ", seen[0])
    for word in ("START", "END", "REPORT"):
        ids = re.findall(rf"{word} RequestId: (\S+)", "".join(seen))
        assert len(ids) == len(set(ids)) >= 30
        assert invoked in ids


def test_a_query_that_is_not_understood_is_named_by_the_cli(aws: AwsCli, loaded: Loaded):
    words = ["logs", "start-query", "--log-group-name", f"/aws/lambda/{loaded.function}"]
    refused = aws(*words, "--start-time", "0", "--end-time", "4000000000", "--query-string", "anomaly", ok=False)
    assert refused.returncode == 254
    assert "(MalformedQueryException)" in refused.stderr
    assert "the command anomaly is not supported by the emulator" in refused.stderr
