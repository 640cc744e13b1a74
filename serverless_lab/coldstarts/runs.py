"""A run's folder and its target -> what its functions logged -> the report.

The log is read once and kept in the run's invocations.parquet: it may be gone tomorrow. Beside it calls.json has what
the functions called meanwhile, where the target counts that.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serverless_lab.coldstarts import sources
from serverless_lab.coldstarts.cloudwatch.kept import KeptLogs
from serverless_lab.coldstarts.invocations import build_invocations, function_name
from serverless_lab.coldstarts.report import FROM_FILE, FROM_LOG, ColdStartReport, make_report
from serverless_lab.coldstarts.window import late_end_ms
from serverless_lab.errors import LabError, ReportError
from serverless_lab.project import read_json, write_json
from serverless_lab.targets.clients import post_json

if TYPE_CHECKING:
    import pandas as pd

    from serverless_lab.coldstarts.cloudwatch.reader import Progress
    from serverless_lab.coldstarts.frame import SavedInvocations
    from serverless_lab.targets.base import Target

INVOCATIONS_FILE = "invocations.parquet"
REQUESTS_FILE = "requests.parquet"
MANIFEST_FILE = "manifest.json"
CALLS_FILE = "calls.json"
LOG_FOLDER = "log"
"""What of the log was read, while that has not come to its end."""

MARGIN_BEFORE_MS = 1_000
"""How long before the run's start the log is read: the clocks of client and target may differ."""

MARGIN_AFTER_MS = 10_000
"""How long after its end: LocalStack stamps events when it stores them, seconds late. The next run may be close."""

OPEN_END_MS = 366 * 86_400_000


def build_report(
    *,
    run_folder: Path,
    target: Target | None,
    refresh: bool = False,
    bin_ms: int | None = None,
    by: Sequence[str] = (),
    deadline_ms: float = sources.POLL_DEADLINE_MS,
    now_ms: Callable[[], float] | None = None,
    sleep_ms: Callable[[float], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> ColdStartReport:
    """The report of the run in `run_folder`, from the target's log or, once read, from its invocations.parquet.

    Args:
        run_folder: has manifest.json and, when requests were sent, requests.parquet.
        target: where the run's functions logged; None when it is gone.
        refresh: read the log again although invocations.parquet is there.
        bin_ms: width of a time bin; None chooses a round one.
        by: what the report's groups are by: some of `groups.DIMENSIONS`.
        deadline_ms: how long to wait for REPORT lines that have not arrived yet.
        now_ms, sleep_ms: the time source of that waiting and the way to wait, both in ms.
        on_progress: is told how far reading is, from any thread.

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
    waiting = _Waiting(deadline_ms, now_ms, sleep_ms, on_progress)
    saved, source, notes = _invocations(run_folder, manifest, requests, target, refresh, waiting)
    return make_report(
        manifest, saved, requests, source=source, run_id=run_folder.name, bin_ms=bin_ms, by=by, notes=notes
    )


@dataclass(frozen=True)
class _Waiting:
    deadline_ms: float
    now_ms: Callable[[], float] | None
    sleep_ms: Callable[[float], None] | None
    on_progress: Callable[[Progress], None] | None


# --- reading ---------------------------------------------------------------------------------------------------------


def _invocations(
    run_folder: Path,
    manifest: Mapping[str, Any],
    requests: pd.DataFrame | None,
    target: Target | None,
    refresh: bool,
    waiting: _Waiting,
) -> tuple[SavedInvocations, str, list[str]]:
    """The run's invocations, where they come from, and what is to be said about that."""
    from serverless_lab.coldstarts.frame import read_parquet, write_parquet

    path = run_folder / INVOCATIONS_FILE
    saved = read_parquet(path) if path.is_file() and not (refresh and target is not None) else None
    # What was read while lines were still missing, or could still come, is read again when it can be.
    late_ms = late_end_ms(run_folder, manifest, requests, int(time.time() * 1000))
    if saved is not None and (
        target is None or not (saved.unreported or saved.unfinished or saved.read_at_ms < late_ms)
    ):
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
        fresh = _read(run_folder, manifest, requests, target, waiting)
    except LabError as error:
        if saved is None and not path.is_file():
            raise
        problem = error.message
    if saved is None and path.is_file():
        saved = read_parquet(path)
    if fresh is not None and (saved is None or len(fresh.frame) >= len(saved.frame)):
        write_parquet(path, fresh)
        _save_calls(run_folder, manifest)
        return fresh, FROM_LOG, []
    assert saved is not None
    problem = problem or "its log no longer has all of this run"
    return saved, FROM_FILE, [f"The target could not be read ({problem}): this is what an earlier report read."]


def _read(
    run_folder: Path,
    manifest: Mapping[str, Any],
    requests: pd.DataFrame | None,
    target: Target,
    waiting: _Waiting,
) -> SavedInvocations:
    from serverless_lab.coldstarts.frame import SavedInvocations
    from serverless_lab.coldstarts.log_reports import reader_of

    groups = log_groups(manifest)
    if not groups:
        raise ReportError("the run's manifest names no function", hint="deploy functions, then load again")
    capabilities = target.capabilities
    # Only for a reading that is interrupted: in the end invocations.parquet has it all.
    kept = None if target.name == "local" else KeptLogs(run_folder / LOG_FOLDER)
    reading = sources.read_cloudwatch_logs(
        target.client("logs"),
        groups,
        int(manifest["started_at_ms"]) - MARGIN_BEFORE_MS,
        max(_read_until_ms(manifest), late_end_ms(run_folder, manifest, requests, int(time.time() * 1000))),
        expected_reports=_expected_reports(requests),
        # Of what streams and queues invoked the client knows nothing. An emulator's crash may leave a START for ever.
        until_reported=target.name == "aws",
        groups_come_first=target.name == "local",
        one_stream_per_environment=capabilities.one_log_stream_per_environment,
        reader=reader_of(target, kept, on_progress=waiting.on_progress),
        deadline_ms=waiting.deadline_ms,
        now_ms=waiting.now_ms,
        sleep_ms=waiting.sleep_ms,
    )
    if kept is not None:
        shutil.rmtree(kept.folder, ignore_errors=True)
    invocations = build_invocations(
        reading.events,
        earlier=reading.earlier,
        functions=groups,
        reports_init_duration=capabilities.reports_init_duration,
        one_stream_per_environment=capabilities.one_log_stream_per_environment,
        provisioned_functions=provisioned_functions(manifest),
    )
    return SavedInvocations.from_invocations(
        invocations,
        missing_groups=reading.missing_groups,
        unreported=reading.unreported,
        read_at_ms=int(time.time() * 1000),
    )


def _save_calls(run_folder: Path, manifest: Mapping[str, Any]) -> None:
    """Keep what the functions called during the run, which the embedded emulator has counted; nobody else tells."""
    if manifest.get("target") != "local" or not manifest.get("endpoint_url"):
        return
    asked = {
        "since_ms": int(manifest["started_at_ms"]) - MARGIN_BEFORE_MS,
        "until_ms": _read_until_ms(manifest),
        "log_groups": list(log_groups(manifest)),
    }
    found = post_json(f"{manifest['endpoint_url']}/_lab/calls", asked)
    if found is not None:
        write_json(run_folder / CALLS_FILE, {**found, **asked})


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


def provisioned_functions(manifest: Mapping[str, Any]) -> set[str]:
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
