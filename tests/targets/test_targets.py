"""Which place a name means, and what can never redirect it."""

from __future__ import annotations

import http.server
import json
import socket
import ssl
import threading
import urllib.error
from collections.abc import Iterator

import pytest
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

from serverless_lab.errors import BadInput, EmulatorError, TargetBusy, TargetError
from serverless_lab.targets import clients, localstack, resolve_target
from serverless_lab.targets.clients import sign_in_hint
from serverless_lab.targets.localstack import localstack_endpoint
from tests.conftest import free_port

NO_AWS = {"AWS_ACCESS_KEY_ID": "user", "AWS_SECRET_ACCESS_KEY": "user", "AWS_CONFIG_FILE": "/dev/null"}


class StatusHandler(http.server.BaseHTTPRequestHandler):
    """Answers `/_lab/status` as the embedded emulator does."""

    def do_GET(self) -> None:
        found = self.path == "/_lab/status"
        body = json.dumps({"instance_id": "4be1", "port": 1, "pid": 2}).encode() if found else b"{}"
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def status_server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), StatusHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_unknown_target_is_answered_with_the_list():
    with pytest.raises(BadInput) as caught:
        resolve_target("azure")
    assert caught.value.hint == "targets: local, localstack, aws"


def test_local_without_a_running_emulator_says_how_to_start_it():
    with pytest.raises(EmulatorError) as caught:
        resolve_target("local")
    assert "lab up" in (caught.value.hint or "")


def test_local_tells_one_lifetime_of_the_emulator_from_the_next(status_server):
    assert resolve_target("local", local_endpoint=status_server).instance_id() == "4be1"


def test_local_refuses_a_port_where_somebody_else_answers(ministack):
    """A deployment must not be written into an emulator that is not this directory's."""
    with pytest.raises(EmulatorError, match="is not lab's emulator"):
        resolve_target("local", local_endpoint=ministack).instance_id()


def test_local_says_that_nobody_answers(tmp_path):
    with pytest.raises(EmulatorError, match="no emulator answers") as caught:
        resolve_target(
            "local", local_endpoint=f"http://127.0.0.1:{free_port()}", emulator_log=tmp_path / "x.log"
        ).instance_id()
    assert "x.log" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "http://localhost:4566"),
        ({"LOCALSTACK_HOST": "box"}, "http://box:4566"),
        ({"LOCALSTACK_HOST": "box:99"}, "http://box:99"),
        ({"LOCALSTACK_HOST": "box", "USE_SSL": "1"}, "https://box:4566"),
        ({"LOCALSTACK_HOST": "box", "AWS_ENDPOINT_URL": "http://127.0.0.1:77"}, "http://127.0.0.1:77"),
    ],
)
def test_localstack_is_where_localstack_s_own_tools_look(environment, expected):
    assert localstack_endpoint(environment) == expected


@pytest.mark.parametrize("environment", [{"LOCALSTACK_HOST": "a:b"}, {"AWS_ENDPOINT_URL": "localhost:4566"}])
def test_an_address_that_is_none_is_refused(environment):
    with pytest.raises(TargetError):
        localstack_endpoint(environment)


def test_localstack_that_is_not_running_says_where_it_was_looked_for():
    target = resolve_target("localstack", environment={"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"})
    with pytest.raises(TargetError, match=r"127\.0\.0\.1"):
        target.instance_id()
    with pytest.raises(TargetError, match=r"127\.0\.0\.1"):
        target.account_id()


def test_an_emulator_that_is_busy_is_told_from_one_that_is_gone(monkeypatch):
    """It takes connections and answers later: whoever started it anew would lose its state."""
    monkeypatch.setattr(clients, "HTTP_TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TargetBusy, match="does not answer") as caught:
            resolve_target("localstack", environment={"AWS_ENDPOINT_URL": endpoint}).instance_id()
    assert "wait until it answers" in str(caught.value.hint)
    for problem in (ConnectTimeoutError(endpoint_url=endpoint), ReadTimeoutError(endpoint_url=endpoint)):
        with pytest.raises(TargetBusy), clients.target_errors("localstack", endpoint, "start it"):
            raise problem
        with pytest.raises(TargetError) as caught, clients.target_errors("aws", None, "check the network"):
            raise problem
        assert caught.value.hint == "check the network"


def test_the_user_s_aws_settings_do_not_reach_an_emulator(ministack, monkeypatch):
    """A profile that does not exist, or a proxy, must not break a local deployment."""
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{free_port()}")
    target = resolve_target("localstack", environment={"AWS_ENDPOINT_URL": ministack})
    assert target.account_id() == "000000000000"
    credentials = target.session().get_credentials()
    assert credentials is not None
    assert credentials.access_key == "test"


def test_a_standalone_ministack_promises_neither_init_durations_nor_streams(ministack):
    target = resolve_target("localstack", environment={"AWS_ENDPOINT_URL": ministack})
    assert target.instance_id() is None
    assert not target.capabilities.reports_init_duration
    assert not target.capabilities.one_log_stream_per_environment
    assert target.capabilities.updates_functions_in_place
    assert target.api_url("abc", "Prod") == f"{ministack}/_aws/execute-api/abc/Prod"


def test_localstack_is_asked_nothing_that_it_would_have_to_look_for():
    """A path that it does not know makes one that has just started load its services, for seconds."""
    asked = []

    class Information(StatusHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"session_id": "4be1"}')

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Information) as server:
        threading.Thread(target=server.serve_forever).start()
        where = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"}
        capabilities = resolve_target("localstack", environment=where).capabilities
        server.shutdown()
    assert asked == ["/_localstack/info"]
    assert capabilities.one_log_stream_per_environment
    assert not capabilities.updates_functions_in_place
    assert not capabilities.skips_absent_resources


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_aws_refuses_an_endpoint_override(name):
    """Whoever says `--target aws` expects AWS, and a bill; an emulator would answer without either."""
    with pytest.raises(TargetError, match=f"{name} is http://localhost:4566"):
        resolve_target("aws", region="eu-west-1", environment={**NO_AWS, name: "http://localhost:4566"})


def test_aws_refuses_an_override_in_the_profile(tmp_path, monkeypatch):
    config = tmp_path / "config"
    config.write_text("[profile dev]\nregion = eu-west-1\nendpoint_url = http://localhost:4566\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    with pytest.raises(TargetError, match="profile `dev` sets endpoint_url"):
        resolve_target("aws", profile="dev", environment={})


def test_aws_says_which_profile_is_missing(monkeypatch):
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(TargetError, match="no-such"):
        resolve_target("aws", profile="no-such", environment={})


def test_aws_needs_a_region(monkeypatch):
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(TargetError, match="no region"):
        resolve_target("aws", environment={})


@pytest.mark.parametrize(
    ("region", "url"),
    [
        ("eu-west-1", "https://abc.execute-api.eu-west-1.amazonaws.com/prod"),
        ("cn-north-1", "https://abc.execute-api.cn-north-1.amazonaws.com.cn/prod"),
    ],
)
def test_an_api_on_aws_has_its_partition_s_suffix(region, url, monkeypatch):
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    assert resolve_target("aws", region=region, environment={}).api_url("abc", "prod") == url


def test_a_profile_is_refused_where_it_would_be_ignored(tmp_path):
    with pytest.raises(BadInput, match="takes no AWS profile"):
        resolve_target("local", profile="dev", environment={})
    config = tmp_path / "config"
    config.write_text("[profile dev]\nregion = eu-west-1\n")
    with pytest.raises(BadInput, match="profile `dev` has no endpoint_url"):
        resolve_target("localstack", profile="dev", environment={"AWS_CONFIG_FILE": str(config)})


LOCALSTACK_PROFILE = """
[profile localstack]
region = eu-central-1
output = json
endpoint_url = http://127.0.0.1:4599

[profile work]
region = eu-west-1
"""

DEFAULT_PROFILE = """
[default]
region = eu-west-3
endpoint_url = http://127.0.0.1:4598
"""


@pytest.mark.parametrize(
    ("given", "endpoint", "region"),
    [
        ({}, "http://127.0.0.1:4598", "eu-west-3"),
        ({"AWS_DEFAULT_PROFILE": "localstack"}, "http://127.0.0.1:4599", "eu-central-1"),
        ({"AWS_PROFILE": "work", "AWS_DEFAULT_PROFILE": "localstack"}, "http://localhost:4566", "us-east-1"),
    ],
)
def test_the_profile_is_the_one_that_the_sdks_would_take(tmp_path, given, endpoint, region):
    """Whoever has LocalStack for the default profile names none anywhere."""
    config = tmp_path / "config"
    config.write_text(DEFAULT_PROFILE + LOCALSTACK_PROFILE)
    target = resolve_target("localstack", environment={"AWS_CONFIG_FILE": str(config), **given})
    assert (target.endpoint_url, target.region) == (endpoint, region)


def test_a_certificate_that_is_for_another_name_is_no_reason_to_start_anything(monkeypatch):
    def refuse(url: str) -> None:
        raise urllib.error.URLError(ssl.SSLCertVerificationError("self-signed certificate"))

    monkeypatch.setattr(localstack, "get_json", refuse)
    with pytest.raises(TargetError, match="self-signed") as caught:
        resolve_target("localstack", environment={"AWS_ENDPOINT_URL": "https://127.0.0.1:4566"}).instance_id()
    assert str(caught.value.hint).startswith("say http://")


@pytest.mark.parametrize(
    ("given", "endpoint", "region"),
    [
        ({"AWS_PROFILE": "localstack"}, "http://127.0.0.1:4599", "eu-central-1"),
        ({"AWS_PROFILE": "localstack", "AWS_REGION": "eu-north-1"}, "http://127.0.0.1:4599", "eu-north-1"),
        ({"AWS_PROFILE": "localstack", "LOCALSTACK_HOST": "box"}, "http://box:4566", "eu-central-1"),
        ({"AWS_PROFILE": "localstack", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "http://127.0.0.1:1", "eu-central-1"),
        ({"AWS_PROFILE": "work"}, "http://localhost:4566", "us-east-1"),
        ({"AWS_PROFILE": "nobody"}, "http://localhost:4566", "us-east-1"),
    ],
)
def test_localstack_s_own_profile_says_where_it_is(tmp_path, given, endpoint, region):
    """A profile of AWS's is not LocalStack's business, whichever is set in the shell."""
    config = tmp_path / "config"
    config.write_text(LOCALSTACK_PROFILE)
    target = resolve_target("localstack", environment={"AWS_CONFIG_FILE": str(config), **given})
    assert (target.endpoint_url, target.region) == (endpoint, region)


def test_twelve_digits_are_an_account_to_an_emulator_and_any_other_key_stays_here(ministack):
    own = resolve_target("localstack", environment={"AWS_ENDPOINT_URL": ministack, "AWS_ACCESS_KEY_ID": "111122223333"})
    assert own.account_id() == "111122223333"
    real = resolve_target("localstack", environment={"AWS_ENDPOINT_URL": ministack, **NO_AWS})
    assert real.account_id() == "000000000000"
    assert real.session().get_credentials().access_key == "test"


@pytest.mark.parametrize(
    ("profiles", "hint"),
    [
        ({"dev": {"sso_session": "corp"}}, "sign in: `aws sso login --profile dev`"),
        ({"dev": {"sso_start_url": "https://x.awsapps.com/start"}}, "sign in: `aws sso login --profile dev`"),
        ({"dev": {"source_profile": "base"}, "base": {"sso_session": "c"}}, "sign in: `aws sso login --profile base`"),
        ({"dev": {"source_profile": "dev", "role_arn": "r"}}, "`aws configure sso`"),
        ({"dev": {"login_session": "arn"}}, "sign in: `aws login --profile dev`"),
        ({"dev": {"aws_access_key_id": "AKIA"}}, "`aws configure --profile dev`"),
        ({"dev": {"credential_process": "/bin/keys --for me"}}, "profile dev says: /bin/keys"),
        ({}, "name a --profile"),
    ],
)
def test_how_to_sign_in_is_told_for_the_profile_as_it_is_configured(profiles, hint):
    assert hint in sign_in_hint(profiles, "dev")


def test_an_expired_single_sign_on_names_the_command_with_its_profile(tmp_path, monkeypatch):
    """botocore says "with the corresponding profile", and which one that is stands in a shell variable or nowhere."""
    config = tmp_path / "config"
    config.write_text(
        "[sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://corp.awsapps.com/start\n"
        "[profile dev]\nregion = eu-west-1\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = dev\n"
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(TargetError) as caught:
        resolve_target("aws", profile="dev", environment={}).account_id()
    assert caught.value.hint == "sign in: `aws sso login --profile dev`"


def test_an_override_that_no_sdk_follows_is_none(monkeypatch):
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    environment = {
        "AWS_ENDPOINT_URL": "http://localhost:4566",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    }
    assert resolve_target("aws", region="eu-west-1", environment=environment).region == "eu-west-1"
