"""A log to ask, and a way to ask it."""

from __future__ import annotations

from collections.abc import Iterable

from serverless_lab.emulator.insights.discovery import LogEvent
from serverless_lab.emulator.insights.evaluation import Answer, Scope, run
from serverless_lab.emulator.insights.parser import parse

T0 = 1_701_814_247_000
"""2023-12-05 22:10:47 UTC."""

COLD, WARM, SLOW = (
    "be5b175d-ff9d-40db-adef-77555f4b77a8",
    "76269889-7d50-4d6d-a3f1-9b4f5322f47c",
    "94376af3-22fc-4de1-bc5c-7df1e71766f9",
)


def report(request_id: str, duration: str, billed: str, init: str | None = None) -> str:
    line = f"REPORT RequestId: {request_id}\tDuration: {duration} ms\tBilled Duration: {billed} ms\t"
    line += "Memory Size: 128 MB\tMax Memory Used: 67 MB\t"
    return line + (f"Init Duration: {init} ms\t\n" if init else "\n")


INVOCATIONS = [
    (0, f"START RequestId: {COLD} Version: $LATEST\n"),
    (5, f"[INFO]\t2023-12-05T22:10:47.005Z\t{COLD}\tload 1\n"),
    (7, report(COLD, "5.93", "6", "145.69")),
    (60_000, f"START RequestId: {WARM} Version: $LATEST\n"),
    (60_015, report(WARM, "14.97", "15")),
    (300_000, report(SLOW, "1200.00", "1200")),
]


def events(messages: Iterable[tuple[int, str]], stream: str = "2023/12/05/[$LATEST]e34e") -> list[LogEvent]:
    """(ms since T0, message) as events of one stream."""
    return [
        LogEvent(T0 + at_ms, T0 + at_ms, message, "347129338248:/aws/lambda/orders", stream, f"pointer {number}")
        for number, (at_ms, message) in enumerate(messages)
    ]


def answer(query: str, messages: Iterable[tuple[int, str]] = INVOCATIONS, limit: int | None = None) -> Answer:
    return run(parse(query), events(messages), Scope(T0, T0 + 3_600_000, T0 + 3_600_000), limit)


def ask(query: str, messages: Iterable[tuple[int, str]] = INVOCATIONS) -> list[dict[str, str]]:
    """The rows of a query without @ptr."""
    rows = answer(query, messages).rows
    return [{name: value for name, value in row if name != "@ptr"} for row in rows]


def value(expression: str, message: str = "") -> str | None:
    """What an expression is, over one event."""
    (row,) = ask(f"fields {expression} as found", [(0, message)])
    return row.get("found")
