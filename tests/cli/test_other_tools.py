"""`lab deploy --template` takes what other tools wrote: a CDK app's `cdk.out`, a SAM application's `.aws-sam/build`."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Lab
from tests.conftest import SAMPLES

pytestmark = pytest.mark.process

CDK = SAMPLES / "cdk" / "cdk.out"
SAM = SAMPLES / "sam" / ".aws-sam"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One emulator for this module's deployments."""
    made = Lab(tmp_path_factory.mktemp("tools"))
    made("up")
    yield made
    made.end()


def body_of(url: str) -> dict[str, object]:
    with urllib.request.urlopen(url, timeout=60) as answer:
        found: dict[str, object] = json.loads(answer.read())
    return found


def test_a_synthesised_cdk_app_deploys_with_its_assets_and_without_bootstrapping(running: Lab) -> None:
    deployment = running("deploy", "--template", str(CDK), "--stack", "Shop", "--json").json
    assert deployment["stack_name"] == "Shop"
    assert not any("the template says" in note for note in deployment["notes"])
    assert Path(deployment["template"]) == CDK / "Shop.template.json"
    answer = body_of(deployment["api_url"] + "/")
    assert answer["message"] == "hello, please", "the layer and the parameter"
    assert answer["prices"] == {"tea": 3}, "a file of the app's own, found in lab's bucket"
    [function] = deployment["functions"]
    assert (function["alias"], function["memory_size_mb"], function["timeout_s"]) == ("live", 256, 10)

    changed = running("deploy", "--parameter", "Greeting=moin", "--json").json
    assert changed["changed"] is True
    assert running("deploy", "--parameter", "Greeting=moin", "--json").json["changed"] is False
    event = json.dumps({"Records": [1, 2]})
    assert running("invoke", "OrderFunction", "--event", event).json == {"paid": 2}

    gone = running("destroy", "--json").json
    assert gone["artifacts"] == 3


def test_a_built_sam_application_deploys_as_it_was_built(running: Lab) -> None:
    """Its dependencies are in its folders already, its layer below `python/`: nothing may be installed again."""
    deployment = running("deploy", "--template", str(SAM), "--stack", "hello", "--json").json
    assert not any("is not in" in note or "BuildMethod" in note for note in deployment["notes"])
    assert Path(deployment["template"]) == SAM / "build" / "template.yaml"
    assert body_of(f"{deployment['api_url']}/hello") == {"message": "HELLO"}
    assert running("invoke", "OtherFunction").json == "bye"
    assert not running.state("build/dependencies").exists()
    assert running("deploy", "--template", str(SAM / "build"), "--json").json["changed"] is False


def test_an_app_with_several_stacks_asks_which_one(running: Lab) -> None:
    answer = running.refused("deploy", "--template", str(CDK))
    assert "2 stacks: Shop, Other" in answer.error
    assert "--stack Shop" in answer.hint
