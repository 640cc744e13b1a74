"""Provisioned concurrency through all three commands: fewer callers wait, by as many as there are environments."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Lab

PROVISIONED = 3
BURST = 5

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
  - request: POST /events
    body:
      userId: ana
      eventType: click
      timestamp: {{$now: iso}}
"""

pytestmark = [pytest.mark.end_to_end, pytest.mark.process, pytest.mark.timeout(300)]


def test_a_burst_finds_the_provisioned_environments_and_spills_over(tmp_path):
    """`lab deploy` waits until they are ready; the report tells their first invocations from cold starts."""
    lab = Lab(tmp_path)
    try:
        parameters = ("--parameter", f"ProvisionedConcurrency={PROVISIONED}", "--parameter", "InitStyle=lazy")
        deployed = lab("deploy", *parameters, "--json")
        assert "provisioned" not in deployed.err
        assert not [note for note in deployed.json["notes"] if "provisioned" in note]
        lab("load", "--scenario", lab.scenario(SCENARIO, "burst.yaml"), "--json")
        report = lab("coldstarts", "report", "--json").json
        [ingest] = [item for item in report["functions"] if item["function"].endswith("-ingest-event")]
        assert ingest["kinds"] == {"provisioned": PROVISIONED, "cold": BURST - PROVISIONED}
        assert report["client"]["cold_starts"]["count"] == BURST - PROVISIONED
        again = lab("deploy", "--parameter", "InitStyle=lazy", "--json").json
        assert not [note for note in again["notes"] if "provisioned" in note]
        environments = lab("status", "--json").json["emulator"]["environments"]
        [left] = [states for name, states in environments.items() if name.endswith("-ingest-event")]
        assert left["ready"] == BURST - PROVISIONED, "the update took the provisioned ones away"
    finally:
        lab.end()
