"""What the query that most people use says of a log, and what the log says.

The log has what a busy function's has: on-demand and provisioned environments, one initialised ahead of traffic, one
whose init failed, one that was reset after a timeout. The table in docs/coldstarts.md is made of these numbers.
"""

from __future__ import annotations

import re
from pathlib import Path
from statistics import mean

import pytest

from serverless_lab.coldstarts.files import read_paths
from serverless_lab.coldstarts.frame import caller_waited, carries_init, init_plus_duration_ms, to_frame
from serverless_lab.coldstarts.sources import LogEvent
from tests.coldstarts.log_files import FULL, joined
from tests.coldstarts.story import T0, Environment

PAGE = Path(__file__).parents[2] / "docs" / "coldstarts.md"
MINUTE = 60_000


def an_hour_of_orders() -> list[LogEvent]:
    """200 invocations in ten environments. Provisioned inits are slower: only on-demand ones run with boosted CPU."""
    number = 0

    def warm(environment: Environment, count: int, every_ms: int = 40_000) -> Environment:
        nonlocal number
        for _ in range(count):
            number += 1
            environment.wait(every_ms).invoke(number, 20.0 + number % 7)
        return environment

    def following() -> int:
        nonlocal number
        number += 1
        return number

    on_demand = [
        warm(Environment("orders", T0 + at).cold(following(), init_ms), 39)
        for at, init_ms in ((0, 231.4), (2 * MINUTE, 248.9))
    ]
    provisioned = []
    for at in range(4):
        environment = Environment("orders", T0, version="7").init_start().wait(812).init_report(812.35 + at)
        environment.wait((5 + at) * MINUTE).invoke(following(), 31.0, init_duration_ms=812.35 + at)
        provisioned.append(warm(environment, 19))
    unused = Environment("orders", T0, version="7").init_start().wait(815).init_report(815.02)
    proactive = Environment("orders", T0 + 20 * MINUTE).init_start().wait(3 * MINUTE)
    proactive = warm(proactive.invoke(following(), 24.0, init_duration_ms=236.8), 14)
    failed = Environment("orders", T0 + 30 * MINUTE).init_start().wait(10_000).init_report(9999.56, "init", "timeout")
    failed = warm(failed.wait(4_310).init_report(4310.2, "invoke").invoke(following(), 4334.71), 9)
    reset = warm(Environment("orders", T0 + 40 * MINUTE).cold(following(), 229.7), 6)
    reset.wait(9_000).invoke(following(), 3000.0, status="timeout").wait(2_000).invoke(following(), 268.3)
    reset = warm(reset, 6)
    environments = [*on_demand, *provisioned, unused, proactive, failed, reset]
    return sorted((event for one in environments for event in one.events), key=lambda event: event.timestamp_ms or 0)


def usual_query(text: str) -> dict[str, float]:
    """The query of the documentation, and grep, on the same log.

    filter @type = "REPORT" | stats count(*), count(@initDuration), avg(@initDuration), max(@initDuration + @duration)
    """
    reports = re.findall(r"(?<!_)REPORT RequestId: [^\n]*", text)
    with_init = [report for report in reports if "Init Duration: " in report]
    inits = [float(re.findall(r"Init Duration: ([0-9.]+) ms", report)[0]) for report in with_init]
    durations = [float(re.findall(r"\tDuration: ([0-9.]+) ms", report)[0]) for report in with_init]
    return {
        "invocations": len(reports),
        "cold starts": len(inits),
        "rate": 100 * len(inits) / len(reports),
        "mean": mean(inits),
        "longest": max(init + duration for init, duration in zip(inits, durations, strict=True)),
        "grep": sum("Init Duration" in line for line in text.splitlines()),
    }


@pytest.fixture(scope="module")
def numbers(tmp_path_factory) -> dict[str, tuple[float, float]]:
    """What is asked -> (what the query says, what is true by the log)."""
    path = tmp_path_factory.mktemp("log") / "orders.log"
    path.write_bytes(joined(FULL["sam logs"](an_hour_of_orders())))
    usual = usual_query(path.read_text())
    reading = read_paths([path], function="orders")
    assert reading.unreadable == ()
    frame = to_frame(reading.invocations.rows)
    waited = caller_waited(frame)
    invocations = reading.invocations
    assert int(carries_init(frame).sum()) == invocations.carrying_init == usual["cold starts"]
    return {
        "invocations": (usual["invocations"], len(frame)),
        "environments initialised": (usual["cold starts"], invocations.environments_initialised or 0),
        "callers that waited": (usual["cold starts"], invocations.callers_waited or 0),
        "cold-start rate": (usual["rate"], 100 * float(waited.mean())),
        "mean init of those that waited": (
            usual["mean"],
            float(frame.loc[frame["kind"] == "cold", "init_duration_ms"].mean()),
        ),
        "longest init and first duration": (usual["longest"], float(init_plus_duration_ms(frame).max())),
        "lines that `grep` counts": (usual["grep"], invocations.callers_waited or 0),
        "wrongly counted": (usual["cold starts"], int((carries_init(frame) & ~waited).sum())),
        "not counted": (usual["cold starts"], int((~carries_init(frame) & waited).sum())),
    }


def test_the_query_counts_those_that_did_not_wait_and_misses_those_that_did(numbers):
    """Four provisioned and one proactive environment on the one side, a failed init and a reset on the other."""
    assert numbers["wrongly counted"][1] == 5
    assert numbers["not counted"][1] == 2
    assert numbers["callers that waited"] == (8, 5)


TIMES = ("mean init of those that waited", "longest init and first duration")


def shown(question: str, value: float) -> str:
    if question == "cold-start rate":
        return f"{value:.1f} %"
    return f"{value:,.1f} ms" if question in TIMES else f"{value:.0f}"


ROWS = (
    "invocations",
    "callers that waited",
    "cold-start rate",
    "environments initialised",
    "mean init of those that waited",
    "longest init and first duration",
    "lines that `grep` counts",
)


@pytest.mark.parametrize("question", ROWS)
def test_the_table_in_the_documentation_has_these_numbers(numbers, question):
    usual, true = numbers[question]
    off = "right" if usual == true else f"{100 * (usual / true - 1):+.0f} %"
    row = f"| {question} | {shown(question, usual)} | {shown(question, true)} | {off} |"
    assert row in PAGE.read_text(), row


def test_the_kinds_in_the_documentation_are_those_of_this_log(tmp_path):
    path = tmp_path / "orders.log"
    path.write_bytes(joined(FULL["sam logs"](an_hour_of_orders())))
    counts = to_frame(read_paths([path], function="orders").invocations.rows)["kind"].value_counts()
    told = ", ".join(
        f"{counts[kind]} `{kind}`" for kind in ("cold", "init-repeated", "provisioned", "proactive", "warm")
    )
    assert told in PAGE.read_text(), told
