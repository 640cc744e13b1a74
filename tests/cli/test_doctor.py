"""`lab doctor` tells what is there, what is not, and what to do."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from serverless_lab.cli import deploy, doctor
from serverless_lab.cli.memory import available_mb
from serverless_lab.emulator import control, runtimes
from serverless_lab.emulator.runtimes import Interpreter, own_python
from serverless_lab.project import DeployedFunction, Deployment, Project
from tests.cli.conftest import Answer, Lab
from tests.conftest import free_port

pytestmark = pytest.mark.process


def states(answer: Answer, target: str) -> dict[str, str]:
    return {item["subject"]: item["state"] for item in answer.json["findings"] if item["target"] == target}


def test_the_embedded_target_is_usable_here_and_the_emulator_is_seen(lab: Lab) -> None:
    before = lab("doctor", "--target", "local", "--json")
    assert before.json["usable"] is True
    assert set(states(before, "local")) == {
        "Python",
        "system",
        "runtimes",
        "private /tmp",
        "run queue",
        "memory",
        "emulator",
    }
    assert "not running" in lab("doctor").out
    lab("up", "--json")
    told = lab("doctor").out
    assert "runs on 127.0.0.1:" in told
    assert "free" in told


def test_what_keeps_functions_from_running_as_on_aws_is_told_with_the_variable_that_helps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = Interpreter(Path("/opt/python3.12"), (3, 12, 1), is_optimized=False)
    monkeypatch.setattr(runtimes, "available", lambda environment: {"python3.11": own_python(), "python3.12": plain})
    (found,) = doctor._runtimes()
    assert "python3.12 (3.12.1, not optimised)" in found.text
    assert found.hint is not None
    assert "functions of python3.13 run on another version: install it, or name it in LAB_PYTHON_3_13" in found.hint
    assert re.search(r"inits of (python3\.11, )?python3\.12 take .* LAB_PYTHON_3_12", found.hint)


def test_a_localstack_that_does_not_answer_is_unusable_and_the_address_is_told(lab: Lab) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    answer = lab("doctor", "--target", "localstack", "--json", ok=False, AWS_ENDPOINT_URL=nobody)
    assert answer.code == 1
    assert answer.json["usable"] is False
    [finding] = answer.json["findings"]
    assert nobody in finding["text"]
    assert "AWS_ENDPOINT_URL" in finding["hint"]
    # Without --target it is told, and the embedded target decides.
    assert lab("doctor", "--json", AWS_ENDPOINT_URL=nobody).json["usable"] is True


def test_where_functions_cannot_have_a_view_of_their_own_doctor_says_so(lab: Lab, short_tmp: Path) -> None:
    """A cache below /tmp would vanish under an environment's own /tmp, so there is none, and no /var/task either."""
    lab.variables["XDG_CACHE_HOME"] = str(short_tmp)
    [finding] = (item for item in lab("doctor", "--json").json["findings"] if item["subject"] == "private /tmp")
    assert finding["state"] == "warning"
    assert f"lab's cache is itself below /tmp ({short_tmp}" in finding["text"]
    assert "/var/task" in finding["text"] and "XDG_CACHE_HOME" in finding["hint"]


@pytest.mark.parametrize(("private", "told"), [(False, 1), (True, 0)])
def test_deploy_says_where_functions_do_not_find_their_code_where_aws_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, private: bool, told: int
) -> None:
    monkeypatch.setattr(control, "status", lambda project: {"private_tmp": private})
    own = DeployedFunction("Own", "shop-own", "/aws/lambda/shop-own", 128, 3, "provided.al2023", "x86_64")
    place = {"region": "us-east-1", "account_id": "0" * 12, "template": "", "deployed_at": "", "functions": (own,)}
    shop = Deployment("local", "shop", parameters={}, outputs={}, **place)
    notes = deploy._with_runtimes(Project(tmp_path), shop).notes
    assert sum("not at /var/task" in note and "`lab doctor` says why" in note for note in notes) == told


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A folder below /tmp, wherever pytest has its own."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="lab-cache-") as folder:
        yield Path(folder)


def test_a_standalone_ministack_is_told_from_a_localstack(lab: Lab, ministack: str) -> None:
    answer = lab("doctor", "--target", "localstack", AWS_ENDPOINT_URL=ministack)
    assert f"MiniStack 1.5.33 at {ministack}" in answer.out
    assert "no Init Duration" in answer.out
    assert "`lab deploy` adds a module to each function that tells cold starts" in answer.out
    assert "MiniStack's own interpreter whatever their Runtime says" in answer.out


def test_something_else_at_that_address_is_no_localstack(lab: Lab) -> None:
    port = lab("up", "--json").json["port"]
    answer = lab("doctor", "--target", "localstack", "--json", ok=False, AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}/x")
    assert answer.json["usable"] is False
    # As in a shell that `lab status --env` was evaluated in, for the AWS CLI.
    [finding] = lab("doctor", "--target", "localstack", "--json", AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}").json[
        "findings"
    ]
    assert finding["state"] == "warning" and "lab's own emulator answers" in finding["text"]
    assert "unset AWS_ENDPOINT_URL" in finding["hint"]


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({}, "no region is configured"),
        ({"AWS_REGION": "eu-central-1"}, "Unable to locate credentials"),
        ({"AWS_REGION": "eu-central-1", "AWS_PROFILE": "nobody"}, "nobody"),
        ({"AWS_REGION": "eu-central-1", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}, "which is not AWS"),
    ],
    ids=["no region", "no credentials", "no such profile", "endpoint override"],
)
def test_an_aws_account_that_is_not_configured_is_unusable(lab: Lab, variables: dict[str, str], text: str) -> None:
    answer = lab("doctor", "--target", "aws", "--json", ok=False, **variables)
    assert answer.code == 1
    assert text in " ".join(item["text"] for item in answer.json["findings"])
    assert all(item["hint"] for item in answer.json["findings"] if item["state"] == "unusable")


def test_a_containers_memory_limit_counts_when_it_is_less_than_the_machine_has(tmp_path: Path) -> None:
    """A container is killed at its own limit, whatever the machine has free."""
    limits = tmp_path / "cgroup"
    group = limits / "docker" / "abc"
    group.mkdir(parents=True)
    own = tmp_path / "own"
    own.write_text("0::/docker/abc\n")
    free_mb = available_mb(limits, own)
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("0\n")
    (group / "memory.stat").write_text("anon 5\ninactive_file 0\n")
    assert available_mb(limits, own) == pytest.approx(free_mb, rel=0.5)
    mb = 1024 * 1024
    (limits / "docker" / "memory.max").write_text(f"{100 * mb}\n")
    (limits / "docker" / "memory.current").write_text(f"{70 * mb}\n")
    (limits / "docker" / "memory.stat").write_text(f"anon 5\ninactive_file {10 * mb}\n")
    assert available_mb(limits, own) == 40
