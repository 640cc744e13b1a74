"""A target on the shared MiniStack, a stack name of its own for each test, and a sample that may be changed."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serverless_lab.deploy.destroy import destroy_stack
from serverless_lab.deploy.events import StackEvent
from serverless_lab.deploy.stack import DeployResult, deploy_stack
from serverless_lab.targets import Target, resolve_target
from tests.conftest import SAMPLES


@pytest.fixture
def target(ministack: str) -> Target:
    return resolve_target("localstack", environment={"AWS_ENDPOINT_URL": ministack})


@pytest.fixture
def stack_name(target: Target) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield name
    destroy_stack(target, name)


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    """The template of a copy of the sample, free to be changed."""
    shutil.copytree(SAMPLES / "hello", tmp_path / "hello-sample")
    return tmp_path / "hello-sample" / "template.yaml"


class Story(list[StackEvent]):
    """The events of a deployment, as they were told."""

    def statuses(self, logical_id: str) -> list[str]:
        return [event.status for event in self if event.logical_id == logical_id]


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def deploy(target: Target, stack_name: str, tmp_path: Path, story: Story) -> Callable[..., DeployResult]:
    def run(template: Path, **parameters: str) -> DeployResult:
        return deploy_stack(
            target,
            template_path=template,
            stack_name=stack_name,
            parameters=parameters,
            build_directory=tmp_path / "build",
            on_event=story.append,
        )

    return run
