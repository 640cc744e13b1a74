"""The commands on a target that lab did not start: a standalone MiniStack, as LocalStack's tools would find it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from serverless_lab.cli.context import check_account
from serverless_lab.errors import BadInput
from serverless_lab.project import Deployment
from tests.cli.conftest import HELLO, Lab
from tests.conftest import MiniStackProcess, free_port

pytestmark = pytest.mark.process


@pytest.fixture
def own_ministack(tmp_path: Path) -> Iterator[MiniStackProcess]:
    """A MiniStack that a test may stop."""
    process = MiniStackProcess(tmp_path)
    process.wait_until_ready()
    yield process
    process.stop()


def test_the_main_job_works_on_a_standalone_ministack_and_says_what_it_cannot_tell(
    lab: Lab, own_ministack: MiniStackProcess
) -> None:
    where = {"AWS_ENDPOINT_URL": own_ministack.endpoint}
    words = [
        "deploy",
        "--target",
        "localstack",
        "--stack",
        "elsewhere",
        "--template",
        str(HELLO),
        "--json",
        "--no-wrap",
    ]
    deployment = lab(*words, **where).json
    assert deployment["endpoint_url"] == own_ministack.endpoint

    # The address is remembered: the other commands, and a repeated deployment, find the stack without it.
    sent = lab("load", "--scenario", lab.scenario(), "--request", "GET /hello", "--json").json
    assert sent["succeeded"] == 40
    report = lab("coldstarts", "report", "--json").json
    assert report["total"]["invocations"] == 40
    assert report["total"]["cold_starts"]["rate"] is None
    assert lab("invoke", "HelloFunction").json["statusCode"] == 200
    assert "REPORT" in lab("logs", "HelloFunction").out
    assert lab("deploy", "--json", "--no-wrap").json["changed"] is False

    # A wrong address set later does not send commands about this deployment elsewhere.
    other = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"}
    assert lab("invoke", "HelloFunction", **other).json["statusCode"] == 200

    own_ministack.stop()
    for refused in (["invoke", "HelloFunction"], ["load", "--scenario", "smooth"], ["destroy"], ["deploy"]):
        answer = lab.refused(*refused)
        assert own_ministack.endpoint in answer.error
        assert "LocalStack" in answer.hint
    assert lab("coldstarts", "report", "--json").json["source"] == "file"


def test_credentials_of_another_account_are_refused() -> None:
    """`lab destroy` under the wrong profile would delete another account's stack of the same name."""
    deployment = Deployment(
        target="aws",
        stack_name="shop",
        region="eu-central-1",
        account_id="111111111111",
        template="template.yaml",
        deployed_at=datetime(2026, 1, 1).isoformat(),
        parameters={},
        outputs={},
        functions=(),
    )
    check_account(deployment, "111111111111")
    with pytest.raises(BadInput, match="account 111111111111") as refusal:
        check_account(deployment, "222222222222")
    assert "--profile" in str(refusal.value.hint)
