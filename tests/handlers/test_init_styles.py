"""What each init style does at import, in a fresh process as on Lambda."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import ModuleType

import pytest

from .conftest import HANDLERS, World

FOLDER = HANDLERS / "ingest_event"

REPORT = """
import json, sys, botocore.client
made, called = [], []
create, call = botocore.client.ClientCreator.create_client, botocore.client.BaseClient._make_api_call
def note_client(self, service_name, *rest, **named):
    made.append(service_name)
    return create(self, service_name, *rest, **named)
def note_call(self, operation_name, parameters):
    called.append(operation_name)
    return call(self, operation_name, parameters)
botocore.client.ClientCreator.create_client = note_client
botocore.client.BaseClient._make_api_call = note_call
import {style} as function
print(json.dumps(dict(made=made, called=called, yaml="yaml" in sys.modules, ping=function.handler(
    {{"source": "warming", "action": "ping"}}, None))))
"""


@pytest.mark.parametrize(
    ("style", "clients", "calls", "yaml"),
    [
        ("eager", ["dynamodb", "s3", "sqs", "ssm"], ["GetParameter"], True),
        ("lazy", ["dynamodb", "s3"], [], False),
    ],
)
def test_eager_prepares_everything_at_import_and_lazy_only_what_every_event_needs(
    style: str, clients: list[str], calls: list[str], yaml: bool, world: World
):
    """This difference is what the two styles are there to show; a warming ping adds nothing to either."""
    process = subprocess.run(
        [sys.executable, "-B", "-c", REPORT.format(style=style)],
        cwd=FOLDER,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(process.stdout) == {"made": clients, "called": calls, "yaml": yaml, "ping": {"warmed": True}}


def test_the_compiled_tracking_plan_is_the_one_in_the_source(ingest: dict[str, ModuleType]):
    """The lazy style reads the compiled file: stale, it would give other answers than the eager one."""
    plan = ingest["tracking_plan"]
    hint = "run: python handlers/ingest_event/tracking_plan.py"
    assert plan.COMPILED.read_text(encoding="utf-8") == plan.compile_plan(), hint
    assert plan.from_json() == plan.from_yaml()


def test_the_tracking_plan_uses_only_kinds_that_are_checked(ingest: dict[str, ModuleType]):
    """An unknown kind would silently be checked as text."""
    plan = ingest["tracking_plan"].from_json()
    kinds = {kind for entry in plan.values() for kind, _ in entry["properties"].values()}
    assert kinds == {"string", "number", "boolean"}
