"""The log of functions that are being invoked right now, read a little further each time.

CloudWatch Logs has no order of arrival: an event may show up after later ones. So each look begins a while before the
latest event that was seen, and what was seen already is left out.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serverless_lab.coldstarts import sources
from serverless_lab.coldstarts.invocations import build_invocations
from serverless_lab.coldstarts.platform_events import read_event
from serverless_lab.coldstarts.report import FROM_LOG, ColdStartReport, make_report
from serverless_lab.coldstarts.runs import MANIFEST_FILE, MARGIN_AFTER_MS, MARGIN_BEFORE_MS, OPEN_END_MS
from serverless_lab.coldstarts.sources import LogEvent
from serverless_lab.project import Project, process_is_alive, read_json
from serverless_lab.report_line import InitStart

if TYPE_CHECKING:
    from serverless_lab.targets.base import Capabilities

# assumed: events are there within half a minute of their time; later ones are in `lab coldstarts report`, which waits
# for every request. A log whose events come later still would change our mind.
LATE_MS = 30_000

RUNNING, ENDED, GONE = "running", "ended", "gone"

PLAN_FILE = "plan.json"
"""What a load process is given; it is there while a scenario is being sent."""

_Stream = tuple[str, str]


@dataclass
class LogWatch:
    """The events of some log groups from `start_ms` on (epoch ms), as far as they have been read.

    `groups` is log group -> function name; `capabilities` says what the target's log can tell.
    """

    client: Any
    groups: Mapping[str, str]
    start_ms: int
    capabilities: Capabilities
    provisioned_functions: Collection[str] = ()
    end_ms: int | None = None
    _events: list[LogEvent] = field(default_factory=list)
    _earlier: list[LogEvent] = field(default_factory=list)
    _streams: set[_Stream] = field(default_factory=set)
    _recent: set[LogEvent] = field(default_factory=set)
    _newest_ms: int = 0

    @property
    def count(self) -> int:
        """How many events have been read."""
        return len(self._events)

    def poll(self) -> int:
        """Read on; how many events are new.

        Raises:
            TargetError: the target cannot be reached or refuses.
        """
        from_ms = max(self.start_ms, self._newest_ms - LATE_MS)
        until_ms = int(time.time() * 1000) + OPEN_END_MS if self.end_ms is None else self.end_ms
        reading = sources.read_cloudwatch_logs(
            self.client, self.groups, from_ms, until_ms, one_stream_per_environment=False
        )
        new = [event for event in reading.events if event not in self._recent]
        self._read_past_of(new)
        # What was written is read once: a report is made of all events at every look.
        self._events.extend(replace(event, line=read_event(event.message)) for event in new)
        self._recent.update(new)
        self._newest_ms = max([self._newest_ms, *(event.timestamp_ms or 0 for event in new)])
        self._recent = {event for event in self._recent if (event.timestamp_ms or 0) >= self._newest_ms - LATE_MS}
        return len(new)

    def report(self, manifest: Mapping[str, Any]) -> ColdStartReport:
        """The report of everything read so far; without the client's side, which is known when a run has ended."""
        from serverless_lab.coldstarts.frame import SavedInvocations

        invocations = build_invocations(
            self._events,
            earlier=self._earlier,
            functions=self.groups,
            reports_init_duration=self.capabilities.reports_init_duration,
            one_stream_per_environment=self.capabilities.one_log_stream_per_environment,
            provisioned_functions=self.provisioned_functions,
        )
        saved = SavedInvocations.from_invocations(invocations, read_at_ms=int(time.time() * 1000))
        return make_report(manifest, saved, None, source=FROM_LOG)

    def _read_past_of(self, events: list[LogEvent]) -> None:
        """What streams that are new here, and did not begin here, held before: it tells their invocations' kinds."""
        first: dict[_Stream, LogEvent] = {}
        for event in events:
            stream = (event.log_group, event.log_stream)
            if stream not in self._streams:
                first.setdefault(stream, event)
        self._streams.update(first)
        if not self.capabilities.one_log_stream_per_environment:
            return
        for (group, stream_name), event in first.items():
            if isinstance(read_event(event.message), InitStart):
                continue
            at_ms = event.timestamp_ms or 0
            past = sources.read_cloudwatch_logs(self.client, [group], at_ms, at_ms)
            self._earlier.extend(
                found for found in past.earlier if found.log_stream == stream_name and (found.timestamp_ms or 0) < at_ms
            )


def newest_run(project: Project) -> Path | None:
    """The folder of the run that was begun last, ended or not; folders are named by the time."""
    begun = [folder for folder in project.runs.glob("*") if (folder / MANIFEST_FILE).is_file()]
    return max(begun, key=lambda folder: folder.name, default=None)


def run_state(folder: Path) -> str:
    """`running`, `ended`, or `gone` when whoever sent the load is not there any more and left no end."""
    manifest = read_json(folder / MANIFEST_FILE) or {}
    if manifest.get("ended_at_ms") is not None:
        return ENDED
    plan = read_json(folder / PLAN_FILE)
    if plan is None:
        # A user's own locustfile has no plan, and a scenario's is removed shortly before the end is written.
        return RUNNING
    parent = int(plan.get("parent") or 0)
    return RUNNING if parent > 0 and process_is_alive(parent) else GONE


def starts_at_ms(project: Project, folder: Path, manifest: Mapping[str, Any]) -> int:
    """From when on (epoch ms) the log is of this run, as far as is known while it runs.

    The manifest has the wall clock's time until the run has ended. Virtual time is never behind that, but may be far
    ahead: what the same emulator's earlier runs wrote is told by when they ended.
    """
    started_at_ms = int(manifest["started_at_ms"])
    if manifest.get("clock") != "virtual" or manifest.get("ended_at_ms") is not None:
        return started_at_ms - MARGIN_BEFORE_MS
    ends = [started_at_ms]
    for other in project.runs.glob("*"):
        told = read_json(other / MANIFEST_FILE) if other.is_dir() and other != folder else None
        if told is not None and told.get("instance_id") == manifest.get("instance_id"):
            ends.append(int(told.get("ended_at_ms") or 0) + 1)
    return max(ends)


def ends_at_ms(manifest: Mapping[str, Any]) -> int | None:
    """Until when the log is of this run; None while it runs."""
    ended_at_ms = manifest.get("ended_at_ms")
    return None if ended_at_ms is None else int(ended_at_ms) + MARGIN_AFTER_MS


def snapshot_json(report: ColdStartReport, state: str) -> dict[str, Any]:
    """One look as plain data: a summary of everything and of each function, as `lab coldstarts report --json` has."""
    from serverless_lab.coldstarts.plain import summary_json

    return {
        "at_ms": report.read_at_ms,
        "run_id": report.run_id,
        "state": state,
        "total": summary_json(report.total),
        "functions": [summary_json(summary) for summary in report.functions],
        "unfinished_invocations": report.unfinished,
        "unreadable_lines": report.unreadable,
    }
