"""A run as its client saw it, beside the invocations that served it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from serverless_lab.coldstarts.invocations import KINDS, UNKNOWN, WAITED
from serverless_lab.coldstarts.statistics import Quantiles, Rate, quantiles

if TYPE_CHECKING:
    import pandas as pd


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


def succeeded(requests: pd.DataFrame) -> pd.Series:
    """Which requests the scenario takes for a success: 2xx and 3xx, or what it expects."""
    if "succeeded" in requests:
        return requests["succeeded"].fillna(False).astype(bool)
    return requests["status_code"].between(200, 399).fillna(False).astype(bool)


def client_summary(requests: pd.DataFrame, invocations: pd.DataFrame) -> ClientSummary:
    """The summary of `requests` (columns of requests.parquet), joined with a frame of `frame.COLUMNS`."""
    from serverless_lab.coldstarts.frame import join_requests

    join = join_requests(requests, invocations)
    frame = join.frame
    sent = requests["sent_ms"].notna()
    status = requests["status_code"]
    ok = succeeded(requests)
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
