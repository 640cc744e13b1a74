"""What CDK and `sam build` make, on the real LocalStack: assets, no bootstrapping, and what LocalStack ignores told."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Lab
from tests.conftest import SAMPLES
from tests.localstack.control_plane import LocalStack

pytestmark = [pytest.mark.localstack, pytest.mark.timeout(600)]

REQUESTS = 12

SCENARIO = f"""
name: once-a-second
description: a few at once, then one after the other, after a quiet hour
seed: 1
quiet: 1h
client_timeout: 60s
phases:
  - {{name: burst, start: 0s, law: burst, count: 3}}
  - {{name: rest, start: 4s, duration: 5s, law: poisson, count: {REQUESTS - 3}}}
mix:
  - request: GET /
"""


def names_of(localstack: LocalStack, beginning: str) -> list[str]:
    """Everything that a stack can leave behind, by the beginning of its name."""
    found = [item["FunctionName"] for item in localstack.client("lambda").list_functions()["Functions"]]
    found += [item["RoleName"] for item in localstack.client("iam").list_roles()["Roles"]]
    found += [item["Name"] for item in localstack.client("s3").list_buckets()["Buckets"]]
    found += localstack.client("dynamodb").list_tables()["TableNames"]
    return [name for name in found if name.lower().startswith(beginning.lower())]


@dataclass(frozen=True)
class Shop:
    """A CDK app, first as it is, then with what its layer holds beside the function's code; and a run of that."""

    lab: Lab
    as_it_is: dict[str, Any]
    answer_as_it_is: str
    deployed: dict[str, Any]
    answer: dict[str, Any]
    report: dict[str, Any]
    processes: Counter[str]


@pytest.fixture(scope="module")
def shop(localstack: LocalStack, lab: Lab) -> Shop:
    app = lab.directory / "cdk.out"
    shutil.copytree(SAMPLES / "cdk" / "cdk.out", app)
    words = ["deploy", "--target", "localstack", "--template", str(app), "--stack", "Shop", "--json"]
    as_it_is = lab(*words).json
    answer_as_it_is = lab("invoke", "OrderFunction", ok=False).out
    (layer,) = app.glob("asset.*/python/words.py")
    (code,) = app.glob("asset.*/orders.py")
    shutil.copy(layer, code.parent)
    deployed = lab(*words).json
    before = len(localstack.processes())
    lab("load", "--scenario", lab.scenario(SCENARIO, "shop.yaml"))
    report = lab("coldstarts", "report", "--json").json
    processes = Counter(process.function for process in localstack.processes()[before:])
    return Shop(lab, as_it_is, answer_as_it_is, deployed, lab("invoke", "OrderFunction").json, report, processes)


def test_a_cdk_app_is_deployed_without_bootstrapping_and_its_assets_are_there(shop: Shop) -> None:
    assert shop.answer["statusCode"] == 200
    assert '"prices": {"tea": 3}' in shop.answer["body"], "a file of the app's, from the bucket it was uploaded to"


def test_layers_that_localstack_does_not_apply_are_told_by_the_deployment(shop: Shop) -> None:
    """Otherwise the first that is seen of it is an API that answers 502, without a log."""
    (note,) = (note for note in shop.as_it_is["notes"] if "layers" in note)
    assert note.startswith("`OrderFunctionFABF799C`: localstack without a licence does not put layers into functions")
    assert "No module named 'words'" in shop.answer_as_it_is


def test_a_changed_stack_is_made_anew_and_that_is_told(shop: Shop) -> None:
    assert any("deleted and created again" in note for note in shop.deployed["notes"])


def test_its_cold_starts_are_the_processes_that_the_operating_system_saw(shop: Shop) -> None:
    cold = {item["function"]: item["cold_starts"]["count"] for item in shop.report["functions"]}
    assert cold == dict(shop.processes)
    assert shop.report["total"]["invocations"] == REQUESTS
    assert shop.report["environments"]["busy_max"] >= 2, "the burst was at work at once, however late it was logged"


def test_destroy_tells_what_localstack_deletes_against_the_template(localstack: LocalStack, shop: Shop) -> None:
    """The API's account and role have a DeletionPolicy of Retain, which LocalStack does not know."""
    removal = shop.lab("destroy", "Shop", "--yes", "--json").json
    assert removal["leftovers"] == []
    assert sum("ignores its DeletionPolicy" in note for note in removal["notes"]) == 2
    assert names_of(localstack, "Shop-") == []


def test_what_sam_build_has_built_is_deployed_as_it_is(localstack: LocalStack, lab: Lab, tmp_path: Path) -> None:
    built = tmp_path / "build"
    shutil.copytree(SAMPLES / "sam" / ".aws-sam" / "build", built)
    template = (built / "template.yaml").read_text()
    (built / "template.yaml").write_text(template.replace("python3.11", "python3.12"))
    for function in ("HelloFunction", "OtherFunction"):
        shutil.copy(built / "Common" / "python" / "shouting.py", built / function)
    lab("deploy", "--target", "localstack", "--template", str(built), "--stack", "built")
    assert lab("invoke", "HelloFunction").json["body"] == '{"message": "HELLO"}'
    lab("destroy", "built", "--yes")
    assert names_of(localstack, "built-") == []


FAILS = """
Transform: AWS::Serverless-2016-10-31
Globals: {Function: {CodeUri: code, Handler: app.handler, Runtime: python3.9}}
Resources:
  Named: {Type: AWS::Serverless::Function, Properties: {FunctionName: !Sub "${AWS::StackName}-named"}}
"""
UNNAMED = FAILS.replace('FunctionName: !Sub "${AWS::StackName}-named"', "MemorySize: 128")


@pytest.mark.parametrize("template", [FAILS, UNNAMED])
def test_a_function_that_localstack_cannot_run_is_named_and_leaves_nothing(
    localstack: LocalStack, lab: Lab, tmp_path: Path, template: str
) -> None:
    """As where there is no Docker: it is made, and not in the stack. With a name of its own it would be in the way."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "app.py").write_text("def handler(event, context): return 1\n")
    (tmp_path / "template.yaml").write_text(template)
    words = ["deploy", "--target", "localstack", "--template", str(tmp_path / "template.yaml"), "--stack", "cannot"]
    refused = lab.refused(*words)
    assert "resource `Named`" in refused.error
    assert "no runtime python3.9" in refused.error, "LocalStack's own reason"
    assert "`lab doctor --target localstack` looks for Docker" in refused.hint
    (role,) = names_of(localstack, "cannot-")
    assert "NamedRole" in role
    lab("destroy", "cannot", "--target", "localstack", "--yes")
    assert names_of(localstack, "cannot-") == []


def test_a_changed_stack_that_cannot_be_made_anew_says_that_the_one_before_is_gone(
    localstack: LocalStack, lab: Lab, tmp_path: Path
) -> None:
    """LocalStack cannot update it, so there is nothing to roll back to."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "app.py").write_text("def handler(event, context): return 1\n")
    template = tmp_path / "template.yaml"
    template.write_text(UNNAMED.replace("python3.9", "python3.12"))
    words = ["deploy", "--target", "localstack", "--template", str(template), "--stack", "replaced"]
    lab(*words)
    template.write_text(UNNAMED)
    assert "the stack that was there before was deleted for it" in lab.refused(*words).error
    template.write_text(UNNAMED.replace("python3.9", "python3.12").replace("128", "256"))
    again = lab(*words, "--json").json
    assert any("deleted it first" in note for note in again["notes"])
    assert lab("invoke", "Named").json == 1
    lab("destroy", "replaced", "--yes")
    assert names_of(localstack, "replaced-") == []
