"""manifest.json of a run folder: what was sent where, and how it went. Written when a run begins and when it ends."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from serverless_lab import __version__
from serverless_lab.errors import ReportError
from serverless_lab.project import Deployment, read_json, write_json
from serverless_lab.scenario import Scenario

SCHEMA = 1
FILE_NAME = "manifest.json"
FUNCTION_FACTS = (
    "logical_id",
    "name",
    "log_group",
    "memory_size_mb",
    "architecture",
    "provisioned_environments",
)


@dataclass(frozen=True)
class RunManifest:
    """One run. Times are epoch milliseconds; `complete` is False while it runs and when it was cut short.

    `planned` counts requests that the scenario asks for, `sent` those that went out; `late_ms_*` is how late. A figure
    is None where nothing was sent or, with a user's own locustfile, where nobody knows. `functions` holds
    {"logical_id", "name", "log_group", "memory_size_mb", "architecture", "provisioned_environments"} of each function
    of the stack; `api_type` is `rest` or `http`; `instance_id` tells an emulator's lifetime.
    `clock` is `wall` or `virtual`: then every time is on the emulator's calendar, and nothing is late. `strain` is how
    much the host held up a run on the wall clock, see `strain.Strain`. `recycled` has a row for each function that was
    given new environments for the run, see `deploy.recycle.Recycled`, and whether that was put back.
    `workers` are those of other machines:
    {"index", "host", "clock_offset_ms", "round_trip_ms"}, their clock being ahead of ours by that, right to half of the
    round trip.
    """

    run_id: str
    scenario: str
    scenario_source: str
    scenario_document: dict[str, Any]
    seed: int
    target: str
    stack_name: str | None
    endpoint_url: str | None
    api_url: str
    region: str | None
    functions: list[dict[str, Any]]
    started_at_ms: int
    ended_at_ms: int | None = None
    clock: str = "wall"
    complete: bool = False
    planned: int | None = None
    sent: int = 0
    succeeded: int = 0
    failed: int = 0
    late_ms_p50: float | None = None
    late_ms_p99: float | None = None
    late_ms_max: float | None = None
    processes: int = 1
    versions: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    instance_id: str | None = None
    api_type: str | None = None
    strain: dict[str, Any] | None = None
    recycled: list[dict[str, Any]] = field(default_factory=list)
    workers: list[dict[str, Any]] = field(default_factory=list)
    schema: int = SCHEMA

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RunManifest:
        """The manifest in `data`; keys of later versions are left out.

        Raises:
            ReportError: a key is missing, or the manifest has another schema.
        """
        if data.get("schema") != SCHEMA:
            raise ReportError(
                f"run manifest has schema {data.get('schema')!r}, and this lab reads {SCHEMA}",
                hint="read it with the version of lab that wrote it",
            )
        known = {item.name for item in fields(cls)}
        try:
            return cls(**{key: value for key, value in data.items() if key in known})
        except TypeError as error:
            raise ReportError(f"run manifest is incomplete: {error}", hint="send the load again") from error

    def write(self, run_folder: Path) -> None:
        write_json(run_folder / FILE_NAME, self.to_json())

    @classmethod
    def read(cls, run_folder: Path) -> RunManifest:
        data = read_json(run_folder / FILE_NAME)
        if data is None:
            raise ReportError(f"{run_folder} has no {FILE_NAME}", hint="send a load first: `lab load`")
        return cls.from_json(data)


def begin(
    scenario: Scenario,
    *,
    run_folder: Path,
    base_url: str,
    seed: int,
    planned: int | None,
    processes: int,
    started_at_ms: int,
    deployment: Deployment | None,
    clock: str = "wall",
    recycled: list[dict[str, Any]] | None = None,
) -> RunManifest:
    """The manifest of a run that starts now. Without a deployment the target is just a URL."""
    return RunManifest(
        run_id=run_folder.name,
        scenario=scenario.name,
        scenario_source=scenario.source,
        scenario_document=scenario.document,
        seed=seed,
        target=deployment.target if deployment else "url",
        stack_name=deployment.stack_name if deployment else None,
        endpoint_url=deployment.endpoint_url if deployment else None,
        api_url=base_url,
        region=deployment.region if deployment else None,
        instance_id=deployment.instance_id if deployment else None,
        api_type=deployment.api_type if deployment else None,
        functions=[
            {name: getattr(function, name) for name in FUNCTION_FACTS}
            for function in (deployment.functions if deployment else ())
        ],
        started_at_ms=started_at_ms,
        clock=clock,
        planned=planned,
        processes=processes,
        versions=versions(),
        recycled=recycled or [],
    )


def versions() -> dict[str, str]:
    """Of what produced the run. Locust's is read from its metadata: importing it would patch our sockets."""
    from importlib.metadata import version

    return {"lab": __version__, "locust": version("locust"), "python": platform.python_version()}
