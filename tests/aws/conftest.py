"""An `AwsTarget` with nobody's credentials, whose requests stay on this machine."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serverless_lab.cli.main import main
from serverless_lab.targets.aws import AwsTarget
from tests.aws.hooks import Forwarder, Hooks

REGION = "eu-west-1"
ACCESS_KEY_ID = "AKIDNOBODYSKEY000000"
SECRET_ACCESS_KEY = "nobodys-secret-0123456789abcdefghijklmnop"
SESSION_TOKEN = "nobodys-token-9876543210"

Command = Callable[..., tuple[int, str, str]]
"""`command("deploy", ...)` in an empty directory: exit code, stdout, stderr."""


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """In the environment, recognisable, and of no account."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    found = {
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_SESSION_TOKEN": SESSION_TOKEN,
    }
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def on_aws(credentials: dict[str, str]) -> Callable[..., AwsTarget]:
    """`on_aws(hooks)` is an AwsTarget that those hooks answer."""

    def make(hooks: Hooks, region: str = REGION) -> AwsTarget:
        target = AwsTarget(profile=None, region=region, environment={})
        hooks.attach(target.session())
        return target

    return make


@pytest.fixture
def forwarder(ministack: str) -> Forwarder:
    return Forwarder(endpoint=ministack)


@pytest.fixture
def command(
    credentials: dict[str, str],
    forwarder: Forwarder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    at_once: None,
) -> Command:
    """`command("deploy", ...)` in an empty directory: exit code, stdout, stderr."""
    made = AwsTarget.__init__

    def hooked(self: AwsTarget, **options: Any) -> None:
        made(self, **options)
        forwarder.attach(self.session())

    monkeypatch.setattr(AwsTarget, "__init__", hooked)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["lab", *words])
        code = main()
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits between two looks at a stack."""
    from serverless_lab.deploy import destroy, events, stack, verify

    def patience(target: Any, sleep: Any = None) -> events.Patience:
        return events.Patience(first_s=0, longest_s=0, limit_s=60, sleep=lambda seconds: None)

    for module in (destroy, stack, verify):
        monkeypatch.setattr(module, "patience_for", patience)
