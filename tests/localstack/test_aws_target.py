"""The AWS target's own code, requests and signatures, the real LocalStack in AWS's place.

MiniStack is in tests/aws: what one of them takes, the other may refuse.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from serverless_lab.coldstarts.sources import read_cloudwatch_logs
from serverless_lab.deploy.destroy import destroy_stack
from serverless_lab.deploy.events import describe_stack
from serverless_lab.deploy.inventory import describe_deployment
from serverless_lab.deploy.stack import Action, deploy_stack
from serverless_lab.deploy.verify import verify_stack
from serverless_lab.targets.aws import AwsTarget
from serverless_lab.targets.permissions import EMULATORS_ONLY, lab_policy
from tests.aws.conftest import at_once, credentials, on_aws
from tests.aws.hooks import Forwarder
from tests.aws.policy import refused
from tests.conftest import SAMPLES
from tests.localstack.control_plane import LocalStack

__all__ = ["at_once", "credentials", "on_aws"]

pytestmark = [pytest.mark.localstack, pytest.mark.timeout(900)]

HELLO = SAMPLES / "hello" / "template.yaml"


def test_a_stack_is_deployed_invoked_read_and_destroyed(
    on_aws: Callable[..., AwsTarget],
    localstack: LocalStack,
    tmp_path: Path,
    at_once: None,
) -> None:
    forwarder = Forwarder(endpoint=localstack.endpoint)
    target = on_aws(forwarder)
    name = f"lab-{uuid.uuid4().hex[:8]}"
    where: dict[str, Any] = {"template_path": HELLO, "stack_name": name}
    result = deploy_stack(target, parameters={}, build_directory=tmp_path, **where)
    assert result.action is Action.CREATED
    assert verify_stack(target, parameters=result.parameters, **where) == ()
    deployment = describe_deployment(target, parameters=result.parameters, now=datetime.now(UTC), **where)
    (function,) = deployment.functions
    answer = target.client("lambda").invoke(FunctionName=function.name)
    assert answer["StatusCode"] == 200
    read = read_cloudwatch_logs(target.client("logs"), [function.log_group], 0, 2**42, expected_reports=1)
    assert read.unreported == 0
    removal = destroy_stack(target, name)
    assert removal.artifacts == 1
    assert describe_stack(target.client("cloudformation"), name) is None
    assert all(request.host.endswith(".amazonaws.com") for request in forwarder.requests)
    account = deployment.account_id
    problems = {text for seen in forwarder.requests for text in refused(lab_policy(), seen, account, target.region)}
    assert problems == set()
    assert not {(seen.service, seen.operation) for seen in forwarder.requests} & set(EMULATORS_ONLY)
