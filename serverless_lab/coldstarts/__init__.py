"""From log events to cold starts.

What was logged:
    sources.py           CloudWatch Logs -> LogEvents; with watch.py, what talks to a target
    files.py             log files, folders, standard input -> Invocations; formats.py and formats_*.py read each format
    platform_events.py   one event, text or JSON format -> a line of report_line.py, and back
    invocations.py       LogEvents -> one InvocationRow per REPORT, with its kind and how that was known; pure
    frame.py             InvocationRows -> a pandas frame, parquet, and the join with the client's requests
    digest/              large files -> samples of groups at once, without a row per invocation

What it means:
    statistics.py        rates and quantiles with their intervals, summaries per function and time bin
    groups.py            the same by version, memory size, initialization type
    lifetimes.py         environments over time, and how long one may idle
    billing.py           which rule made Billed Duration
    differences.py       whether two samples differ; baseline.py compares a report with an earlier one
    gates.py             conditions under which a report is a failure

What is told:
    runs.py              a run's folder and its target -> ColdStartReport; client.py is the side of its requests
    file_reports.py      log files -> ColdStartReport
    report.py            the report itself; notes.py its sentences, plain.py its JSON, tabular.py its CSV

`read_reports` is the way in for scripts and notebooks; `runs.build_report` and `file_reports.report_files` for
`lab coldstarts report`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

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
