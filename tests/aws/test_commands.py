"""The commands with `--target aws`, MiniStack in AWS's place: what they show, ask, remember, and never write down."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path

import pytest

from tests.aws.conftest import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, SESSION_TOKEN, Command
from tests.aws.hooks import Forwarder
from tests.conftest import SAMPLES

HELLO = str(SAMPLES / "hello" / "template.yaml")
PROFILE_SECRET = "profiles-secret-abcdefghijklmnopqrstuvwxyz"
CREDENTIALS = (ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN, PROFILE_SECRET)


def test_an_account_is_changed_only_when_that_was_agreed_to(
    command: Command, forwarder: Forwarder, tmp_path: Path
) -> None:
    code, out, err = command("deploy", "--target", "aws", "--region", REGION, "--template", HELLO)
    assert (code, out) == (1, "")
    assert f"AWS account 000000000000, region {REGION}, profile default: deploy stack lab-work" in err
    assert "hint: add --yes" in err
    assert forwarder.names() == ["sts.GetCallerIdentity"], "asking who one is changes nothing"
    assert not (tmp_path / "work" / ".lab" / "deployment.json").exists()


def test_a_comparison_shows_the_bill_of_all_its_runs_before_it_asks(command: Command, forwarder: Forwarder) -> None:
    """It deploys, sends and deletes again and again: that is the command to be asked about."""
    Path("variants.yaml").write_text("variants: [{name: hello}, {name: moin, parameters: {Greeting: moin}}]\n")
    words = ["--scenario", "smooth", "--variants", "variants.yaml", "--template", HELLO, "--repeat", "2"]
    where = ["--target", "aws", "--region", REGION]
    code, out, err = command("compare", *words, *where)
    assert (code, out) == (1, "")
    asked = next(line for line in err.splitlines() if line.startswith("AWS account"))
    assert (
        f"000000000000, region {REGION}, profile default: deploy and delete stack lab-compare-smooth 4 times" in asked
    )
    assert re.search(r"estimated bill: \$\d.* to \$\d.* \(list prices of eu-west-1", err)
    assert "hint: add --yes" in err
    code, out, err = command("compare", *words, *where, "--max-cost", "0.0001", "--yes")
    assert code == 1
    assert "4 runs may cost up to" in err
    assert "nothing was deployed" in err
    assert set(forwarder.names()) == {"sts.GetCallerIdentity"}


def test_no_credential_is_in_any_output_or_file(
    command: Command,
    forwarder: Forwarder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`.lab` is copied, committed by mistake and attached to bug reports."""
    config = tmp_path / "config"
    config.write_text(
        f"[profile shop]\nregion = {REGION}\naws_access_key_id = {ACCESS_KEY_ID}\n"
        f"aws_secret_access_key = {PROFILE_SECRET}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    stack = f"lab-{uuid.uuid4().hex[:8]}"
    words = ["--target", "aws", "--profile", "shop", "--yes"]
    shown = []
    for line in (
        ["deploy", *words, "--stack", stack, "--template", HELLO],
        ["deploy", *words, "--json"],
        ["status"],
        ["invoke", "HelloFunction", "--profile", "shop", "--event", "{}"],
        ["logs", "HelloFunction", "--profile", "shop"],
        ["doctor", "--target", "aws", "--profile", "shop", "--json"],
        ["load", "--scenario", "smooth", "--profile", "shop"],
        ["invoke", "NoFunction", "--profile", "shop"],
        ["destroy", "--profile", "shop", "--yes"],
    ):
        code, out, err = command(*line)
        shown += [out, err]
        expected_to_fail = line[0] in ("load",) or "NoFunction" in line
        assert line[0] == "doctor" or bool(code) is expected_to_fail, (line, out, err)
    assert json.loads(shown[2])["account_id"] == "000000000000"
    assert any(ACCESS_KEY_ID in request.headers["Authorization"] for request in forwarder.requests), "they were used"
    written = "\n".join(shown)
    for path in (tmp_path / "work").rglob("*"):
        if path.is_file():
            written += path.read_bytes().decode("latin-1")
    assert "HelloFunction" in written
    for secret in CREDENTIALS:
        assert secret not in written
