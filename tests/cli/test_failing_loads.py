"""A load that measured nothing is no success: functions that cannot run here, paths that the API does not have."""

from __future__ import annotations

import pytest

from serverless_lab.cli.load import why_none
from serverless_lab.project import DeployedFunction
from tests.cli.conftest import Lab
from tests.conftest import python_runtime

pytestmark = pytest.mark.process

MIXED = f"""
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: {{Handler: index.handler, Timeout: 5}}
Resources:
  Works:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: {python_runtime()}
      InlineCode: |
        def handler(event, context):
            return {{"statusCode": 200, "body": "works"}}
      Events: {{Get: {{Type: Api, Properties: {{Path: /works, Method: get}}}}}}
  Gem:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: ruby3.3
      InlineCode: "def handler(event:, context:) = {{statusCode: 200}}"
      Events: {{Get: {{Type: Api, Properties: {{Path: /gem, Method: get}}}}}}
"""


@pytest.mark.parametrize(
    ("statuses", "hint"),
    [
        ({401: 9}, "--header 'authorization=...'"),
        ({403: 9}, "--request 'GET /path'"),
        ({404: 5, 403: 4}, "--request 'GET /path'"),
        ({500: 9}, "`lab logs shop-pay`"),
        ({400: 9}, "`expect` of a request"),
        ({403: 8, 400: 1}, "`expect` of a request"),
        ({}, "`expect` of a request"),
    ],
    ids=str,
)
def test_a_load_that_failed_altogether_leads_to_the_likely_reason(statuses: dict[int, int], hint: str) -> None:
    function = DeployedFunction("Pay", "shop-pay", "/aws/lambda/shop-pay", 128, 3, "python3.12", "x86_64")
    assert hint in why_none(statuses, [function])


def test_a_function_that_cannot_run_here_is_deployed_and_said_to_fail_and_a_load_of_it_is_an_error(lab: Lab) -> None:
    """The rest of its stack is worth looking at; what is sent to it alone measures nothing."""
    (lab.directory / "template.yaml").write_text(MIXED)
    deployed = lab("deploy")
    (line,) = (line for line in deployed.err.splitlines() if line.startswith("warning: "))
    assert "-Gem-" in line and line.endswith("has no ruby3.3, it runs Python, Node.js and OS-only runtimes")
    assert sum("ruby3.3, which does not run here" in line for line in deployed.err.splitlines()) == 1
    by_id = {found["logical_id"]: found for found in lab("status", "--json").json["deployment"]["functions"]}
    assert by_id["Works"]["cannot_run"] is None and "no ruby3.3" in by_id["Gem"]["cannot_run"]

    answer = lab("invoke", "Gem", ok=False)
    assert answer.code == 1 and "Runtime.Unavailable" in answer.out

    scenario = lab.scenario()
    failed = lab("load", "--scenario", scenario, "--request", "GET /gem", ok=False)
    assert failed.code == 1
    assert failed.error.endswith("-quick: every request failed (40 x 502)")
    assert failed.hint.startswith("hint: ") and "-Gem-" in failed.hint and "no ruby3.3" in failed.hint
    assert failed.out.endswith("-quick\n"), "the run's folder all the same"

    lost = lab("load", "--scenario", scenario, "--request", "GET /nowhere", "--json", ok=False)
    assert lost.code == 1 and lost.json["failed"] == 40
    assert lost.error.endswith("every request failed (40 x 403)")
    assert "--request 'GET /path'" in lost.hint

    reported = lab("run", "--scenario", scenario, "--request", "GET /gem", ok=False)
    assert reported.code == 1 and "every request failed" in reported.error
    assert reported.out, "the report all the same"


def test_a_stack_none_of_whose_functions_runs_here_is_refused_before_an_emulator_is_started(lab: Lab) -> None:
    (lab.directory / "template.yaml").write_text(MIXED.replace(python_runtime(), "java21"))
    refused = lab.refused("deploy")
    assert "none of its functions runs on the embedded emulator" in refused.error
    assert "java21" in refused.error and "ruby3.3" in refused.error
    assert "--target localstack" in refused.hint
    assert not lab.state("emulator.json").exists()
