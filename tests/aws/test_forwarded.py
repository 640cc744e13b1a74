"""The AWS path against an emulator: AwsTarget's own code, requests and signatures, with MiniStack in AWS's place."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from serverless_lab.deploy.destroy import destroy_stack
from serverless_lab.deploy.events import describe_stack
from serverless_lab.deploy.stack import Action, deploy_stack
from serverless_lab.deploy.verify import verify_stack
from serverless_lab.targets.aws import AwsTarget
from tests.aws.hooks import Forwarder
from tests.conftest import SAMPLES

HELLO = SAMPLES / "hello" / "template.yaml"


def test_a_stack_deploys_changes_and_goes(
    on_aws: Callable[..., AwsTarget], forwarder: Forwarder, tmp_path: Path, at_once: None
) -> None:
    target = on_aws(forwarder)
    name = f"lab-{uuid.uuid4().hex[:8]}"
    arguments: dict[str, Any] = {"template_path": HELLO, "stack_name": name, "build_directory": tmp_path}
    first = deploy_stack(target, parameters={}, **arguments)
    assert first.action is Action.CREATED
    assert verify_stack(target, template_path=HELLO, stack_name=name, parameters=first.parameters) == ()
    assert deploy_stack(target, parameters={}, **arguments).action is Action.UNCHANGED
    assert deploy_stack(target, parameters={"Greeting": "moin"}, **arguments).action is Action.UPDATED
    removal = destroy_stack(target, name)
    assert removal.artifacts == 1
    assert describe_stack(target.client("cloudformation"), name) is None
    hosts = {request.host for request in forwarder.requests}
    assert all(host.endswith(".amazonaws.com") for host in hosts), hosts
