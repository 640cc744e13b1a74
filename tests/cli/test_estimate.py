"""What is shown of a scenario's bill before an AWS account pays for it, and the limit."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from serverless_lab.cli.cold import recycling_lines
from serverless_lab.cli.confirm import confirm_load
from serverless_lab.cli.estimate import comparison_lines, estimate_lines, standing_lines
from serverless_lab.compare.execution import StackPlan
from serverless_lab.compare.plan import make_plan
from serverless_lab.compare.variants import load_variants
from serverless_lab.deploy.parameters import host_parameters
from serverless_lab.deploy.template import read_template
from serverless_lab.errors import BadInput, LoadError
from serverless_lab.project import DeployedFunction, Deployment, Project, bundled
from serverless_lab.scenario import load_scenario

INGEST = DeployedFunction("Ingest", "shop-ingest", "/aws/lambda/shop-ingest", 512, 5, "python3.12", "x86_64")


class Account:
    """An AWS account whose stack has a bucket beside its function."""

    name = "aws"
    endpoint_url = None

    def __init__(self, region: str = "eu-west-1") -> None:
        self.region = region

    def account_id(self) -> str:
        return "111122223333"

    def client(self, service: str) -> Any:
        assert service == "cloudformation"
        return self

    def get_paginator(self, operation: str) -> Any:
        assert operation == "list_stack_resources"
        return self

    def paginate(self, **request: Any) -> list[dict[str, Any]]:
        assert request == {"StackName": "shop"}
        bucket = {"ResourceType": "AWS::S3::Bucket", "ResourceStatus": "CREATE_COMPLETE"}
        gone = {"ResourceType": "AWS::DynamoDB::Table", "ResourceStatus": "DELETE_COMPLETE"}
        return [{"StackResourceSummaries": [bucket, gone]}]


def deployment(region: str = "eu-west-1") -> Deployment:
    return Deployment("aws", "shop", region, "111122223333", "t.yaml", "2026-11-24", {}, {}, (INGEST,), api_type="rest")


def lines(tmp_path: Path, region: str = "eu-west-1", **asked: Any) -> list[str]:
    account: Any = Account(region)
    return estimate_lines(Project(tmp_path), account, deployment(region), load_scenario("monday-spike"), **asked)


def test_the_bill_is_shown_with_what_it_assumes(tmp_path: Path) -> None:
    shown = lines(tmp_path)
    assert shown[0].startswith("estimated bill: $0.0")
    assert "list prices of eu-west-1" in shown[0]
    assert any(line.startswith("at most: the function once a request") and "PUT" in line for line in shown)
    assert not any("DynamoDB" in line for line in shown), "the table is deleted"


def test_it_stands_where_the_user_is_asked(tmp_path: Path, capsys: Any) -> None:
    account: Any = Account()
    confirm_load(account, load_scenario("monday-spike"), url="https://x", details=lines(tmp_path), yes=True)
    asked = capsys.readouterr().err.splitlines()
    assert asked[0].startswith("AWS account 111122223333, region eu-west-1: send 500 requests of monday-spike")
    assert asked[1].startswith("  estimated bill: $")


def test_more_than_the_limit_is_refused_and_less_goes_on(tmp_path: Path) -> None:
    with pytest.raises(
        LoadError, match=r"may cost up to \$0\.\d\d, and --max-cost is \$0\.01: nothing was sent"
    ) as caught:
        lines(tmp_path, max_cost=0.01)
    assert "at most: " in str(caught.value.hint)
    assert lines(tmp_path, max_cost=5.0)[0].startswith("estimated bill")


def test_a_region_without_prices_is_said_and_refused_only_under_a_limit(tmp_path: Path) -> None:
    assert lines(tmp_path, "mars-north-1") == ["its bill cannot be estimated: no price table for Region `mars-north-1`"]
    with pytest.raises(BadInput, match="mars-north-1"):
        lines(tmp_path, "mars-north-1", max_cost=5.0)


def test_what_is_not_known_before_has_no_bill_and_that_is_said(tmp_path: Path) -> None:
    account: Any = Account()
    scenario = load_scenario("monday-spike")
    for target, what, sent in ((account, "a locustfile sends", None), (None, "is behind a --url", scenario)):
        (said,) = estimate_lines(Project(tmp_path), target, deployment() if target else None, sent)
        assert said == f"its bill cannot be estimated: what {what} is not known before"
        with pytest.raises(BadInput, match=what):
            estimate_lines(Project(tmp_path), target, None, sent, max_cost=5.0)


def test_an_emulator_shows_no_bill_unless_a_limit_is_set(tmp_path: Path) -> None:
    target: Any = Account()
    target.name = "localstack"
    scenario = load_scenario("monday-spike")
    assert estimate_lines(Project(tmp_path), target, deployment(), scenario) == []
    assert estimate_lines(Project(tmp_path), target, deployment(), scenario, max_cost=5.0)


def test_a_measured_run_of_the_same_stack_says_what_is_likely(tmp_path: Path) -> None:
    """Only when all of it is known: a run on a target that counts no calls would promise too little."""
    import pandas as pd

    from serverless_lab.coldstarts.frame import SavedInvocations, write_parquet
    from tests.cost.frames import CALLS, MANIFEST, frame, line

    folder = tmp_path / ".lab" / "runs" / "20261124-160000-spike"
    folder.mkdir(parents=True)
    (folder.parent / "last").write_text(folder.name)
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    write_parquet(folder / "invocations.parquet", SavedInvocations(frame(*[line()] * 4), ()))
    pd.DataFrame({"status_code": [202] * 4, "response_bytes": [2] * 4}).to_parquet(folder / "requests.parquet")
    assert not any("measured" in text for text in lines(tmp_path))
    (folder / "calls.json").write_text(json.dumps({**CALLS, "stored_bytes": {}, "log_bytes": 900}))
    assert any(text.startswith("like the last measured run of this stack: $") for text in lines(tmp_path))
    (folder / "manifest.json").write_text(json.dumps({**MANIFEST, "stack_name": "other"}))
    assert not any("measured" in text for text in lines(tmp_path))


# --- a deployment ----------------------------------------------------------------------------------------------------


def standing(region: str = "us-east-1", name: str = "aws", **parameters: str) -> list[str]:
    account: Any = Account(region)
    account.name = name
    template = read_template(bundled("handlers", "template.yaml"))
    return standing_lines(template, template.parameter_values(parameters), account)


def test_what_stands_in_an_account_after_a_deployment_is_said_before_it() -> None:
    """Five environments of 512 MB cost $27 a month of 720 hours, whatever is sent."""
    assert standing(ProvisionedConcurrency="5") == [
        "provisioned concurrency: $0.04 an hour, from now until it is taken away"
    ]
    assert standing() == []
    assert standing(name="localstack", ProvisionedConcurrency="5") == []
    (said,) = standing("mars-north-1", ProvisionedConcurrency="5")
    assert "does not know (no price table for Region `mars-north-1`)" in said


# --- a comparison ----------------------------------------------------------------------------------------------------


def comparison(repeat: int = 2, only: tuple[str, ...] = (), **asked: Any) -> list[str]:
    """Of the bundled variants of the bundled stack, which nobody has deployed."""
    template = bundled("handlers", "template.yaml")
    variants = load_variants(None, Path("/nowhere"))
    plan = make_plan(
        variants.only(only) if only else variants,
        load_scenario("monday-spike"),
        repeat=repeat,
        seed=1,
        code_digest=lambda parameters: "",
        target="aws",
        lab="",
        sensitivity=False,
    )
    stack = StackPlan(template, "lab-compare", Path("/nowhere"), host_parameters(template, "aws"))
    return comparison_lines(plan.runs, stack, **{"region": "eu-west-1", **asked})


def amounts(line: str) -> tuple[float, float]:
    found = re.match(r"estimated bill: \$([\d.,]+) to \$([\d.,]+) \(list prices of eu-west-1", line)
    assert found, line
    low, high = (float(text.replace(",", "")) for text in found.groups())
    return low, high


def test_the_bill_of_a_comparison_is_that_of_all_its_runs_before_anything_is_deployed() -> None:
    low, high = amounts(comparison()[0])
    twice_low, twice_high = amounts(comparison(repeat=4)[0])
    assert 0 < low < high
    assert (twice_low, twice_high) == (pytest.approx(2 * low, abs=0.02), pytest.approx(2 * high, rel=0.05))
    without, with_provisioned = comparison(only=("lazy",)), comparison(only=("provisioned-5",))
    assert not any("provisioned environments stand" in line for line in without)
    assert any(line.startswith("5 provisioned environments stand") for line in with_provisioned)
    assert amounts(without[0])[1] < amounts(with_provisioned[0])[1]


def test_a_comparison_above_the_limit_is_refused_before_anything_is_deployed() -> None:
    with pytest.raises(
        LoadError, match=r"runs may cost up to \$\d.*, and --max-cost is \$0\.5: nothing was deployed"
    ) as caught:
        comparison(max_cost=0.5)
    assert "--only" in str(caught.value.hint)
    assert comparison(max_cost=1000.0)
    assert comparison(region="mars-north-1") == [
        "its bill cannot be estimated: no price table for Region `mars-north-1`"
    ]
    with pytest.raises(BadInput, match="mars-north-1"):
        comparison(region="mars-north-1", max_cost=5.0)


def test_what_cold_does_to_an_account_s_functions_is_said_before_it_is_done() -> None:
    kept = replace(INGEST, alias="live", provisioned_environments=2)
    (said,) = recycling_lines(deployment())
    assert said.startswith("for the run, 1 function gets a new version")
    assert "billed" in recycling_lines(replace(deployment(), functions=(kept,)))[1]
    assert recycling_lines(None) == []
