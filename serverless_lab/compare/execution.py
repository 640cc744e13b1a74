"""One run of a comparison: a fresh deployment, the load, the log.

Fresh means that nothing of the run before is there: no environment, no row, no log. On the embedded target the
emulator is started anew, with the seed of the run; on others the stack is deleted and created again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from serverless_lab.compare.folder import Facts, RunRecord, write_record
from serverless_lab.compare.plan import PlannedRun, digest_of
from serverless_lab.errors import LoadError, NothingDeployed
from serverless_lab.project import Deployment, Project

if TYPE_CHECKING:
    from serverless_lab.load.follower import LoadProgress
    from serverless_lab.scenario import Scenario
    from serverless_lab.targets.base import Target

LAB_PARTS = ("emulator", "load", "deploy", "report_line", "quotas.py")
"""What of lab decides what a run measures. How it is reported may change without measuring anew."""

OnStep = Callable[[str], None]
OnProgress = Callable[["LoadProgress"], None]


class Interrupted(Exception):
    """The user stopped the load. What it had sent is dropped: a run is complete or not at all."""


class Bench(Protocol):
    """Where the runs of a comparison are made."""

    name: str
    can_set_idle_lifetime: bool

    def identity(self) -> str:
        """What tells this target from another, for the digest of its runs."""

    def measure(self, run: PlannedRun, place: Path, on_step: OnStep, on_progress: OnProgress) -> None:
        """Make `run` in the empty folder `place`.

        Raises:
            Interrupted: the user stopped it.
        """

    def close(self) -> None:
        """Leave nothing behind that runs, or costs."""


@dataclass(frozen=True)
class StackPlan:
    """What is deployed for each run."""

    template: Path
    stack_name: str
    build_directory: Path
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Those of the template that no variant gives."""


class LocalBench:
    """The embedded emulator, one of the comparison's own: the one of the working directory is left alone.

    Args:
        project: the bench's own folder.
        check: called with the emulator's folder, the scenario and the seed before anything is sent; may refuse.
    """

    name = "local"
    can_set_idle_lifetime = True

    def __init__(
        self,
        project: Project,
        stack: StackPlan,
        check: Callable[[Project, Scenario, int], None] = lambda project, scenario, seed: None,
    ) -> None:
        self._project = project
        self._stack = stack
        self._check = check
        self._ready = False

    def identity(self) -> str:
        return "local, virtual clock"

    def measure(self, run: PlannedRun, place: Path, on_step: OnStep, on_progress: OnProgress) -> None:
        from serverless_lab.emulator import control
        from serverless_lab.targets import resolve_target

        began = time.monotonic()
        on_step("starting a fresh emulator")
        control.down(self._project)
        options = control.UpOptions(seed=run.seed, idle_lifetime_ms=run.setting.idle_lifetime_ms, clock="virtual")
        found, _ = control.up(self._project, options)
        endpoint = f"http://127.0.0.1:{found['port']}"
        target = resolve_target("local", local_endpoint=endpoint, emulator_log=self._project.emulator_log)
        deployment = _deploy(target, self._stack, run.setting.parameters, on_step)
        self._prepare(deployment)
        self._check(self._project, run.setting.scenario, run.seed)
        _send(target, deployment, run, place, began, on_progress)

    def close(self) -> None:
        from serverless_lab.emulator import control

        control.down(self._project)

    def _prepare(self, deployment: Deployment) -> None:
        """Make the runtimes ready once: no invocation is to wait for that."""
        if self._ready:
            return
        from serverless_lab.emulator.runtimes import Runtimes

        runtimes = Runtimes(virtual=True, tell=lambda text: None)
        for name in sorted({function.runtime for function in deployment.functions}):
            runtimes.get(name)
        self._ready = True


class StackBench:
    """A target whose state outlives processes, in real time: LocalStack, AWS.

    Args:
        target: where; the stack must be the comparison's own, for it is deleted before each run and at the end.
    """

    can_set_idle_lifetime = False

    def __init__(self, target: Target, stack: StackPlan, sleep: Callable[[float], None] = time.sleep) -> None:
        self.target = target
        self._stack = stack
        self._sleep = sleep
        self.name = target.name

    @property
    def stack_name(self) -> str:
        return self._stack.stack_name

    def identity(self) -> str:
        return f"{self.target.name}, {self.target.region}, {self.target.account_id()}"

    def measure(self, run: PlannedRun, place: Path, on_step: OnStep, on_progress: OnProgress) -> None:
        began = time.monotonic()
        self._remove(on_step)
        deployment = _deploy(self.target, self._stack, run.setting.parameters, on_step)
        if run.setting.variant.settle_ms:
            on_step(f"waiting {run.setting.variant.settle_ms / 1000:.0f} s for the deployment to settle")
            self._sleep(run.setting.variant.settle_ms / 1000)
        _send(self.target, deployment, run, place, began, on_progress)

    def close(self) -> None:
        self._remove(lambda step: None)

    def _remove(self, on_step: OnStep) -> None:
        from serverless_lab.deploy.destroy import destroy_stack

        destroy_stack(self.target, self._stack.stack_name, on_step=on_step)


# --- what both do ----------------------------------------------------------------------------------------------------


def _deploy(target: Target, stack: StackPlan, parameters: Mapping[str, str], on_step: OnStep) -> Deployment:
    from serverless_lab.deploy.inventory import describe_deployment
    from serverless_lab.deploy.log_groups import tag_log_groups
    from serverless_lab.deploy.stack import deploy_stack
    from serverless_lab.deploy.verify import verify_stack
    from serverless_lab.targets.clients import errors_of

    result = deploy_stack(
        target,
        template_path=stack.template,
        stack_name=stack.stack_name,
        parameters={**stack.parameters, **parameters},
        build_directory=stack.build_directory,
        on_step=on_step,
    )
    notes = verify_stack(
        target,
        stack_name=stack.stack_name,
        template_path=stack.template,
        parameters=result.parameters,
        on_step=on_step,
    )
    deployment = describe_deployment(
        target,
        stack_name=stack.stack_name,
        template_path=stack.template.resolve(),
        parameters=result.parameters,
        now=datetime.now().astimezone(),
        artifact_bucket=result.artifact_bucket,
        notes=(*result.notes, *notes),
    )
    with errors_of(target, "repeat"):
        tag_log_groups(target, deployment.functions)
    if deployment.api_url is None:
        raise NothingDeployed(
            f"stack `{deployment.stack_name}` has no API to send to", hint="compare a template with an API"
        )
    return deployment


def _send(
    target: Target, deployment: Deployment, run: PlannedRun, place: Path, began: float, on_progress: OnProgress
) -> None:
    from serverless_lab.coldstarts.runs import build_report
    from serverless_lab.load.runner import run_load

    assert deployment.api_url is not None
    facts = facts_of(target, deployment)
    deployed = time.monotonic()
    result = run_load(
        run.setting.scenario,
        base_url=deployment.api_url,
        run_folder=place,
        seed=run.seed,
        progress=on_progress,
        deployment=deployment,
    )
    if result.interrupted:
        raise Interrupted
    if not result.complete:
        raise LoadError(
            f"variant `{run.setting.name}`, seed {run.seed}: {result.sent} of {result.planned} requests were sent",
            hint="what is complete is kept; the same command goes on",
        )
    build_report(run_folder=place, target=target)
    write_record(
        place,
        RunRecord(
            variant=run.setting.name,
            digest=run.setting.digest,
            parts=dict(run.setting.parts),
            seed=run.seed,
            parameters=deployment.parameters,
            idle_lifetime_ms=run.setting.idle_lifetime_ms,
            facts=facts,
            deploy_seconds=round(deployed - began, 3),
            real_seconds=round(time.monotonic() - began, 3),
        ),
    )


def facts_of(target: Target, deployment: Deployment) -> Facts:
    """What stands there for money: memory, provisioned concurrency, schedules that invoke functions."""
    functions = {
        function.name: {"memory_mb": function.memory_size_mb, "architecture": function.architecture}
        for function in deployment.functions
    }
    provisioned = {}
    if target.capabilities.keeps_provisioned_concurrency:
        for name in functions:
            answer = target.client("lambda").list_provisioned_concurrency_configs(FunctionName=name)
            count = sum(
                int(found["RequestedProvisionedConcurrentExecutions"])
                for found in answer["ProvisionedConcurrencyConfigs"]
            )
            if count:
                provisioned[name] = count
    return Facts(functions, provisioned, tuple(_schedules(target, functions)))


def _schedules(target: Target, functions: Mapping[str, Any]) -> list[dict[str, Any]]:
    events = target.client("events")
    found = []
    for page in events.get_paginator("list_rules").paginate():
        for rule in page["Rules"]:
            if not rule.get("ScheduleExpression") or rule.get("State") == "DISABLED":
                continue
            targets = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
            invoked = [name for one in targets if (name := _function_of(one["Arn"])) in functions]
            if invoked:
                found.append(
                    {"name": rule["Name"], "expression": rule["ScheduleExpression"], "functions": sorted(invoked)}
                )
    return sorted(found, key=lambda rule: rule["name"])


def _function_of(arn: str) -> str:
    """`arn:aws:lambda:region:account:function:NAME[:qualifier]` -> NAME."""
    parts = arn.split(":")
    return parts[6] if len(parts) > 6 and parts[2] == "lambda" else ""


def code_digests(stack: StackPlan) -> Callable[[Mapping[str, str]], str]:
    """What the deployed code is, for parameters of the template: the template, and the content of what it packages.

    Raises, when called:
        TemplateError: the template, or a parameter.
        PackagingError: a zip cannot be built.
    """
    from serverless_lab.deploy.packaging import package
    from serverless_lab.deploy.template import read_template

    template = read_template(stack.template)
    text = stack.template.read_text(encoding="utf-8")
    known: dict[Any, str] = {}

    def digest(parameters: Mapping[str, str]) -> str:
        found = {}
        for artifact in template.artifacts(template.parameter_values({**stack.parameters, **parameters})):
            if artifact not in known:
                known[artifact] = package(artifact, stack.build_directory).digest
            found[artifact.logical_id] = known[artifact]
        return digest_of({"template": text, "artifacts": found, "parameters": dict(stack.parameters)})

    return digest


def lab_digest() -> str:
    """What tells this lab's way of measuring from another's."""
    import hashlib

    package = Path(__file__).parents[1]
    found = hashlib.sha256()
    for part in LAB_PARTS:
        place = package / part
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            found.update(f"{path.relative_to(package)}\0".encode() + path.read_bytes() + b"\0")
    return found.hexdigest()[:10]
