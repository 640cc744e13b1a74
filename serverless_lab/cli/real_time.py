"""What a scenario asks of this machine where its functions run on it in real time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from serverless_lab.project import Deployment
    from serverless_lab.scenario import Scenario

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "localhost.localstack.cloud"})

COLD_START_CPU_S = 1.0
"""measured: 60 environments of the bundled stack at once took 30 s of two CPUs on LocalStack 4.8.1, 2026-11-25."""


def is_here(endpoint_url: str) -> bool:
    """Whether an emulator's functions run on this machine, as far as its address tells."""
    return (urlsplit(endpoint_url).hostname or "") in LOOPBACK


def real_time_warning(
    deployment: Deployment | None, scenario: Scenario, seed: int | None = None, cpus: int | None = None
) -> str | None:
    """Why this scenario would measure the machine and not the functions; None where nothing speaks for that.

    Environments that begin at the same time share the CPUs, and a client that has waited long enough counts as failed.
    """
    from serverless_lab.cli.load import concurrency_of

    if deployment is None or deployment.target != "localstack" or not is_here(deployment.endpoint_url or ""):
        return None
    cpus = cpus or len(os.sched_getaffinity(0))
    count = concurrency_of(scenario, seed)
    last_s, patience_s = count * COLD_START_CPU_S / cpus, scenario.client_timeout_ms / 1000
    if last_s <= patience_s:
        return None
    return (
        f"scenario `{scenario.name}` may start {count} environments at once, in real time and on {cpus} CPUs: "
        f"with {COLD_START_CPU_S:g} s of CPU for each, the last one serves after {last_s:.0f} s, and clients wait "
        f"{patience_s:g} s"
    )
