"""A run's folder -> what of it is compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from serverless_lab.coldstarts.invocations import UNKNOWN, WAITED
from serverless_lab.coldstarts.statistics import Floats, floats_of
from serverless_lab.compare.estimates import Flags
from serverless_lab.errors import ReportError
from serverless_lab.load.manifest import RunManifest

if TYPE_CHECKING:
    import pandas as pd

    from serverless_lab.coldstarts.frame import SavedInvocations
    from serverless_lab.compare.folder import RunRecord

GATEWAY_TIMEOUT = 504


@dataclass(frozen=True, eq=False)
class RunFigures:
    """What one run showed. Arrays of requests are in the order of the arrivals.

    `identity` tells which request each one is: runs of the same arrivals have the same. `waited` says of each whether
    its caller waited for an init; None where rows are not joined with REPORT lines, and then `waited_count` is of
    invocations, which no request can be set beside. `latency_ms` leaves out what was never sent. `over_timeout` are
    requests that the API gave up (504) or the client did. `init_ms` and `init_plus_first_ms` are of the invocations
    whose caller waited. `environments` were initialised in the run's time, `provisioned` were there before it.
    """

    seed: int
    identity: tuple[Any, ...]
    waited: Flags | None
    waited_count: tuple[int, int] | None
    over_timeout: Flags
    failed: Flags
    latency_ms: Floats
    init_ms: Floats
    init_plus_first_ms: Floats
    environments: int | None
    clock: str = ""
    real_seconds: float = 0.0
    problems: tuple[str, ...] = field(default=())

    @property
    def requests(self) -> int:
        return len(self.over_timeout)


def read_figures(place: Path, record: RunRecord) -> RunFigures:
    """The figures of the run in `place`.

    Raises:
        ReportError: a file is missing or of another version of lab.
    """
    import pandas as pd

    from serverless_lab.coldstarts.frame import read_parquet
    from serverless_lab.coldstarts.runs import INVOCATIONS_FILE, REQUESTS_FILE

    manifest = RunManifest.read(place)
    try:
        requests = pd.read_parquet(place / REQUESTS_FILE)
    except (OSError, ValueError) as error:
        raise ReportError(
            f"{place / REQUESTS_FILE} cannot be read: {error}",
            hint=f"remove the run, then compare again: rm -r {place}",
        ) from error
    saved = read_parquet(place / INVOCATIONS_FILE)
    return figures_of(
        requests,
        saved,
        seed=record.seed,
        clock=manifest.clock,
        real_seconds=record.real_seconds,
        problems=tuple(manifest.problems),
    )


def figures_of(
    requests: pd.DataFrame,
    saved: SavedInvocations,
    *,
    seed: int,
    clock: str = "",
    real_seconds: float = 0.0,
    problems: Sequence[str] = (),
) -> RunFigures:
    """The figures of a run of these requests and invocations."""
    from serverless_lab.coldstarts.frame import caller_waited, init_plus_duration_ms, join_requests

    ordered = requests.sort_values(["index", "intended_ms", "name"], kind="stable").reset_index(drop=True)
    join = join_requests(ordered, saved.frame)
    frame = join.frame
    status = frame["status_code"]
    over = (status == GATEWAY_TIMEOUT).fillna(False) | frame["error"].astype("str").str.contains("timeout")
    ok = frame["succeeded"].fillna(False).astype(bool)
    joined = frame["reports"] > 0
    waited: Flags | None = None
    if joined.any():
        # Of a request without a REPORT line (throttled, timed out at the door) no caller's init is known.
        waited = np.asarray(frame["kind"].isin(WAITED) & joined, dtype=np.bool_)
        of_requests = saved.frame[saved.frame["request_id"].isin(frame.loc[joined, "request_id"])]
        counted = (int(waited.sum()), len(frame))
    else:
        of_requests = saved.frame
        known = saved.frame[saved.frame["kind"] != UNKNOWN]
        counted = (int(known["kind"].isin(WAITED).sum()), len(known))
    cold = of_requests[caller_waited(of_requests)]
    latency = frame["latency_ms"]
    return RunFigures(
        seed=seed,
        identity=tuple(zip(frame["index"].tolist(), frame["name"].tolist(), strict=True)),
        waited=waited,
        waited_count=counted if counted[1] else None,
        over_timeout=np.asarray(over, dtype=np.bool_),
        failed=np.asarray(~ok, dtype=np.bool_),
        latency_ms=floats_of(latency),
        init_ms=_known(floats_of(cold["init_duration_ms"])),
        init_plus_first_ms=_known(floats_of(init_plus_duration_ms(cold))),
        environments=None if saved.inits is None else len(saved.inits),
        clock=clock,
        real_seconds=real_seconds,
        problems=tuple(problems),
    )


def same_requests(one: RunFigures, other: RunFigures) -> bool:
    """Whether the two runs sent the same requests, so that they can be compared one by one."""
    return one.seed == other.seed and one.identity == other.identity


def _known(values: Floats) -> Floats:
    found: Floats = values[~np.isnan(values)]
    return found
