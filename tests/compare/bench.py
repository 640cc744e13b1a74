"""A bench that measures nothing: it writes what a run of a given behaviour leaves behind, in no time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from serverless_lab.coldstarts.frame import SavedInvocations, write_parquet
from serverless_lab.coldstarts.invocations import build_invocations
from serverless_lab.compare.execution import Interrupted
from serverless_lab.compare.folder import Facts, RunRecord, write_record
from serverless_lab.compare.plan import Plan, PlannedRun, make_plan
from serverless_lab.compare.running import RunEnded
from serverless_lab.compare.variants import parse_variants
from serverless_lab.scenario import Scenario, parse_scenario
from tests.coldstarts.runs import ORDERS, manifest
from tests.coldstarts.story import T0, Environment, request_id

REQUESTS = 60

SCENARIO = """
name: rush
phases: [{law: burst, count: 40}, {duration: 5s, count: 20}]
mix: [{request: POST /orders}]
"""

VARIANTS = """
variants:
  - name: today
  - {name: lazy, parameters: {InitStyle: lazy}}
  - {name: five, parameters: {ProvisionedConcurrency: 5}}
  - {name: five-on-mondays, parameters: {ProvisionedConcurrency: 5}, provisioned_hours_per_month: 5}
sensitivity: {variant: lazy, idle_lifetime: [5m, 10m]}
"""


def scenario() -> Scenario:
    return parse_scenario(SCENARIO, "rush.yaml")


def plan(text: str = VARIANTS, *, repeat: int = 3, seed: int = 1, code: str = "1", sensitivity: bool = True) -> Plan:
    return make_plan(
        parse_variants(text, "variants.yaml"),
        scenario(),
        repeat=repeat,
        seed=seed,
        code_digest=lambda parameters: code,
        target="scripted",
        lab="1",
        sensitivity=sensitivity,
    )


@dataclass
class ScriptedBench:
    """Every request of the burst is cold but for those that provisioned environments serve; lazy inits are shorter.

    `made` are the runs it was asked for, `stop_at` the one (counted from 1) at which the user presses Ctrl-C.
    """

    stop_at: int | None = None
    fail_at: int | None = None
    made: list[PlannedRun] = field(default_factory=list)
    closed: int = 0
    name: str = "scripted"
    can_set_idle_lifetime: bool = True

    def identity(self) -> str:
        return "scripted"

    def measure(
        self, run: PlannedRun, place: Path, on_step: Callable[[str], None], on_progress: Callable[[Any], None]
    ) -> None:
        self.made.append(run)
        on_step("deploying")
        (place / "half.txt").write_text("what a run leaves before it is complete")
        if len(self.made) == self.stop_at:
            raise Interrupted
        if len(self.made) == self.fail_at:
            raise RuntimeError("the emulator fell over")
        write_run(run, place)

    def close(self) -> None:
        self.closed += 1


def write_run(run: PlannedRun, place: Path) -> None:
    ready = int(run.setting.parameters.get("ProvisionedConcurrency", "0"))
    lazy = run.setting.parameters.get("InitStyle") == "lazy"
    rng = np.random.default_rng([run.seed, ready, int(lazy)])
    environments, rows = [], []
    for number in range(REQUESTS):
        cold = ready <= number < 40
        init, duration = (
            (100.0 if lazy else 300.0) + rng.normal(0, 5),
            20.0 + rng.normal(0, 1) + 150.0 * (lazy and cold),
        )
        environment = Environment(ORDERS, T0 + 10 * number)
        if cold:
            environment.cold(number, round(init, 2), round(duration, 2))
        else:
            environment.wait(1).invoke(number, round(duration, 2))
        environments.append(environment)
        rows.append((number, round((init if cold else 0.0) + duration + 4, 3)))
    events = [event for environment in environments for event in environment.events]
    write_parquet(
        place / "invocations.parquet", SavedInvocations.from_invocations(build_invocations(events), read_at_ms=T0)
    )
    requests_frame(rows).to_parquet(place / "requests.parquet")
    facts = {"name": ORDERS, "log_group": f"/aws/lambda/{ORDERS}", "memory_size_mb": 512, "architecture": "x86_64"}
    functions = [{**facts, "provisioned_environments": ready or None}]
    written = manifest(scenario="rush", functions=functions, sent=REQUESTS, target="local")
    for name in ("scenario_source", "endpoint_url", "api_url"):
        written[name] = ""
    (place / "manifest.json").write_text(json.dumps({**written, "scenario_document": {}, "seed": run.seed}))
    write_record(
        place,
        RunRecord(
            variant=run.setting.name,
            digest=run.setting.digest,
            parts=dict(run.setting.parts),
            seed=run.seed,
            parameters=dict(run.setting.parameters),
            idle_lifetime_ms=run.setting.idle_lifetime_ms,
            facts=Facts(provisioned={ORDERS: ready} if ready else {}),
            deploy_seconds=1.0,
            real_seconds=10.0,
        ),
    )


def requests_frame(rows: list[tuple[int, float]]) -> pd.DataFrame:
    """A row per (number, latency), all answered with 200."""
    n = len(rows)
    frame = pd.DataFrame(
        {
            "index": [number for number, _ in rows],
            "phase": ["rush"] * n,
            "name": ["POST /orders"] * n,
            "method": ["POST"] * n,
            "path": ["/orders"] * n,
            "intended_ms": [float(number) for number, _ in rows],
            "sent_ms": [float(number) for number, _ in rows],
            "latency_ms": [latency for _, latency in rows],
            "status_code": [200] * n,
            "error": [None] * n,
            "request_id": [request_id(number) for number, _ in rows],
            "environment_id": [None] * n,
            "response_bytes": [10] * n,
            "succeeded": [True] * n,
        }
    )
    return frame.astype({"status_code": "Int64", "error": "str", "request_id": "str", "environment_id": "str"})


@dataclass
class Listener:
    """What was told while a plan was worked through."""

    begun: list[tuple[str, int, float | None]] = field(default_factory=list)
    ends: list[RunEnded] = field(default_factory=list)

    def begins(
        self, run: PlannedRun, number: int, planned: int, remaining_seconds: float | None
    ) -> Callable[[Any], None]:
        self.begun.append((run.setting.name, run.seed, remaining_seconds))
        return lambda progress: None

    def step(self, sentence: str) -> None:
        pass

    def ended(self, found: RunEnded) -> None:
        self.ends.append(found)
