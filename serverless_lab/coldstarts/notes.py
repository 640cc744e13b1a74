"""What a report says in sentences: what was not counted, and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from serverless_lab.coldstarts.client import ClientSummary
from serverless_lab.coldstarts.invocations import (
    COLD,
    FIRST_IN_STREAM,
    FROM_WRAPPER,
    NOBODY_WAITED_GAP_MS,
    NOTHING,
    REPORT_FIELD,
    UNKNOWN,
    WARM,
    WRAPPER_IN_DURATION,
    function_name,
)
from serverless_lab.coldstarts.names import many, short_names
from serverless_lab.coldstarts.statistics import Bins, Rate, Summary, began_ms
from serverless_lab.load.strain import note_of

if TYPE_CHECKING:
    from serverless_lab.coldstarts.frame import SavedInvocations
    from serverless_lab.coldstarts.report import FilesRead

WITHOUT_STATUS = ("localstack",)
"""Targets whose REPORT lines have no Status, whatever became of the invocation.

measured: LocalStack 4 prints none, of a timeout as of a crash, and no other line that says so.
"""

WITHOUT_MEMORY = ("localstack",)
"""Targets that print the memory size as Max Memory Used.

documented: in its source, https://github.com/localstack/lambda-runtime-init, cmd/localstack/custom_interop.go
"""


def notes_of(
    manifest: Mapping[str, Any],
    saved: SavedInvocations,
    total: Summary,
    bins: Bins | None,
    client: ClientSummary | None,
    files: FilesRead | None = None,
) -> list[str]:
    """The sentences under the tables."""
    notes = []
    if manifest.get("complete") is False:
        notes.append("The run did not end by itself: it is not complete.")
    notes.extend(str(problem) for problem in manifest.get("problems") or ())
    strain = note_of(manifest)
    if strain is not None:
        notes.append(strain)
    notes.extend(kind_notes(total, of_files=files is not None))
    notes.extend(_recycled_notes(manifest, saved))
    if manifest.get("target") in WITHOUT_STATUS:
        notes.append(
            "LocalStack's REPORT lines have no Status, and the memory size for Max Memory Used: of failed invocations "
            "only the client's side is told, and of memory nothing."
        )
    notes.extend(_log_notes(saved))
    if saved.unfinished:
        notes.append(unfinished_note(len(saved.unfinished), total.invocations))
    if saved.unreported:
        notes.append(f"{many(saved.unreported, 'expected REPORT line')} had not arrived when the log was read.")
    if files is None:
        for function, count in sorted((saved.unreadable or {}).items()):
            share = count / (total.invocations + count)
            notes.append(
                f"{many(count, 'platform line')} of {function} could not be read: {percent_text(share)} of the "
                "invocations at most."
            )
    else:
        notes.extend(_early_init_notes(saved))
        notes.extend(file_notes(files, total))
        notes.extend(unnamed_notes(set(saved.frame["function"])))
    if saved.missing_groups:
        names = [function_name(group) for group in saved.missing_groups]
        short = short_names([*names, *saved.frame["function"].unique()], str(manifest.get("stack_name") or ""))
        # Seen on LocalStack 4.8.1: an init that fails leaves no log at all.
        why = "Never ran, or never got through its init (no log group)"
        words = why if manifest.get("target") == "localstack" else "Never ran (no log group)"
        notes.append(f"{words}: " + ", ".join(sorted(short[name] for name in names)) + ".")
    untimed = int(began_ms(saved.frame).isna().sum())
    if untimed and (bins is not None or files is not None):
        notes.append(f"{many(untimed, 'invocation')} without a time: in no time bin.")
    if client is not None:
        notes.extend(_client_notes(client))
    return notes


def kind_notes(total: Summary, *, of_files: bool) -> list[str]:
    """What the log does not tell of cold starts."""
    unknown = total.kinds.get(UNKNOWN, 0)
    if not total.invocations:
        where = "in these files" if of_files else "in the time of the run"
        return [f"No REPORT line was found {where}."]
    if unknown == total.invocations:
        if of_files:
            return [
                "Cold starts cannot be told from these logs: nothing in them says of any invocation whether it waited."
            ]
        return [
            "Cold starts cannot be told from this target's logs: it prints no Init Duration, and a log stream is not "
            "an environment. There is no rate. `lab deploy` adds a module that tells, unless --no-wrap keeps it away."
        ]
    if unknown:
        return [f"{many(unknown, 'invocation')} of unknown kind: not counted in cold-start rates."]
    return []


def unfinished_note(unfinished: int, invocations: int) -> str:
    share = Rate(unfinished, invocations + unfinished).rate or 0.0
    return (
        f"{many(unfinished, 'invocation')} began (START) and had no REPORT when the log was read: "
        f"{percent_text(share)} of those that began."
    )


def file_notes(files: FilesRead, total: Summary) -> list[str]:
    """What could not be read in log files, and how much that can be at most."""
    notes = []
    count = files.unreadable_count - files.unreadable_files
    if files.unreadable_files:
        notes.append(
            f"{many(files.unreadable_files, 'file')} could not be read at all: what is in there is not counted."
        )
    if count:
        share = count / (total.invocations + count)
        notes.append(
            f"{many(count, 'line')} could not be read: if each was a REPORT line, {percent_text(share)} of the "
            "invocations are missing here."
        )
    return notes


def _log_notes(saved: SavedInvocations) -> list[str]:
    notes = _wrapper_notes(saved)
    cold = saved.frame[saved.frame["kind"] == COLD]
    cold_without_init = int((cold["init_duration_ms"].isna() & (cold["kind_source"] == FIRST_IN_STREAM)).sum())
    if cold_without_init:
        notes.append(
            f"{many(cold_without_init, 'cold start')} told by the first invocation of a log stream: "
            "this target prints no Init Duration, so how long they took is not known here."
        )
    notes += count_notes(saved, restores=len(saved.restores))
    if saved.without_status:
        notes.append(
            f"{many(saved.without_status, 'row')} of a query that selected no status: whether they failed is not told."
        )
    if saved.emulated:
        notes.append(
            f"The log of {', '.join(map(_name, saved.emulated))} looks like an emulator's: no init anywhere, and Max "
            "Memory Used always the memory size (LocalStack) or whole milliseconds (MiniStack). Such a log does not "
            "tell cold starts. If it is AWS's, a longer stretch of it, with one init in it, does."
        )
    return notes


class Counted(Protocol):
    """What is counted beside the invocations, whoever reads the log."""

    @property
    def ignored_init_durations(self) -> int: ...
    @property
    def dropped_log_events(self) -> int: ...
    @property
    def repeated_reports(self) -> int: ...
    @property
    def failures_only(self) -> tuple[str, ...]: ...


def count_notes(counted: Counted, *, restores: int) -> list[str]:
    """What was found in a log beside its invocations."""
    notes = []
    if restores:
        notes.append(f"{many(restores, 'environment')} restored from a SnapStart snapshot, beside those initialised.")
    if counted.ignored_init_durations:
        notes.append(
            f"{many(counted.ignored_init_durations, 'Init Duration')} of a runtime interface emulator ignored: "
            "what it prints is not the init."
        )
    if counted.failures_only:
        notes.append(
            f"The log of {', '.join(map(_name, counted.failures_only))} has failed invocations alone, as system log "
            "level WARN leaves them: no rate of such a function means anything."
        )
    if counted.dropped_log_events:
        notes.append(f"Lambda says that it could not write {many(counted.dropped_log_events, 'log event')}.")
    if counted.repeated_reports:
        stand = "stands" if counted.repeated_reports == 1 else "stand"
        notes.append(
            f"{many(counted.repeated_reports, 'REPORT line')} {stand} twice: the input overlaps, and what is in it "
            "twice counts twice."
        )
    return notes


def unnamed_notes(functions: Collection[str]) -> list[str]:
    """How to name what the files do not."""
    if "" not in functions:
        return []
    return ["Not every file says whose log it is: --function NAME names the function of those that do not."]


def _early_init_notes(saved: SavedInvocations) -> list[str]:
    """Inits that a log which goes back far enough does not have: they were earlier, so nobody waited for them."""
    frame = saved.frame
    inits = {init.function for init in saved.inits or () if init.timestamp is not None}
    began = began_ms(frame)
    lone = (
        (frame["kind"] == COLD)
        & (frame["kind_source"] == REPORT_FIELD)
        & frame["environment_id"].notna()
        & frame["function"].isin(inits)
    ).to_numpy(dtype=bool, na_value=False)
    if not lone.any():
        return []
    first = began.groupby(frame["function"]).transform("min")
    init_ms = frame["init_duration_ms"]
    early = int((began - init_ms - NOBODY_WAITED_GAP_MS > first)[lone].fillna(False).sum())
    if not early:
        return []
    return [
        f"{many(early, 'cold start')} known by an Init Duration alone: its INIT_START is not in the log, which "
        "goes back further than that init took. It was earlier, so most likely nobody waited: provisioned concurrency, "
        "or Lambda ahead of traffic. A longer stretch of the log tells."
    ]


def _name(function: str) -> str:
    return function or "a function without a name"


def _recycled_notes(manifest: Mapping[str, Any], saved: SavedInvocations) -> list[str]:
    """Whether a run that was to begin cold did, by what the functions logged."""
    notes = []
    functions = list(manifest.get("recycled") or ())
    for row in functions:
        rows = saved.frame[saved.frame["function"] == row["function"]].sort_values("timestamp", kind="stable")
        if not len(rows):
            continue
        elsewhere = int((rows["version"] != row["version"]).sum()) if row["version"] is not None else 0
        if elsewhere:
            notes.append(
                f"{many(elsewhere, 'invocation')} of {row['function']} ran on another version than the one published "
                "for this run: their environments may be older than it."
            )
        elif rows["kind"].iloc[0] == WARM:
            notes.append(f"The first invocation of {row['function']} was warm, though its environments were to be new.")
    if any(not row["put_back"] for row in functions):
        notes.append(
            "Functions were left as this run changed them: the next `lab load` or `lab deploy` puts them back."
        )
    return notes


def _wrapper_notes(saved: SavedInvocations) -> list[str]:
    """How kinds were known where the target prints no Init Duration, and what an init is there."""
    frame = saved.frame
    by_wrapper = frame["kind_source"].isin(FROM_WRAPPER)
    if not by_wrapper.any():
        return []
    told = [(int(by_wrapper.sum()), "the module that `lab deploy` added to the functions")]
    told.append((int((frame["kind_source"] == FIRST_IN_STREAM).sum()), "the place in a log stream"))
    told.append((int((frame["kind_source"] == NOTHING).sum()), "nothing"))
    notes = ["Kinds known by " + ", ".join(f"{who}: {count:,}" for count, who in told if count) + "."]
    if (by_wrapper & frame["init_duration_ms"].notna()).any():
        notes.append(
            "Inits were measured by that module: they are the import of the handler's module, without the start of the "
            "runtime before it."
        )
    if (by_wrapper & (frame["kind_source"] == WRAPPER_IN_DURATION)).any():
        notes.append("This target starts processes within Duration: init+run is the Duration, the init is in it.")
    return notes


def _client_notes(client: ClientSummary) -> list[str]:
    notes = []
    if client.not_sent:
        notes.append(f"{many(client.not_sent, 'request')} due and never sent.")
    if client.sent and not client.with_request_id:
        notes.append("Responses name no function request id, so requests and invocations are not joined.")
    elif client.without_report:
        notes.append(f"{many(client.without_report, 'request')} with a request id and without a REPORT line.")
    if client.with_several_reports:
        notes.append(f"{many(client.with_several_reports, 'request')} with several REPORT lines: the first one counts.")
    unexplained = sum(client.unexplained.values())
    if client.with_request_id and unexplained:
        kinds = ", ".join(f"{count} {kind}" for kind, count in client.unexplained.items())
        notes.append(
            f"{many(unexplained, 'invocation')} not caused by this client's requests ({kinds}): "
            "warming pings, streams, queues, schedules, retries or other clients."
        )
    return notes


def percent_text(share: float) -> str:
    """`12.3 %`; a share that is not zero never looks like zero."""
    percent = share * 100
    return f"{percent:.2g} %" if 0 < percent < 0.05 else f"{percent:.1f} %"
