"""Functions of a target, and a stretch of time -> what they logged -> the report. A run's log is read in runs.py."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serverless_lab import quotas
from serverless_lab.coldstarts import sources
from serverless_lab.coldstarts.cloudwatch.kept import SETTLED_MS, KeptLogs
from serverless_lab.coldstarts.cloudwatch.pace import Pace
from serverless_lab.coldstarts.cloudwatch.queries import QUERIES_AT_ONCE, QueryReader
from serverless_lab.coldstarts.cloudwatch.reader import LogReader, Progress
from serverless_lab.coldstarts.invocations import build_invocations, function_name
from serverless_lab.coldstarts.report import FROM_LOG, ColdStartReport, make_report
from serverless_lab.errors import BadInput
from serverless_lab.targets.clients import SIGN_IN, error_code, errors_of

if TYPE_CHECKING:
    from serverless_lab.coldstarts.frame import SavedInvocations
    from serverless_lab.targets.base import Capabilities, Target

LOOK_BACK_MS = 3_600_000
"""How far before the time asked for a stream is looked up: an environment that idled longer was most likely ended."""

WORKERS = 4
"""Requests under way at once: at a few tenths of a second each they use up an account's five a second."""


def log_groups_of(target: Target, *, stack: str | None = None, functions: Sequence[str] = ()) -> dict[str, str]:
    """Log group -> function name, of a stack's functions (those of nested stacks too), or of functions by name.

    Raises:
        BadInput: no such stack or function, or a stack without functions.
        TargetError: the target cannot be reached or refuses.
    """
    with errors_of(target, "repeat"):
        if stack is None:
            return dict(_log_group(target, name) for name in functions)
        names = _functions_of_stack(target, stack)
        if not names:
            raise BadInput(f"stack `{stack}` has no function", hint="name a stack that has, or --function")
        wanted = {name: name for name in names}
        for name in functions:
            if name not in wanted and not [each for each in wanted if each.endswith(f"-{name}")]:
                raise BadInput(f"stack `{stack}` has no function `{name}`", hint="its functions: " + ", ".join(names))
        chosen = [
            each
            for each in names
            if not functions or any(each == name or each.endswith(f"-{name}") for name in functions)
        ]
        return dict(_log_group(target, name) for name in chosen)


def _functions_of_stack(target: Target, stack: str) -> list[str]:
    from botocore.exceptions import ClientError

    from serverless_lab.deploy.events import stack_resources

    try:
        resources = stack_resources(target.client("cloudformation"), stack)
    except ClientError as error:
        if error_code(error) != "ValidationError":
            raise
        where = f"{target.name}, region {target.region}"
        raise BadInput(f"no stack `{stack}` on {where}", hint="name one that is there, or --function") from error
    found = []
    for resource in resources:
        match resource["ResourceType"], resource.get("PhysicalResourceId"):
            case "AWS::Lambda::Function", str(name):
                found.append(name)
            case "AWS::CloudFormation::Stack", str(nested):
                found.extend(_functions_of_stack(target, nested))
    return sorted(found)


def _log_group(target: Target, name: str) -> tuple[str, str]:
    from botocore.exceptions import ClientError

    try:
        found = target.client("lambda").get_function_configuration(FunctionName=name)
    except ClientError as error:
        if error_code(error) != "ResourceNotFoundException":
            raise
        where = f"{target.name}, region {target.region}"
        raise BadInput(
            f"no function `{name}` on {where}",
            hint=f"of a function that was deleted the log may be left: --log-group /aws/lambda/{name}",
        ) from error
    return (found.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{name}", str(found["FunctionName"])


def kept_of(target: Target, folder: Path) -> KeptLogs | None:
    """Where `folder` (`.lab/logs`) keeps what was read of this target; None for the embedded emulator, whose log is
    in memory like what is read of it."""
    if target.name == "local":
        return None
    which = f"{target.endpoint_url}|{target.instance_id()}"
    tail = "" if target.name == "aws" else f"-{hashlib.sha256(which.encode()).hexdigest()[:8]}"
    return KeptLogs(folder / f"{target.name}-{target.account_id()}-{target.region}{tail}")


def reader_of(
    target: Target,
    kept: KeptLogs | None,
    *,
    insights: bool = False,
    expected: Mapping[str, int] | None = None,
    scanned_max: float | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> LogReader:
    """The reader for a target's log: on AWS several requests at once, at the account's rate.

    Args:
        insights: ask Logs Insights, which is paid by what it scans.
        expected: log group -> how many events there may be, where that is known.
        scanned_max: how many bytes Logs Insights may scan.
    """
    on_aws = target.name == "aws"
    common: dict[str, Any] = {
        "client": target.client("logs"),
        "pace": Pace(per_second=quotas.FILTER_LOG_EVENTS_PER_SECOND if on_aws else None),
        "kept": kept,
        "sorted_by_time": on_aws,
        "on_progress": on_progress,
    }
    if on_aws:
        common["unreachable"] = "check the network, then repeat"
        common["sign_in"] = getattr(target, "sign_in", SIGN_IN)
    if insights:
        return QueryReader(**common, workers=QUERIES_AT_ONCE, expected=expected or {}, scanned_max=scanned_max)
    return LogReader(**common, workers=WORKERS if on_aws else 1)


def report_logs(
    target: Target,
    groups: Mapping[str, str],
    start_ms: int,
    end_ms: int,
    *,
    reader: LogReader,
    now_ms: int,
    stack: str = "",
    refresh: bool = False,
    bin_ms: int | None = None,
    by: Sequence[str] = (),
) -> ColdStartReport:
    """The report of the invocations that began from `start_ms` on and before `end_ms` (epoch ms).

    Args:
        groups: log group -> function name.
        now_ms: the target's time: what ended shortly before it may still be arriving, and is waited for.
        refresh: read again what was read before.

    Raises:
        TargetError: the target cannot be reached or refuses; what was read until then is kept.
    """
    inside, whole = read_range(
        reader, groups, start_ms, end_ms, capabilities=target.capabilities, now_ms=now_ms, refresh=refresh
    )
    said = []
    if isinstance(reader, QueryReader):
        said.append(f"Logs Insights scanned {reader.scanned_bytes / 1e9:,.3f} GB for this.")
    if target.name != "aws" and reader.kept is not None:
        # An emulator's log may be another one tomorrow: what is kept is for a reading that was interrupted.
        for group in groups:
            reader.kept.forget(group, start_ms, end_ms)
    manifest = {"target": target.name, "region": target.region, "stack_name": stack}
    return make_report(manifest, inside, None, source=FROM_LOG, bin_ms=bin_ms, by=by, notes=said, whole=whole.frame)


def read_range(
    reader: LogReader,
    groups: Mapping[str, str],
    start_ms: int,
    end_ms: int,
    *,
    capabilities: Capabilities | None = None,
    now_ms: int | None = None,
    refresh: bool = False,
) -> tuple[SavedInvocations, SavedInvocations]:
    """(the invocations that began from `start_ms` on and before `end_ms`, all that was read to tell their kinds).

    Args:
        groups: log group -> function name.
        capabilities: what the log can tell; None: what AWS's can.
        now_ms: the target's time, epoch ms; None: the time of day.
        refresh: read again what was read before.
    """
    from serverless_lab.coldstarts.file_reports import within
    from serverless_lab.coldstarts.frame import SavedInvocations

    now_ms = int(time.time() * 1000) if now_ms is None else now_ms
    streams_tell = capabilities is None or capabilities.one_log_stream_per_environment
    reading = sources.read_cloudwatch_logs(
        reader.client,
        groups,
        start_ms,
        end_ms - 1,
        # What has just ended may still be arriving.
        until_reported=end_ms > now_ms - SETTLED_MS,
        one_stream_per_environment=streams_tell,
        reader=reader,
        fresh=refresh,
        look_back_ms=LOOK_BACK_MS,
    )
    invocations = build_invocations(
        [*reading.events, *_read_later(reader, reading.events, end_ms, now_ms)],
        earlier=reading.earlier,
        functions=groups,
        reports_init_duration=capabilities is None or capabilities.reports_init_duration,
        one_stream_per_environment=streams_tell,
    )
    saved = SavedInvocations.from_invocations(
        invocations, missing_groups=reading.missing_groups, read_at_ms=int(time.time() * 1000)
    )
    return within(saved, start_ms, end_ms), saved


def _read_later(
    reader: LogReader, events: Sequence[sources.LogEvent], end_ms: int, now_ms: int
) -> list[sources.LogEvent]:
    """The platform events behind the time asked for, of the streams with an invocation that had not ended by then."""
    wanted: dict[str, set[str]] = {}
    for (group, stream), _ in sources.open_starts(events):
        wanted.setdefault(group, set()).add(stream)
    last_ms = min(now_ms, end_ms + quotas.FUNCTION_TIMEOUT_MAX_S * 1000)
    if last_ms < end_ms:
        return []
    found: list[sources.LogEvent] = []
    for group, streams in wanted.items():
        found.extend(reader.read_streams(group, sorted(streams), end_ms, last_ms))
    return found


def named_groups(names: Sequence[str]) -> dict[str, str]:
    """Log group -> function name, of log groups by name."""
    return {name: function_name(name) for name in names}
