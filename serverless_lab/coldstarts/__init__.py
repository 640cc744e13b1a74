"""From log events to cold starts.

    sources.py           CloudWatch Logs or text files -> LogEvents; the only module here that talks to a target
    platform_events.py   one event, text or JSON format -> a line of report_line.py
    invocations.py       LogEvents -> one InvocationRow per REPORT, with its kind and how that was known; pure
    frame.py             InvocationRows -> a pandas frame, parquet, and the join with the client's requests
    statistics.py        rates and quantiles with their intervals, summaries per function and time bin
    report.py            a run's folder and its target -> ColdStartReport -> JSON, CSV

`read_reports` is the way in for scripts and notebooks; `report.build_report` for `lab coldstarts report`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pandas


def read_reports(source: str | Path | Iterable[str | Path], *, function: str = "") -> pandas.DataFrame:
    """The invocations in text files of log lines, as a frame with the columns of `frame.COLUMNS`.

    Args:
        source: a path or several. Each line is one event, whatever stands before it: timestamp, stream, log group.
        function: the function's name where the lines do not say it.

    Raises:
        ReportError: a file cannot be read.
    """
    from serverless_lab.coldstarts import sources
    from serverless_lab.coldstarts.frame import to_frame
    from serverless_lab.coldstarts.invocations import build_invocations

    paths = [source] if isinstance(source, str) or not hasattr(source, "__iter__") else list(source)
    events = [event for path in paths for event in sources.read_text_file(path, function=function)]
    return to_frame(build_invocations(events).rows)
