"""The cold-start report: what was read, counted, joined and summarised.

`make_report` makes one of a run, `from_files` and `from_digest` of log files; who reads them is in `runs.py` and
`file_reports.py`. What it looks like as data is in `plain.py` and `tabular.py`, as text in reporting/.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from serverless_lab.coldstarts.billing import Billing, billing_of, patterns_of
from serverless_lab.coldstarts.client import ClientSummary, client_summary
from serverless_lab.coldstarts.groups import summarise_groups
from serverless_lab.coldstarts.lifetimes import (
    Environments,
    IdleLifetime,
    environments_over_time,
    idle_lifetime,
)
from serverless_lab.coldstarts.names import short_names
from serverless_lab.coldstarts.statistics import (
    Bins,
    Rate,
    Sample,
    Summary,
    began_ms,
    make_bins,
    merged,
    sample_of,
    summarise_bins,
    summary_of,
)
from serverless_lab.errors import BadInput

if TYPE_CHECKING:
    import pandas as pd

    from serverless_lab.coldstarts.files import Unreadable
    from serverless_lab.coldstarts.frame import SavedInvocations
    from serverless_lab.coldstarts.judgement import Judgement

BINS_MAX = 2_000

FROM_LOG = "log"
FROM_FILE = "file"
FROM_FILES = "files"


@dataclass(frozen=True)
class FilesRead:
    """The log files a report is of.

    `formats` is format name -> how many files were read so. `unreadable_count` places could not be read, of which
    `unreadable_files` are whole files; `unreadable` shows the first of them. `since_ms` and `until_ms` are what the
    report was limited to. `fast` says that the digest of large inputs read them: it keeps no single invocation.
    """

    paths: tuple[str, ...]
    formats: Mapping[str, int]
    unreadable: tuple[Unreadable, ...] = ()
    unreadable_count: int = 0
    unreadable_files: int = 0
    since_ms: int | None = None
    until_ms: int | None = None
    fast: bool = False


@dataclass(frozen=True)
class ColdStartReport:
    """Everything `lab coldstarts report` says. Instants are epoch ms; `bin_ms` is None when no time is known.

    `source` is `log`, `file` (invocations.parquet of an earlier report) or `files` (log files: then there is no run,
    and `files` says which), `read_at_ms` when the log was read. `functions` are by name, `bins` by time,
    `function_bins` by name and time, `groups` by what `by` names. `samples` has every function's measured values.
    `first_ms` and `last_ms` are when the first and the last invocation began. `environments`, `idle` and `billing` are
    None where the log does not tell, or where the single invocations were not kept. `notes` are sentences about what
    was not counted and why. `tells_failures` is False where a status could not have been seen of every invocation,
    `tells_unfinished` where no line says that an invocation began. `failures_only` are functions whose log leaves out
    what succeeded. `saved` has the single invocations; None where they were not kept.
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
    by: tuple[str, ...] = ()
    groups: tuple[Summary, ...] = ()
    first_ms: int | None = None
    last_ms: int | None = None
    environments: Environments | None = None
    idle: IdleLifetime | None = None
    billing: Billing | None = None
    files: FilesRead | None = None
    tells_failures: bool = True
    tells_unfinished: bool = True
    failures_only: tuple[str, ...] = ()
    samples: Mapping[str, Sample] = field(default_factory=dict, compare=False, repr=False)
    saved: SavedInvocations | None = field(default=None, compare=False, repr=False)

    @property
    def unfinished_rate(self) -> Rate:
        """Invocations without a REPORT, of those that began."""
        return Rate(self.unfinished, self.total.invocations + self.unfinished)

    @property
    def unreadable_share_max(self) -> float | None:
        """Which share of the invocations is missing at most: were each line that cannot be read a REPORT line.

        None where a whole file could not be read, for nobody knows what is in there.
        """
        if self.files is not None and self.files.unreadable_files:
            return None
        return self.unreadable / (self.total.invocations + self.unreadable) if self.unreadable else 0.0

    @property
    def short_names(self) -> dict[str, str]:
        """Function name -> what it is called in tables."""
        return short_names((summary.function or "" for summary in self.functions), self.stack_name)

    def to_json(self, judgement: Judgement | None = None) -> dict[str, Any]:
        """The report, and what it was held against, as plain data: report.schema.json describes it."""
        from serverless_lab.coldstarts.plain import report_json

        return report_json(self, judgement)

    def to_csv(self) -> str:
        """CSV text: a row per function and time bin, or per group; an empty cell is what could not be told."""
        from serverless_lab.coldstarts.tabular import csv_text

        return csv_text(self)


def make_report(
    manifest: Mapping[str, Any],
    saved: SavedInvocations,
    requests: pd.DataFrame | None,
    *,
    source: str = FROM_LOG,
    run_id: str = "",
    bin_ms: int | None = None,
    by: Sequence[str] = (),
    notes: Iterable[str] = (),
    files: FilesRead | None = None,
    unreadable: int | None = None,
    whole: pd.DataFrame | None = None,
) -> ColdStartReport:
    """The report from what has been read: no target, no files.

    Args:
        manifest: of the run; empty for log files.
        requests: the run's requests; None where there is no client's side.
        bin_ms: width of a time bin; None chooses a round one.
        by: what `groups` are by: some of `groups.DIMENSIONS`.
        notes: what is to be said first.
        files: which log files it is of.
        unreadable: how many places could not be read; None counts what `saved` knows of.
        whole: all invocations of the log, where `saved` was cut out of it: an environment may have been used later.

    Raises:
        BadInput: `bin_ms` would make too many bins.
    """
    from serverless_lab.coldstarts.notes import WITHOUT_MEMORY, WITHOUT_STATUS, notes_of

    frame = saved.frame
    if manifest.get("target") in WITHOUT_MEMORY:
        frame = frame.assign(max_memory_used_mb=frame["max_memory_used_mb"].mask(frame["duration_ms"].notna()))
    started_at_ms = manifest.get("started_at_ms")
    began = began_ms(frame)
    bins = checked_bins(make_bins(began, started_at_ms, bin_ms))
    names = sorted(set(frame["function"]) | {init.function for init in saved.inits or ()})
    samples: dict[str, Sample] = {}
    functions = []
    function_bins: list[Summary] = []
    for name in names:
        part = frame[frame["function"] == name]
        has_rate = name not in saved.failures_only
        samples[name] = sample_of(part, _environments(saved, name))
        functions.append(summary_of(samples[name], function=name, has_rate=has_rate))
        function_bins.extend(
            summary
            for summary in summarise_bins(part, saved.inits, bins, function=name, has_rate=has_rate)
            if summary.invocations or summary.environments
        )
    client = None if requests is None else client_summary(requests, frame)
    total = summary_of(_total(samples, saved), has_rate=not saved.failures_only)
    known = began.dropna()
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
        bins=summarise_bins(frame, saved.inits, bins, has_rate=not saved.failures_only),
        function_bins=tuple(function_bins),
        client=client,
        unfinished=len(saved.unfinished),
        unreadable=sum((saved.unreadable or {}).values()) if unreadable is None else unreadable,
        notes=(*notes, *notes_of(manifest, saved, total, bins, client, files)),
        by=tuple(by),
        groups=summarise_groups(frame, saved.inits, bins, by, without_rate=saved.failures_only),
        first_ms=int(known.min()) if len(known) else None,
        last_ms=int(known.max()) if len(known) else None,
        environments=environments_over_time(frame, bins),
        idle=idle_lifetime(frame if whole is None else whole),
        billing=billing_of(patterns_of(frame)),
        files=files,
        tells_failures=saved.without_status == 0 and manifest.get("target") not in WITHOUT_STATUS,
        tells_unfinished=saved.has_starts,
        failures_only=saved.failures_only,
        samples=samples,
        saved=saved,
    )


def checked_bins(bins: Bins | None) -> Bins | None:
    """`bins`, when they are not too many to be looked at.

    Raises:
        BadInput: they are.
    """
    if bins is not None and bins.count > BINS_MAX:
        raise BadInput(
            f"bins of {bins.width_ms} ms would make {bins.count} of them",
            hint=f"choose a width that makes at most {BINS_MAX}",
        )
    return bins


def _environments(saved: SavedInvocations, function: str | None) -> int | None:
    if saved.inits is None:
        return None
    return sum(1 for init in saved.inits if function is None or init.function == function)


def _total(samples: Mapping[str, Sample], saved: SavedInvocations) -> Sample:
    from dataclasses import replace

    return replace(merged(samples.values()), environments=_environments(saved, None))
