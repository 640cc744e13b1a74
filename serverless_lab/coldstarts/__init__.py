"""From log events to cold starts.

What was logged:
    sources.py           CloudWatch Logs -> LogEvents; with watch.py, what talks to a target
    cloudwatch/          its pages, pace and queries, and what is kept of an interrupted reading
    files.py             log files, folders, standard input -> Invocations; formats.py and formats_*.py read each format
    platform_events.py   one event, text or JSON format -> a line of report_line, and back
    invocations.py       LogEvents -> one InvocationRow per REPORT, with its kind and how that was known; pure.
                         stream.py reads one stream by the rules of kinds.py, rows.py is what comes out
    emulated.py          log files of emulators whose REPORT lines say nothing of an init
    stored_times.py      when an invocation ran, where its lines have the time at which they were stored
    frame.py             InvocationRows -> a pandas frame, parquet, and the join with the client's requests
    digest/              large files -> samples of groups at once, without a row per invocation

What it means:
    statistics.py        rates and quantiles with their intervals, summaries per function and time bin
    groups.py            the same by version, memory size, initialization type
    lifetimes.py         environments over time, and how long one may idle
    billing.py           which rule made Billed Duration
    differences.py       whether two samples differ; baseline.py compares a report with an earlier one
    gates.py             conditions under which a report is a failure, on the numbers of quantities.py

What is told:
    runs.py              a run's folder and its target -> ColdStartReport; client.py is the side of its requests
    file_reports.py      log files -> ColdStartReport
    log_reports.py       functions of a target over time -> ColdStartReport
    report.py            the report itself; notes.py its sentences, plain.py its JSON, tabular.py its CSV

`read_reports` and `read_log_groups` are the way in for scripts and notebooks; `runs.build_report`,
`log_reports.report_logs` and `file_reports.report_files` for `lab coldstarts report`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas


def read_reports(
    source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    function: str = "",
    format: str | None = None,
) -> pandas.DataFrame:
    """The invocations in log files, as a frame: one row per REPORT line, by time.

    Its columns, dtypes and units are those of `frame.COLUMNS`, see docs/coldstarts.md. `frame.attrs["unreadable"]`
    is the list of places that could not be read, each with `file`, `line`, `text` and `reason`.

    Args:
        source: a path or several: files of any format of `files.FORMATS`, folders of them, `-` for standard input.
        function: the function's name where the files do not say it.
        format: one of `files.FORMATS`, where a file is not to be judged by its content.

    Raises:
        ReportError: a path is not there or may not be read.
        BadInput: no path, or no such format.
    """
    from dataclasses import asdict
    from pathlib import Path

    from serverless_lab.coldstarts.files import STDIN, read_paths
    from serverless_lab.coldstarts.frame import to_frame

    sources = [source] if isinstance(source, str | os.PathLike) else list(source)
    reading = read_paths([STDIN if path == STDIN else Path(path) for path in sources], format=format, function=function)
    frame = to_frame(reading.invocations.rows)
    frame.attrs["unreadable"] = [asdict(place) for place in reading.unreadable]
    return frame


def read_log_groups(
    client: Any,
    log_groups: Iterable[str],
    since_ms: int,
    until_ms: int,
    *,
    keep: str | os.PathLike[str] | None = None,
    per_second: float | None = 5,
    workers: int = 4,
) -> pandas.DataFrame:
    """The invocations that began from `since_ms` on and before `until_ms` (epoch ms) in log groups of CloudWatch Logs.

    The frame is that of `read_reports`. `frame.attrs["missing_groups"]` names groups that do not exist,
    `frame.attrs["unfinished"]` counts invocations without a REPORT.

    Args:
        client: a boto3 `logs` client of AWS, whose answers are in order of time.
        keep: a folder for what was read, of one account and Region; a reading that is interrupted goes on from there.
        per_second: how many requests may begin in a second; None for as many as are answered.
        workers: how many are under way at once.

    Raises:
        TargetError: CloudWatch Logs cannot be reached or refuses; what was read until then is kept.
    """
    from pathlib import Path

    from serverless_lab.coldstarts.cloudwatch.kept import KeptLogs
    from serverless_lab.coldstarts.cloudwatch.pace import Pace
    from serverless_lab.coldstarts.cloudwatch.reader import LogReader
    from serverless_lab.coldstarts.log_reports import named_groups, read_range

    reader = LogReader(
        client,
        pace=Pace(per_second=per_second),
        kept=None if keep is None else KeptLogs(Path(keep)),
        workers=workers,
        sorted_by_time=True,
    )
    inside, _ = read_range(reader, named_groups(list(log_groups)), since_ms, until_ms)
    frame = inside.frame
    frame.attrs["missing_groups"] = list(inside.missing_groups)
    frame.attrs["unfinished"] = len(inside.unfinished)
    return frame
