"""Sending a scenario: a Locust process of its own, followed through a pipe, its rows merged into the run folder.

`run_load` is what `lab load` calls. The run folder ends up with manifest.json, requests.parquet, Locust's own
locust.html and locust_*.csv, and locust.log. A run that is interrupted leaves the same, with `complete` false.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from serverless_lab.errors import BadInput, LoadError
from serverless_lab.load import manifest as manifests
from serverless_lab.load import samples, strain
from serverless_lab.load.arrivals import arrivals, planned_requests
from serverless_lab.load.child import LOCUSTFILE, RemoteWorkers, crashed, load_environment, locust_options, run_locust
from serverless_lab.load.follower import Follower, LoadProgress, bucket_quantile
from serverless_lab.load.manifest import RunManifest
from serverless_lab.load.plan import Plan
from serverless_lab.load.templates import Origin, origin
from serverless_lab.project import Deployment, write_text
from serverless_lab.scenario import MixEntry, Request, Scenario, Step, with_request

# measured: tests/benchmarks/load_lateness; one process is 2 ms late at p99 at 1,000 arrivals a second, 3 at 3,000,
# and a second one takes Locust's own housekeeping out of the way of the arrivals
TWO_PROCESSES_ABOVE_PER_S = 1000
LATE_WARNING_MS = 10.0
CPU_WARNING_SHARE = 0.8
CONNECT_TIMEOUT_S = 5.0
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # an emulator is never behind a proxy
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


@dataclass(frozen=True)
class LoadResult:
    """A run that has ended. `planned` is None when only the user's own locustfile knows it.

    `latency_ms` and `late_ms` map p50, p90, p95, p99, max to milliseconds. `problems` are sentences for the user.
    `interrupted`: stopped by a signal; `complete`: every planned request has its row. `duration_ms` is in the time of
    the run's clock, `real_duration_ms` what it took here.
    """

    run_folder: Path
    manifest: RunManifest
    planned: int | None
    sent: int
    succeeded: int
    failed: int
    by_status: dict[int, int]
    by_error: dict[str, int]
    latency_ms: dict[str, float]
    late_ms: dict[str, float]
    duration_ms: float
    real_duration_ms: float
    complete: bool
    interrupted: bool
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "run_id": self.manifest.run_id,
            "run_folder": str(self.run_folder),
            "scenario": self.manifest.scenario,
            "seed": self.manifest.seed,
            "planned": self.planned,
            "sent": self.sent,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "by_status": {str(status): count for status, count in self.by_status.items()},
            "by_error": self.by_error,
            "latency_ms": self.latency_ms,
            "late_ms": self.late_ms,
            "clock": self.manifest.clock,
            "duration_ms": self.duration_ms,
            "real_duration_ms": self.real_duration_ms,
            "complete": self.complete,
            "interrupted": self.interrupted,
            "problems": list(self.problems),
        }


def run_load(
    scenario: Scenario,
    *,
    base_url: str,
    run_folder: Path,
    seed: int | None = None,
    processes: int | None = None,
    progress: Callable[[LoadProgress], None] | None = None,
    request_override: str | None = None,
    extra_headers: Mapping[str, str] | None = None,
    deployment: Deployment | None = None,
    virtual: bool | None = None,
    web: bool = False,
    web_port: int = 8089,
    recycled: list[dict[str, Any]] | None = None,
    remote: RemoteWorkers | None = None,
) -> LoadResult:
    """Sends `scenario` to the API at `base_url` and returns how it went. `run_folder` exists and is empty.

    Args:
        seed: instead of the scenario's own.
        processes: None takes one, or two above 1,000 arrivals a second.
        progress: called about four times a second, in this thread.
        request_override: `GET /hello`, sent instead of the scenario's mix.
        extra_headers: added to every request; they may be secret and are not written anywhere.
        deployment: what is loaded, for the manifest.
        virtual: whether arrivals and latencies are in an emulator's virtual time. None asks the emulator, when the
            deployment is the local target's.
        recycled: the functions that were given new environments, for the manifest.
        web: Locust's page on http://127.0.0.1:<web_port>, which stays up after the run until Ctrl-C.
        remote: workers that somebody starts with `lab load --worker`, instead of `processes` here.

    SIGINT and SIGTERM stop the run and keep what was measured: the result then is `interrupted`.

    Raises:
        LoadError: nobody answers at `base_url`, or the load process failed.
        BadInput: a URL or a header that cannot be sent.
    """
    to = origin(base_url)
    headers = checked_headers(extra_headers or {})
    if request_override is not None:
        scenario = with_request(scenario, request_override)
    seed = scenario.seed if seed is None else seed
    schedule = arrivals(scenario, seed)
    planned = planned_requests(scenario, schedule)
    if not planned:
        raise LoadError(
            f"scenario `{scenario.name}` has no arrivals with seed {seed}", hint="raise its rate, or give a count"
        )
    if not web:
        _check_reachable(to, base_url, deployment)
    clock_url = (deployment and deployment.endpoint_url) or f"{to.scheme}://{to.authority}"
    if virtual is None:
        virtual = deployment is not None and deployment.target == "local" and emulator_clock(clock_url) == "virtual"
    clock = "virtual" if virtual else "wall"
    if processes is None:
        processes = 1 if virtual else default_processes(scenario)
    # A process without an arrival would have nothing to say about time, or anything else.
    processes_at_most = max(1, min(scenario.clients or len(schedule), planned))
    processes = min(processes, processes_at_most)
    if remote is not None:
        if remote.count > processes_at_most:
            raise BadInput(
                f"scenario `{scenario.name}` has no more than {processes_at_most} arrivals for {remote.count} workers",
                hint=f"take at most {processes_at_most} workers",
            )
        processes = remote.count

    draft = manifests.begin(
        scenario,
        run_folder=run_folder,
        base_url=base_url,
        seed=seed,
        planned=planned,
        processes=processes,
        started_at_ms=round(time.time() * 1000),
        deployment=deployment,
        clock=clock,
        recycled=recycled,
    )
    draft.write(run_folder)
    run = f"{run_folder.name}/{uuid.uuid4().hex[:8]}"
    plan = run_folder / "plan.json"
    write_text(
        plan,
        Plan(
            document=scenario.document,
            source=scenario.source,
            seed=seed,
            base_url=base_url,
            clock=clock,
            clock_url=clock_url,
            run=run,
            workers=processes,
            run_folder=str(run_folder.resolve()),
            parent=os.getpid(),
            remote=remote is not None,
        ).to_text(),
    )
    environment = load_environment(run_folder, headers) | {"LAB_LOAD_PLAN": str(plan.resolve())}
    follower = Follower(planned, progress)
    arguments = [
        "--exit-code-on-error",
        "0",
        *locust_options(LOCUSTFILE, run_folder, base_url, processes, web, web_port, remote),
    ]
    end_of_watch = _watch_strain(to, deployment)
    exit_code, interrupted = run_locust(arguments, environment, run_folder, follower.read, cwd=run_folder)
    strained = None if virtual else end_of_watch()

    files = samples.row_files(run_folder)
    table = samples.merge(files, run_folder / samples.FILE_NAME)
    figures = samples.figures(table)
    for file in (*files, plan):
        file.unlink()
    complete = figures.due == planned == figures.sent
    lost = follower.lost
    if virtual and lost is None and not complete and run in _lost_runs(clock_url):
        lost = "a load process fell silent"
    problems = _problems(
        scenario, figures, follower, planned, interrupted and not complete, virtual, lost, bool(recycled)
    )
    started_at_ms = follower.started_at_ms or draft.started_at_ms
    duration_ms = samples.last_end_ms(table) if virtual else follower.elapsed_ms
    final = replace(
        draft,
        started_at_ms=started_at_ms,
        ended_at_ms=started_at_ms + round(duration_ms),
        complete=complete,
        sent=figures.sent,
        succeeded=figures.succeeded,
        failed=figures.failed,
        late_ms_p50=figures.late_ms.get("p50"),
        late_ms_p99=figures.late_ms.get("p99"),
        late_ms_max=figures.late_ms.get("max"),
        problems=problems,
        strain=None if strained is None else asdict(strained),
        workers=follower.workers,
    )
    final.write(run_folder)
    if remote is not None and follower.connected < remote.count and not (interrupted or follower.crash):
        raise LoadError(
            f"{follower.connected} of {remote.count} workers came within {remote.wait_s} s",
            hint=f"on each machine: `lab load --worker --master-port {remote.port}`, see docs/distributed.md",
        )
    if follower.crash or (not complete and not interrupted and lost is None and not follower.gone):
        raise crashed(run_folder, exit_code, follower.crash)
    # Timeouts are a result, and a bad one. That no connection worked at all says nothing about the API.
    if figures.sent and not interrupted and not figures.by_status and "timeout" not in "".join(figures.by_error):
        reasons = ", ".join(figures.by_error)
        raise LoadError(
            f"{base_url} answered none of {figures.sent} requests: {reasons}",
            hint=_start_hint(deployment),
        )
    return LoadResult(
        run_folder=run_folder,
        manifest=final,
        planned=planned,
        sent=figures.sent,
        succeeded=figures.succeeded,
        failed=figures.failed,
        by_status=figures.by_status,
        by_error=figures.by_error,
        latency_ms=figures.latency_ms,
        late_ms=figures.late_ms,
        duration_ms=duration_ms,
        real_duration_ms=follower.real_ms,
        complete=complete,
        interrupted=interrupted and not complete,
        problems=tuple(problems),
    )


def run_locustfile(
    locustfile: Path,
    *,
    base_url: str,
    run_folder: Path,
    users: int = 10,
    spawn_rate: float = 10.0,
    run_time_s: int = 60,
    processes: int = 1,
    deployment: Deployment | None = None,
    web: bool = False,
    web_port: int = 8089,
) -> LoadResult:
    """Runs the user's own locustfile with `base_url` as its host. Its users wait for replies: a closed model.

    Locust knows counts and rounded percentiles, not rows: nothing can be joined with REPORT lines, and `problems` says
    so. The file runs with the whole environment, in the current directory, as `locust -f` would.

    Raises:
        LoadError: no such file, nobody answers, or Locust failed.
    """
    to = origin(base_url)
    if not locustfile.is_file():
        raise LoadError(f"no locustfile `{locustfile}`", hint="give the path of a Python file with Locust users")
    if not web:
        _check_reachable(to, base_url, deployment)
    started_at_ms = round(time.time() * 1000)
    # The manifest wants a scenario: this one says no more than whose file it was.
    unknown = MixEntry(locustfile.stem, 1.0, (Step((Request("GET", "/"),)),))
    draft = manifests.begin(
        Scenario(locustfile.stem, "a user's own locustfile", 0, "closed", (unknown,), source=str(locustfile)),
        run_folder=run_folder,
        base_url=base_url,
        seed=0,
        planned=None,
        processes=processes,
        started_at_ms=started_at_ms,
        deployment=deployment,
    )
    draft.write(run_folder)
    stats_file = run_folder.resolve() / "locust_stats.json"
    options = locust_options(locustfile.resolve(), run_folder, base_url, processes, web, web_port)
    options += ["--exit-code-on-error", "0", "--json-file", str(stats_file.with_suffix(""))]  # Locust adds .json
    options += ["--users", str(users), "--spawn-rate", str(spawn_rate), "--run-time", f"{run_time_s}s"]
    end_of_watch = _watch_strain(to, deployment)
    exit_code, interrupted = run_locust(options, dict(os.environ), run_folder, lambda line: True, cwd=Path.cwd())
    strained = end_of_watch()
    if exit_code != 0 or not stats_file.is_file():
        raise crashed(run_folder, exit_code, None)
    ended_at_ms = round(time.time() * 1000)
    entries = json.loads(stats_file.read_text(encoding="utf-8"))
    sent = sum(entry["num_requests"] for entry in entries)
    failed = sum(entry["num_failures"] for entry in entries)
    buckets: Counter[float] = Counter()
    for entry in entries:
        buckets.update({float(latency): count for latency, count in entry["response_times"].items()})
    latency_ms = {name: bucket_quantile(buckets, share) for name, share in samples.QUANTILES.items()} if sent else {}
    if sent:
        latency_ms["max"] = max(float(entry["max_response_time"]) for entry in entries)
    problems = [
        "your own locustfile leaves no rows: its requests cannot be joined with REPORT lines",
        "its users wait for each reply, so a stall of the API delays the requests behind it and is under-counted",
    ]
    final = replace(
        draft,
        ended_at_ms=ended_at_ms,
        complete=not interrupted,
        sent=sent,
        succeeded=sent - failed,
        failed=failed,
        problems=problems,
        strain=None if strained is None else asdict(strained),
    )
    final.write(run_folder)
    return LoadResult(
        run_folder=run_folder,
        manifest=final,
        planned=None,
        sent=sent,
        succeeded=sent - failed,
        failed=failed,
        by_status={},
        by_error={},
        latency_ms=latency_ms,
        late_ms={},
        duration_ms=float(ended_at_ms - started_at_ms),
        real_duration_ms=float(ended_at_ms - started_at_ms),
        complete=not interrupted,
        interrupted=interrupted,
        problems=tuple(problems),
    )


def emulator_clock(endpoint_url: str) -> str:
    """`virtual` or `wall`: the time an embedded emulator keeps; `wall` when nobody there can tell."""
    return str(_emulator_says(endpoint_url, "status").get("clock", "wall"))


def _watch_strain(to: Origin, deployment: Deployment | None) -> Callable[[], strain.Strain | None]:
    same_host = to.host in ("localhost", "::1") or to.host.startswith("127.")
    emulator_url = deployment.endpoint_url if deployment is not None and deployment.target == "local" else None
    return strain.watch(lambda: _emulator_says(emulator_url, "status") if emulator_url else {}, same_host=same_host)


def _lost_runs(endpoint_url: str) -> list[str]:
    return list(_emulator_says(endpoint_url, "clock").get("lost", ()))


def _emulator_says(endpoint_url: str, what: str) -> dict[str, Any]:
    try:
        with _OPENER.open(f"{endpoint_url}/_lab/{what}", timeout=CONNECT_TIMEOUT_S) as answer:
            said = json.load(answer)
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def default_processes(scenario: Scenario) -> int:
    """One process, or two when the scenario's rate asks for it and there is a second CPU."""
    fastest = max(
        (
            max(phase.rate.from_per_s, phase.rate.to_per_s) if phase.rate else phase.expected / phase.duration_ms * 1000
            for phase in scenario.phases
            if phase.duration_ms
        ),
        default=0.0,
    )
    return 2 if fastest >= TWO_PROCESSES_ABOVE_PER_S and (os.cpu_count() or 1) > 1 else 1


# What may be wrong


def _problems(
    scenario: Scenario,
    figures: samples.Figures,
    follower: Follower,
    planned: int,
    interrupted: bool,
    virtual: bool,
    lost: str | None,
    recycled: bool,
) -> list[str]:
    problems = []
    if lost is not None:
        problems.append(
            f"the emulator went on without this run ({lost}): {figures.sent} of {planned} requests were measured, "
            "and those after that moment mean nothing"
        )
    if follower.gone:
        problems.append(
            f"{', '.join(follower.gone)} went away during the run: "
            f"{figures.due} of {planned} requests are accounted for"
        )
    if interrupted:
        problems.append(f"the run was interrupted: {figures.sent} of {planned} requests were sent")
    if recycled:
        problems.append("every function began with new environments, on a version published for this run")
    elif scenario.quiet_ms and not virtual:
        problems.append(
            f"the quiet period of {_duration(scenario.quiet_ms)} before the run is not simulated in wall time: "
            "environments are as warm as the last requests left them (--cold gives new ones)"
        )
    late = figures.late_ms.get("p99", 0.0)
    if scenario.model == "open" and late > LATE_WARNING_MS:
        problems.append(
            f"1 % of the requests were sent {late:.0f} ms late or more: the load generator was short of CPU; "
            "try --processes 2, or another machine (latency counts from the intended instant all the same)"
        )
    if follower.cpu_share > CPU_WARNING_SHARE and not virtual:
        problems.append(
            f"a load process used {follower.cpu_share:.0%} of a CPU: latencies may contain its own delays; "
            "try more --processes"
        )
    if planned and figures.failed and not interrupted:
        causes = [f"{count} x {error}" for error, count in figures.by_error.items()]
        requests = scenario.requests_by_name().values()
        causes += [
            f"{count} x status {status}"
            for status, count in figures.by_status.items()
            if not any(request.accepts(status) for request in requests)
        ]
        problems.append(f"{figures.failed} of {planned} requests failed: {', '.join(causes[:5]) or 'other statuses'}")
    return problems


def _duration(ms: float) -> str:
    for unit, size in (("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if ms >= size:
            return f"{ms / size:g} {unit}"
    return f"{ms:g} ms"


def _start_hint(deployment: Deployment | None) -> str:
    if deployment is not None and deployment.target == "localstack":
        return "start the target again, then `lab deploy --target localstack`"
    return "is it up? `lab status` tells; `lab deploy` starts the embedded target again"


def _check_reachable(to: Origin, base_url: str, deployment: Deployment | None) -> None:
    try:
        socket.create_connection((to.host, to.port), timeout=CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise LoadError(
            f"{base_url} cannot be reached: {error}",
            hint=_start_hint(deployment),
        ) from error


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or re.search(r"[\x00-\x1f\x7f]", value):
            raise BadInput(f"header `{name}` cannot be sent", hint="write it as 'Name: value', on one line")
    return dict(headers)
