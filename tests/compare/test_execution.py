"""A bench in real time, on a target whose state outlives processes: a standalone MiniStack stands for LocalStack."""

from __future__ import annotations

from pathlib import Path

import pytest

from serverless_lab.compare.execution import StackBench, StackPlan, code_digests, lab_digest
from serverless_lab.compare.figures import read_figures
from serverless_lab.compare.folder import ComparisonFolder, read_record
from serverless_lab.compare.plan import make_plan
from serverless_lab.compare.running import run_plan
from serverless_lab.compare.variants import parse_variants
from serverless_lab.deploy.events import describe_stack
from serverless_lab.project import Project
from serverless_lab.scenario import parse_scenario
from serverless_lab.targets.localstack import LocalStackTarget
from tests.compare.bench import Listener
from tests.conftest import SAMPLES

SCENARIO = (
    "name: few\nclient_timeout: 30s\nphases: [{duration: 200ms, count: 3, law: uniform}]\nmix: [{request: GET /hello}]"
)
VARIANTS = "variants: [{name: hello, settle: 1m}, {name: moin, parameters: {Greeting: moin}, settle: 5m}]"
TEMPLATE = SAMPLES / "hello" / "template.yaml"


@pytest.mark.process
def test_each_run_has_a_stack_of_its_own_and_none_is_left(ministack: str, tmp_path: Path) -> None:
    target = LocalStackTarget(ministack, "us-east-1")
    stack = StackPlan(TEMPLATE, "lab-compare-few", tmp_path / "build")
    waited: list[float] = []
    stacks: list[str] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        there = describe_stack(target.client("cloudformation"), stack.stack_name)
        assert there is not None
        stacks.append(there["StackId"])

    bench = StackBench(target, stack, sleep=sleep)
    plan = make_plan(
        parse_variants(VARIANTS, "variants.yaml"),
        parse_scenario(SCENARIO, "few.yaml"),
        repeat=1,
        seed=1,
        code_digest=code_digests(stack),
        target=bench.identity(),
        lab=lab_digest(),
        sensitivity=bench.can_set_idle_lifetime,
    )
    folder = ComparisonFolder(Project(tmp_path), "few")
    run_plan(plan, folder, bench, Listener())
    for run in plan.runs:
        place = folder.find(run)
        assert place is not None
        record = read_record(place)
        figures = read_figures(place, record)
        assert (figures.requests, int(figures.failed.sum()), figures.clock) == (3, 0, "wall")
        assert len(record.facts.functions) == 1
    assert len(set(stacks)) == 2  # nothing of the first was there for the second
    assert waited == [60.0, 300.0]
    assert describe_stack(target.client("cloudformation"), stack.stack_name) is None


def test_the_code_of_a_run_is_known_by_its_content(tmp_path: Path) -> None:
    import shutil

    shutil.copytree(TEMPLATE.parent, tmp_path / "hello")
    stack = StackPlan(tmp_path / "hello" / "template.yaml", "x", tmp_path / "build")
    before = code_digests(stack)({})
    assert code_digests(stack)({}) == before
    handler = tmp_path / "hello" / "hello" / "app.py"
    handler.write_text(handler.read_text() + "\n# changed\n")
    assert code_digests(stack)({}) != before
