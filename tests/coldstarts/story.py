"""Log events of one environment, told in the order they happen."""

from __future__ import annotations

from itertools import count

from serverless_lab.coldstarts.sources import LogEvent
from serverless_lab.report_line import (
    InitReport,
    ReportLine,
    RestoreReport,
    render,
    render_end,
    render_init_report,
    render_init_start,
    render_restore_report,
    render_restore_start,
    render_start,
)

T0 = 1_764_000_000_000
_numbers = count(1)


def request_id(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-000000000000"


class Environment:
    """One execution environment writing its stream. Every step moves `now` on; `events` is what it wrote."""

    def __init__(self, function: str = "orders", now: int = T0, version: str = "$LATEST") -> None:
        self.number = next(_numbers)
        self.group = f"/aws/lambda/{function}"
        self.stream = f"2026/11/24/[{version}]{self.number:032x}"
        self.version = version
        self.now = now
        self.events: list[LogEvent] = []

    def write(self, message: str) -> Environment:
        self.events.append(LogEvent(self.group, self.stream, self.now, message))
        return self

    def wait(self, ms: int) -> Environment:
        self.now += ms
        return self

    def init_start(self) -> Environment:
        return self.write(render_init_start("python:3.12.v36", "arn:aws:lambda:eu-west-1::runtime:aa"))

    def init_report(self, ms: float, phase: str | None = None, status: str | None = None) -> Environment:
        return self.write(render_init_report(InitReport(ms, phase, status)))

    def restore(self, ms: float) -> Environment:
        self.write(render_restore_start("java:21.v82", "arn:aws:lambda:eu-west-1::runtime:bb"))
        return self.wait(round(ms)).write(render_restore_report(RestoreReport(ms)))

    def invoke(self, number: int, ms: float = 20.0, **fields) -> Environment:
        """START, END and REPORT of request `number`, which runs `ms`; `fields` are those of ReportLine."""
        self.write(render_start(request_id(number), self.version)).wait(round(ms))
        self.write(render_end(request_id(number)))
        values = {"billed_duration_ms": round(ms) + 1, "memory_size_mb": 256, "max_memory_used_mb": 80, **fields}
        return self.write(render(ReportLine(request_id(number), ms, **values)))

    def cold(self, number: int, init_ms: float = 230.0, ms: float = 20.0, **fields) -> Environment:
        self.init_start().wait(round(init_ms) + 2)
        return self.invoke(number, ms, init_duration_ms=init_ms, **fields)
