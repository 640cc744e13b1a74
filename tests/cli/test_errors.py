"""Bad input: each error names the value and the way out, and leaves nothing behind."""

from __future__ import annotations

import json
import socket

import pytest

from tests.cli.conftest import HELLO, Lab

pytestmark = pytest.mark.process


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["load", "--scenario", "smooth"], "nothing is deployed", "lab deploy"),
        (["invoke", "ingest-event"], "nothing is deployed", "lab deploy"),
        (["logs", "ingest-event"], "nothing is deployed", "lab deploy"),
        (["destroy"], "nothing is deployed", "lab destroy NAME"),
        (["status", "--env"], "no emulator runs", "lab up"),
        (["coldstarts", "report"], "no run in", "lab load"),
        (["coldstarts", "report", "--run", "yesterday"], "no run `yesterday`", "none"),
        (["coldstarts", "report", "--bin", "wide"], "--bin `wide`", "10s"),
        (["coldstarts", "watch"], "nothing is deployed", "lab deploy"),
        (["coldstarts", "watch", "--run", "yesterday"], "no run `yesterday`", "none"),
        (["coldstarts", "watch", "--interval", "often"], "--interval `often`", "5s"),
        (["load", "--scenario", "smoth"], "no scenario `smoth`", "smooth"),
        (["load", "--scenario", "./mine.yaml"], "no scenario file `./mine.yaml`", "smooth"),
        (["deploy", "--template", "mine.yaml"], "mine.yaml", "--template"),
        (["deploy", "--parameter", "InitStyle"], "`InitStyle` is not NAME=VALUE", "InitStyle=lazy"),
        (["deploy", "--parameter", "=lazy"], "`=lazy` is not NAME=VALUE", "InitStyle=lazy"),
        (["deploy", "--parameter", "Init=lazy"], "no parameter `Init`", "InitStyle"),
        (["deploy", "--parameter", "InitStyle=slow"], "`InitStyle` cannot be `slow`", "lazy"),
        (["deploy", "--target", "azure"], "no target `azure`", "localstack"),
        (["deploy", "--profile", "me"], "takes no AWS profile", "aws"),
        (["deploy", "--region", "eu-west-1"], "eu-west-1", "region"),
        (["run", "--scenario", "smoth"], "no scenario `smoth`", "smooth"),
        (["doctor", "--target", "azure"], "no target `azure`", "localstack"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_said_with_a_way_out_and_starts_nothing(
    lab: Lab, words: list[str], error: str, hint: str
) -> None:
    answer = lab.refused(*words)
    assert error in answer.error
    assert hint in answer.hint
    for name in ("deployment.json", "emulator.json", "runs", "build"):
        assert not lab.state(name).exists()


def test_broken_yaml_is_named_with_file_and_line(lab: Lab) -> None:
    broken = lab.scenario("name: broken\nphases: [\n", "broken.yaml")
    assert "broken.yaml:" in lab.refused("load", "--scenario", broken, "--url", "http://127.0.0.1:9").error
    (lab.directory / "template.yaml").write_text("Resources:\n  A: [\n")
    assert "template.yaml" in lab.refused("deploy").error
    assert not lab.state("runs").exists()
    assert not lab.state("emulator.json").exists()


def test_a_port_in_use_is_refused_and_the_next_start_works(lab: Lab) -> None:
    """Writing into somebody else's emulator would be worse than not starting."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = lab.refused("up", "--port", str(port))
        assert f"port {port}" in answer.error
        assert "--port" in answer.hint
        assert not lab.state("emulator.json").exists()
    assert lab("up", "--port", str(port), "--json").json["port"] == port
    assert "runs on port" in lab.refused("up", "--port", str(port + 1)).error
    assert "--seed" in lab.refused("up", "--seed", "3").error
    assert lab("up", "--idle-lifetime", "600", "--json").json["started"] is False


def test_a_request_that_cannot_be_sent_leaves_no_run(lab: Lab) -> None:
    nobody = ["--scenario", "smooth", "--url", "http://127.0.0.1:9"]
    assert "cannot be reached" in lab.refused("load", *nobody).error
    assert "not a request" in lab.refused("load", *nobody, "--request", "hello").error
    assert "URL" in lab.refused("load", "--scenario", "smooth", "--url", "nowhere").error
    assert list(lab.state("runs").glob("*")) == []


def test_files_of_lab_that_are_broken_are_named_with_what_to_do(lab: Lab) -> None:
    lab.state("").mkdir()
    lab.state("deployment.json").write_text('{"target": "local"')
    assert "deployment.json is not JSON" in lab.refused("status").error
    lab.state("deployment.json").write_text('{"target": "local", "functions": [], "from_the_future": 1}')
    assert "rm " in lab.refused("load", "--scenario", "smooth").hint


def test_a_directory_that_cannot_hold_lab_is_an_error_not_a_bug(lab: Lab) -> None:
    lab.state("").write_text("somebody else's file")
    assert ".lab" in lab.refused("up").error
    assert ".lab" in lab.refused("deploy").error


def test_a_directory_that_is_gone_is_an_error_not_a_bug(lab: Lab) -> None:
    script = f'rmdir "$PWD"; exec {" ".join(lab.command)} status'
    gone = Lab(lab.directory / "gone", command=("sh", "-c", script))
    gone.directory.mkdir()
    assert "does not exist any more" in gone.refused().error


def test_a_template_that_moved_is_not_replaced_by_another(lab: Lab) -> None:
    """Taking the bundled one instead would turn the user's stack into something else."""
    template = lab.directory / "moved" / "template.yaml"
    template.parent.mkdir()
    template.write_text(HELLO.read_text().replace("CodeUri: hello/", f"CodeUri: {HELLO.parent}/hello/"))
    before = lab("deploy", "--template", "moved/template.yaml", "--json").json
    template.rename(lab.directory / "moved" / "other.yaml")
    answer = lab.refused("deploy")
    assert "moved/template.yaml" in answer.error
    assert "--template" in answer.hint
    assert json.loads(lab.state("deployment.json").read_text())["deployed_at"] == before["deployed_at"]


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["invoke", "nobody"], "no function `nobody`", "ingest-event"),
        (["logs", "nobody"], "no function `nobody`", "ingest-event"),
        (["invoke", "ingest-event", "--event", "{"], "--event is not JSON", "--event"),
        (["invoke", "ingest-event", "--event", "event.json"], "--event is not JSON", "--event @event.json"),
        (["invoke", "ingest-event", "--event", "NaN"], "NaN", "--event"),
        (["invoke", "ingest-event", "--event", "@nofile"], "nofile", "@"),
        (["invoke", "ingest-event", "--event", "@."], "directory", "@"),
        (["invoke", "ingest-event", "--event", "@/bin/sh"], "--event", "UTF-8"),
        (["logs", "ingest-event", "--since", "monday"], "--since `monday`", "10m"),
        (["coldstarts", "report", "--run", "yesterday"], "no run `yesterday`", "newest runs"),
        (["coldstarts", "report", "--bin", "0s"], "--bin `0s`", "10s"),
        (["deploy", "--stack", "not a name"], "not a name", ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_a_deployment_does_not_have_is_said_with_what_it_has(
    deployed: Lab, words: list[str], error: str, hint: str
) -> None:
    before = deployed.state("deployment.json").read_text()
    answer = deployed.refused(*words)
    assert error in answer.error
    assert hint in answer.hint
    assert deployed.state("deployment.json").read_text() == before
