"""The cold-start report of one run: read, tell kinds, join, summarise; then JSON or CSV.

Its tables are drawn by reporting/tables.py.
"""

from __future__ import annotations

import csv
import io
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serverless_lab.coldstarts import sources
from serverless_lab.coldstarts.invocations import KINDS, UNKNOWN, WAITED, build_invocations, function_name
from serverless_lab.coldstarts.statistics import (
    Bins,
    Quantiles,
    Rate,
    Summary,
    began_ms,
    make_bins,
    quantiles,
    summarise,
    summarise_bins,
)
from serverless_lab.errors import BadInput, LabError, ReportError
from serverless_lab.project import read_json

if TYPE_CHECKING:
    import pandas as pd

    from serverless_lab.coldstarts.frame import Join, SavedInvocations
    from serverless_lab.targets.base import Target

SCHEMA = 1
INVOCATIONS_FILE = "invocations.parquet"
REQUESTS_FILE = "requests.parquet"
MANIFEST_FILE = "manifest.json"

MARGIN_BEFORE_MS = 1_000
"""How long before the run's start the log is read: the clocks of client and target may differ."""

MARGIN_AFTER_MS = 10_000
"""How long after its end: LocalStack stamps events when it stores them, seconds late. The next run may be close."""

OPEN_END_MS = 366 * 86_400_000

BINS_MAX = 2_000

FROM_LOG = "log"
FROM_FILE = "file"


@dataclass(frozen=True)
class ClientSummary:
    """The run as its client saw it; times in ms from the intended instant to the last byte.

    `statuses` counts responses by status code, `transport_errors` requests without a response by error. `joined` is how
    many requests stand beside a REPORT line; `latency_ms_by_kind` exists for those. `cold_starts` counts requests whose
    invocation waited for an init, of the joined ones whose kind is known. `unexplained` counts invocations that no
    request caused, by kind.
    """

    requests: int
    sent: int
    failures: int
    statuses: dict[int, int]
    transport_errors: dict[str, int]
    latency_ms: Quantiles
    latency_ms_by_kind: dict[str, Quantiles]
    with_request_id: int
    joined: int
    without_report: int
    with_several_reports: int
    cold_starts: Rate
    unexplained: dict[str, int]

    @property
    def not_sent(self) -> int:
        return self.requests - self.sent


@dataclass(frozen=True)
class ColdStartReport:
    """Everything `lab coldstarts report` says. Instants are epoch ms; `bin_ms` is None when no time is known.

    `source` is `log` or `file` (invocations.parquet of an earlier report), `read_at_ms` when the log was read.
    `functions` are by name, `bins` by time, `function_bins` by name and time. `notes` are sentences about what was not
    counted and why.
    """

    run_id: str
    scenario: str
    target: str
    stack_name: str
    region: str
    clock: str
    started_at_ms: int | None
    ended_at_ms: int | None
    source: str
    read_at_ms: int
    bin_ms: int | None
    total: Summary
    functions: tuple[Summary, ...]
    bins: tuple[Summary, ...]
    function_bins: tuple[Summary, ...]
    client: ClientSummary | None
    unfinished: int
    unreadable: int
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The report as plain data; its keys are listed in docs/coldstarts.md."""
        return {
            "schema": SCHEMA,
            "run_id": self.run_id,
            "scenario": self.scenario,
            "target": self.target,
            "stack_name": self.stack_name,
            "region": self.region,
            "clock": self.clock,
            "started_at_ms": self.started_at_ms,
            "ended_at_ms": self.ended_at_ms,
            "source": self.source,
            "read_at_ms": self.read_at_ms,
            "bin_ms": self.bin_ms,
            "total": _summary_json(self.total),
            "functions": [_summary_json(summary) for summary in self.functions],
            "bins": [_summary_json(summary) for summary in self.bins],
            "client": None if self.client is None else _client_json(self.client),
            "unfinished_invocations": self.unfinished,
            "unreadable_lines": self.unreadable,
            "notes": list(self.notes),
        }

    def to_csv(self) -> str:
        """CSV text: a row per function and time bin; an empty cell is what could not be told."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_CSV_COLUMNS)
        for summary in self.function_bins:
            writer.writerow(_csv_row(summary, self.bin_ms))
        return text.getvalue()


def build_report(
    *,
    run_folder: Path,
    target: Target | None,
    refresh: bool = False,
    bin_ms: int | None = None,
    deadline_ms: float = sources.POLL_DEADLINE_MS,
    now_ms: Callable[[], float] | None = None,
    sleep_ms: Callable[[float], None] | None = None,
) -> ColdStartReport:
    """The report of the run in `run_folder`, from the target's log or, once read, from its invocations.parquet.

    Args:
        run_folder: has manifest.json and, when requests were sent, requests.parquet.
        target: where the run's functions logged; None when it is gone.
        refresh: read the log again although invocations.parquet is there.
        bin_ms: width of a time bin; None chooses a round one.
        deadline_ms: how long to wait for REPORT lines that have not arrived yet.
        now_ms, sleep_ms: the time source of that waiting and the way to wait, both in ms.

    Raises:
        ReportError: no manifest, files that cannot be read, or a run without functions.
        TargetError: the target cannot be reached and nothing was saved.
        BadInput: `bin_ms` would make too many bins.
    """
    import pandas as pd

    manifest = read_json(run_folder / MANIFEST_FILE)
    if manifest is None:
        raise ReportError(f"{run_folder} has no {MANIFEST_FILE}", hint="name a run: `lab load` prints its id")
    requests_file = run_folder / REQUESTS_FILE
    requests = pd.read_parquet(requests_file) if requests_file.is_file() else None
    saved, source, notes = _invocations(run_folder, manifest, requests, target, refresh, deadline_ms, now_ms, sleep_ms)
    return make_report(manifest, saved, requests, source=source, run_id=run_folder.name, bin_ms=bin_ms, notes=notes)


def make_report(
    manifest: Mapping[str, Any],
    saved: SavedInvocations,
    requests: pd.DataFrame | None,
    *,
    source: str = FROM_LOG,
    run_id: str = "",
    bin_ms: int | None = None,
    notes: Iterable[str] = (),
) -> ColdStartReport:
    """The report from what has been read: no target, no files."""
    from serverless_lab.coldstarts.frame import join_requests

    frame = saved.frame
    started_at_ms = manifest.get("started_at_ms")
    bins = make_bins(began_ms(frame), started_at_ms, bin_ms)
    if bins is not None and bins.count > BINS_MAX:
        raise BadInput(
            f"bins of {bins.width_ms} ms would make {bins.count} of them",
            hint=f"choose a width that makes at most {BINS_MAX}",
        )
    names = sorted(set(frame["function"]) | {init.function for init in saved.inits or ()})
    functions = []
    function_bins: list[Summary] = []
    for name in names:
        part = frame[frame["function"] == name]
        functions.append(summarise(part, _environments(saved, name), function=name))
        function_bins.extend(
            summary
            for summary in summarise_bins(part, saved.inits, bins, function=name)
            if summary.invocations or summary.environments
        )
    client = None if requests is None else _client(requests, join_requests(requests, frame))
    total = summarise(frame, _environments(saved, None))
    return ColdStartReport(
        run_id=str(manifest.get("run_id") or run_id),
        scenario=str(manifest.get("scenario") or ""),
        target=str(manifest.get("target") or ""),
        stack_name=str(manifest.get("stack_name") or ""),
        region=str(manifest.get("region") or ""),
        clock=str(manifest.get("clock") or ""),
        started_at_ms=started_at_ms,
        ended_at_ms=manifest.get("ended_at_ms"),
        source=source,
        read_at_ms=saved.read_at_ms,
        bin_ms=None if bins is None else bins.width_ms,
        total=total,
        functions=tuple(functions),
        bins=summarise_bins(frame, saved.inits, bins),
        function_bins=tuple(function_bins),
        client=client,
        unfinished=len(saved.unfinished),
        unreadable=sum((saved.unreadable or {}).values()),
        notes=(*notes, *_notes(manifest, saved, total, bins, client)),
    )


# --- reading ---------------------------------------------------------------------------------------------------------


def _invocations(
    run_folder: Path,
    manifest: Mapping[str, Any],
    requests: pd.DataFrame | None,
    target: Target | None,
    refresh: bool,
    deadline_ms: float,
    now_ms: Callable[[], float] | None,
    sleep_ms: Callable[[float], None] | None,
) -> tuple[SavedInvocations, str, list[str]]:
    """The run's invocations, where they come from, and what is to be said about that."""
    from serverless_lab.coldstarts.frame import read_parquet, write_parquet

    path = run_folder / INVOCATIONS_FILE
    saved = read_parquet(path) if path.is_file() and not (refresh and target is not None) else None
    # What was read while lines were still missing is read again when it can be.
    if saved is not None and (target is None or not (saved.unreported or saved.unfinished)):
        note = [] if target is not None else ["The target is gone: this is what an earlier report read from its log."]
        return saved, FROM_FILE, note
    if target is None:
        raise ReportError(
            f"the log of run {run_folder.name} was never read, and its target is gone",
            hint="report while the target is up: `lab coldstarts report`",
        )
    problem: str | None = None
    fresh: SavedInvocations | None = None
    try:
        fresh = _read(manifest, requests, target, deadline_ms, now_ms, sleep_ms)
    except LabError as error:
        if saved is None and not path.is_file():
            raise
        problem = error.message
    if saved is None and path.is_file():
        saved = read_parquet(path)
    if fresh is not None and (saved is None or len(fresh.frame) >= len(saved.frame)):
        write_parquet(path, fresh)
        return fresh, FROM_LOG, []
    assert saved is not None
    problem = problem or "its log no longer has all of this run"
    return saved, FROM_FILE, [f"The target could not be read ({problem}): this is what an earlier report read."]


def _read(
    manifest: Mapping[str, Any],
    requests: pd.DataFrame | None,
    target: Target,
    deadline_ms: float,
    now_ms: Callable[[], float] | None,
    sleep_ms: Callable[[float], None] | None,
) -> SavedInvocations:
    from serverless_lab.coldstarts.frame import SavedInvocations

    groups = log_groups(manifest)
    if not groups:
        raise ReportError("the run's manifest names no function", hint="deploy functions, then load again")
    capabilities = target.capabilities
    reading = sources.read_cloudwatch_logs(
        target.client("logs"),
        groups,
        int(manifest["started_at_ms"]) - MARGIN_BEFORE_MS,
        _read_until_ms(manifest),
        expected_reports=_expected_reports(requests),
        one_stream_per_environment=capabilities.one_log_stream_per_environment,
        deadline_ms=deadline_ms,
        now_ms=now_ms,
        sleep_ms=sleep_ms,
    )
    invocations = build_invocations(
        reading.events,
        earlier=reading.earlier,
        functions=groups,
        reports_init_duration=capabilities.reports_init_duration,
        one_stream_per_environment=capabilities.one_log_stream_per_environment,
        provisioned_functions=_provisioned(manifest),
    )
    return SavedInvocations.from_invocations(
        invocations,
        missing_groups=reading.missing_groups,
        unreported=reading.unreported,
        read_at_ms=int(time.time() * 1000),
    )


def _read_until_ms(manifest: Mapping[str, Any]) -> int:
    """The end of the time to read; open for a run that was cut short, whose virtual clock may be ahead of ours."""
    ended_at_ms = manifest.get("ended_at_ms")
    return int(time.time() * 1000) + OPEN_END_MS if ended_at_ms is None else int(ended_at_ms) + MARGIN_AFTER_MS


def log_groups(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Log group -> function name, of the manifest's functions."""
    groups: dict[str, str] = {}
    for function in manifest.get("functions") or ():
        if isinstance(function, str):
            group = function if function.startswith("/") else f"/aws/lambda/{function}"
            groups[group] = function_name(group)
        else:
            group = function.get("log_group") or f"/aws/lambda/{function['name']}"
            groups[group] = function.get("name") or function_name(group)
    return groups


def _provisioned(manifest: Mapping[str, Any]) -> set[str]:
    return {
        function["name"]
        for function in manifest.get("functions") or ()
        if not isinstance(function, str) and function.get("provisioned_concurrency")
    }


def _expected_reports(requests: pd.DataFrame | None) -> set[str] | int | None:
    """What must show up in the log: the request ids the responses named; without ids, as many lines as successes."""
    if requests is None:
        return None
    ids = set(requests["request_id"].dropna().astype("str")) - {""}
    if ids:
        return ids
    status = requests["status_code"]
    return int(status.between(200, 299).fillna(False).sum())


def _environments(saved: SavedInvocations, function: str | None) -> int | None:
    if saved.inits is None:
        return None
    return sum(1 for init in saved.inits if function is None or init.function == function)


# --- the client's side -----------------------------------------------------------------------------------------------


def _client(requests: pd.DataFrame, join: Join) -> ClientSummary:
    frame = join.frame
    sent = requests["sent_ms"].notna()
    status = requests["status_code"]
    ok = status.between(200, 399).fillna(False).astype(bool)
    errors = requests.loc[sent & status.isna(), "error"].fillna("no response")
    joined = frame[frame["reports"] > 0]
    known = joined[joined["kind"] != UNKNOWN]
    waited = int(known["kind"].isin(WAITED).sum())
    by_kind = {
        kind: quantiles(joined.loc[joined["kind"] == kind, "latency_ms"].dropna())
        for kind in KINDS
        if (joined["kind"] == kind).any()
    }
    unexplained = join.unexplained["kind"].value_counts()
    return ClientSummary(
        requests=len(requests),
        sent=int(sent.sum()),
        failures=int((sent & ~ok).sum()),
        statuses=dict(sorted(Counter(int(code) for code in status.dropna()).items())),
        transport_errors={str(error): int(count) for error, count in sorted(errors.value_counts().items())},
        latency_ms=quantiles(requests["latency_ms"].dropna()),
        latency_ms_by_kind=by_kind,
        with_request_id=join.with_request_id,
        joined=join.joined,
        without_report=join.without_report,
        with_several_reports=join.with_several_reports,
        cold_starts=Rate(waited if len(known) else None, len(known)),
        unexplained={kind: int(unexplained[kind]) for kind in KINDS if kind in unexplained.index},
    )


# --- notes -----------------------------------------------------------------------------------------------------------

_CANNOT_TELL = "Cold starts cannot be told from this target's logs"


def _notes(
    manifest: Mapping[str, Any],
    saved: SavedInvocations,
    total: Summary,
    bins: Bins | None,
    client: ClientSummary | None,
) -> list[str]:
    notes = []
    if manifest.get("complete") is False:
        notes.append("The run did not end by itself: it is not complete.")
    notes.extend(str(problem) for problem in manifest.get("problems") or ())
    unknown = total.kinds.get(UNKNOWN, 0)
    if total.invocations and unknown == total.invocations:
        notes.append(
            f"{_CANNOT_TELL}: it prints no Init Duration, and a log stream is not an environment. There is no rate."
        )
    elif unknown:
        notes.append(f"{_many(unknown, 'invocation')} of unknown kind: not counted in cold-start rates.")
    if not total.invocations:
        notes.append("No REPORT line was found in the time of the run.")
    cold_without_init = int(((saved.frame["kind"] == "cold") & saved.frame["init_duration_ms"].isna()).sum())
    if cold_without_init:
        notes.append(
            f"{_many(cold_without_init, 'cold start')} told by the first invocation of a log stream: "
            "this target prints no Init Duration, so how long they took is not known here."
        )
    if saved.ignored_init_durations:
        notes.append(
            f"{_many(saved.ignored_init_durations, 'Init Duration')} of a runtime interface emulator ignored: "
            "what it prints is not the init."
        )
    if saved.unfinished:
        notes.append(
            f"{_many(len(saved.unfinished), 'invocation')} began (START) and had no REPORT when the log was read."
        )
    if saved.unreported:
        notes.append(f"{_many(saved.unreported, 'expected REPORT line')} had not arrived when the log was read.")
    for function, count in sorted((saved.unreadable or {}).items()):
        notes.append(f"{_many(count, 'platform line')} of {function} could not be read.")
    if saved.missing_groups:
        names = [function_name(group) for group in saved.missing_groups]
        short = short_names([*names, *saved.frame["function"].unique()], str(manifest.get("stack_name") or ""))
        notes.append("Never ran (no log group): " + ", ".join(sorted(short[name] for name in names)) + ".")
    if bins is not None:
        untimed = int(began_ms(saved.frame).isna().sum())
        if untimed:
            notes.append(f"{_many(untimed, 'invocation')} without a time: in no time bin.")
    if client is not None:
        notes.extend(_client_notes(client))
    return notes


def _client_notes(client: ClientSummary) -> list[str]:
    notes = []
    if client.not_sent:
        notes.append(f"{_many(client.not_sent, 'request')} due and never sent.")
    if client.sent and not client.with_request_id:
        notes.append("Responses name no function request id, so requests and invocations are not joined.")
    elif client.without_report:
        notes.append(f"{_many(client.without_report, 'request')} with a request id and without a REPORT line.")
    if client.with_several_reports:
        notes.append(
            f"{_many(client.with_several_reports, 'request')} with several REPORT lines: the first one counts."
        )
    unexplained = sum(client.unexplained.values())
    if client.with_request_id and unexplained:
        kinds = ", ".join(f"{count} {kind}" for kind, count in client.unexplained.items())
        notes.append(
            f"{_many(unexplained, 'invocation')} not caused by this client's requests ({kinds}): "
            "warming pings, streams, queues, schedules, retries or other clients."
        )
    return notes


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


# --- plain data ------------------------------------------------------------------------------------------------------


def _summary_json(summary: Summary) -> dict[str, Any]:
    return {
        "function": summary.function,
        "bin_start_ms": summary.bin_start_ms,
        "invocations": summary.invocations,
        "kinds": dict(summary.kinds),
        "cold_starts": _rate_json(summary.cold_starts),
        "environments_initialised": summary.environments,
        "init_ms": _quantiles_json(summary.init_ms),
        "restore_ms": _quantiles_json(summary.restore_ms),
        "duration_ms": _quantiles_json(summary.duration_ms),
        "init_plus_first_duration_ms": _quantiles_json(summary.init_plus_first_duration_ms),
        "memory_size_mb": list(summary.memory_size_mb),
        "max_memory_used_mb": summary.max_memory_used_mb,
        "timeouts": summary.timeouts,
        "errors": summary.errors,
    }


def _client_json(client: ClientSummary) -> dict[str, Any]:
    return {
        "requests": client.requests,
        "sent": client.sent,
        "not_sent": client.not_sent,
        "failures": client.failures,
        "statuses": {str(code): count for code, count in client.statuses.items()},
        "transport_errors": dict(client.transport_errors),
        "latency_ms": _quantiles_json(client.latency_ms),
        "latency_ms_by_kind": {kind: _quantiles_json(found) for kind, found in client.latency_ms_by_kind.items()},
        "with_request_id": client.with_request_id,
        "joined": client.joined,
        "without_report": client.without_report,
        "with_several_reports": client.with_several_reports,
        "cold_starts": _rate_json(client.cold_starts),
        "unexplained_invocations": dict(client.unexplained),
    }


def _rate_json(rate: Rate) -> dict[str, Any]:
    return {
        "count": rate.count,
        "n": rate.n,
        "rate": rate.rate,
        "rate_interval_95": None if rate.interval is None else list(rate.interval),
    }


def _quantiles_json(found: Quantiles) -> dict[str, Any]:
    intervals = {
        f"{name}_interval_95": None if interval is None else list(interval)
        for name, interval in (("p50", found.p50_interval), ("p90", found.p90_interval), ("p99", found.p99_interval))
    }
    return {"n": found.n, "p50": found.p50, "p90": found.p90, "p99": found.p99, "max": found.max, **intervals}


_CSV_COLUMNS = (
    "function",
    "bin_start_ms",
    "bin_ms",
    "invocations",
    "cold_starts",
    "cold_start_rate",
    "cold_start_rate_low",
    "cold_start_rate_high",
    "environments_initialised",
    *(kind.replace("-", "_") for kind in KINDS),
    "init_ms_p50",
    "init_ms_p90",
    "init_ms_p99",
    "init_ms_max",
    "duration_ms_p50",
    "duration_ms_p90",
    "duration_ms_p99",
    "duration_ms_max",
    "init_plus_first_duration_ms_p50",
    "init_plus_first_duration_ms_p90",
    "init_plus_first_duration_ms_max",
    "max_memory_used_mb",
    "timeouts",
    "errors",
)


def _csv_row(summary: Summary, bin_ms: int | None) -> list[Any]:
    rate = summary.cold_starts
    low, high = rate.interval or (None, None)
    both = summary.init_plus_first_duration_ms
    return [
        summary.function,
        summary.bin_start_ms,
        bin_ms,
        summary.invocations,
        rate.count,
        rate.rate,
        low,
        high,
        summary.environments,
        *(summary.kinds.get(kind, 0) for kind in KINDS),
        *(
            value
            for found in (summary.init_ms, summary.duration_ms)
            for value in (found.p50, found.p90, found.p99, found.max)
        ),
        both.p50,
        both.p90,
        both.max,
        summary.max_memory_used_mb,
        summary.timeouts,
        summary.errors,
    ]


# --- names -----------------------------------------------------------------------------------------------------------

_RANDOM_TAIL = re.compile(r"-[A-Za-z0-9]{12,13}$")


def short_names(names: Iterable[str], stack_name: str = "") -> dict[str, str]:
    """Each function's name as people say it: without the stack's name before it and CloudFormation's random tail.

    Only what all names can lose together is taken away, and only while they stay different.
    """
    full = list(dict.fromkeys(names))
    short = {name: name for name in full}
    prefix = f"{stack_name}-" if stack_name else ""
    if prefix and all(name.startswith(prefix) and len(name) > len(prefix) for name in full):
        short = {name: name.removeprefix(prefix) for name in full}
    cut = {name: _RANDOM_TAIL.sub("", text) for name, text in short.items()}
    if all(cut.values()) and len(set(cut.values())) == len(full) and all(cut[name] != short[name] for name in full):
        return cut
    return short
