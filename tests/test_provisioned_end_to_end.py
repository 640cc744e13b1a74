"""Provisioned concurrency through all three commands: fewer callers wait, by as many as there are environments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Lab

PROVISIONED = 3
BURST = 5

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  Kept:
    Type: String
    Default: '0'
Conditions:
  HasKept: !Not [!Equals [!Ref Kept, '0']]
Resources:
  Shop:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: code/
      Handler: app.handler
      Runtime: python3.12
      MemorySize: 512
      AutoPublishAlias: live
      ProvisionedConcurrencyConfig: !If
        - HasKept
        - ProvisionedConcurrentExecutions: !Ref Kept
        - !Ref AWS::NoValue
      Events:
        Get:
          Type: Api
          Properties:
            Path: /shop
            Method: GET
"""
SCENARIO = f"""
name: burst
description: all at the same instant
seed: 7
client_timeout: 60s
phases:
  - name: burst
    law: burst
    count: {BURST}
mix:
  - request: GET /shop
"""

pytestmark = [pytest.mark.end_to_end, pytest.mark.process, pytest.mark.timeout(300)]


def deploy(lab: Lab, template: Path, kept: int) -> dict[str, Any]:
    answer = lab("deploy", "--template", str(template), "--parameter", f"Kept={kept}", "--json")
    assert "keeps no environment ready" not in answer.err
    found: dict[str, Any] = answer.json
    assert not [note for note in found["notes"] if "provisioned" in note]
    return found


def test_a_burst_finds_the_provisioned_environments_and_spills_over(tmp_path: Path):
    """`lab deploy` waits until they are ready; the report tells their first invocations from cold starts."""
    template = tmp_path / "template.yaml"
    template.write_text(TEMPLATE)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "app.py").write_text("def handler(event, context):\n    return {'statusCode': 200}\n")
    lab = Lab(tmp_path)
    try:
        deploy(lab, template, PROVISIONED)
        lab("load", "--scenario", lab.scenario(SCENARIO, "burst.yaml"), "--json")
        report = lab("coldstarts", "report", "--json").json
        [shop] = report["functions"]
        assert {kind: count for kind, count in shop["kinds"].items() if count} == {
            "provisioned": PROVISIONED,
            "cold": BURST - PROVISIONED,
        }
        assert report["client"]["cold_starts"]["count"] == BURST - PROVISIONED
    finally:
        lab.end()
