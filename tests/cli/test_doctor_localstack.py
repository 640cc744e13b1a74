"""`lab doctor --target localstack`: what stands in LocalStack's place here answers as its documentation says."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from serverless_lab.cli.doctor_localstack import docker_version, look_at_localstack
from serverless_lab.cli.findings import BAD, DOUBTFUL, GOOD
from serverless_lab.scenario import load_scenario
from serverless_lab.targets import clients
from tests.conftest import free_port

Look = Callable[..., dict[str, Any]]
ACCOUNT_SETTINGS = "/2016-08-19/account-settings"
SERVICES = dict.fromkeys(("apigateway", "cloudformation", "iam", "lambda", "logs", "s3", "sts"), "available")


class Answering(http.server.ThreadingHTTPServer):
    """A server whose `answers` are JSON by path; anything else is not found."""

    answers: dict[str, Any]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Answering

    def do_GET(self) -> None:
        found = self.server.answers.get(self.path)
        self.send_response(404 if found is None else 200)
        self.end_headers()
        self.wfile.write(json.dumps(found or {}).encode())

    def version_string(self) -> str:
        return "Docker/28.1 (linux)"

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Answering]:
    with Answering(("127.0.0.1", 0), Handler) as made:
        made.answers = {
            "/_localstack/info": {"version": "4.8.1", "edition": "community", "session_id": "s"},
            "/_localstack/health": {"version": "4.8.1", "edition": "community", "services": SERVICES},
            ACCOUNT_SETTINGS: {"AccountLimit": {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 1000}},
            "/_ping": "OK",
        }
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def look(server: Answering) -> Look:
    def run(**variables: str) -> dict[str, Any]:
        environment = {"AWS_ENDPOINT_URL": server.url, "DOCKER_HOST": f"tcp://127.0.0.1:{free_port()}", **variables}
        found = look_at_localstack(load_scenario("monday-spike"), None, None, environment)
        return {item.subject: item for item in found}

    return run


def test_version_edition_services_docker_and_quota_are_told(look: Look, server: Answering) -> None:
    found = look(DOCKER_HOST=server.url.replace("http", "tcp"))
    assert found["endpoint"].text == f"LocalStack 4.8.1, edition community at {server.url}, region us-east-1"
    states = {name: item.state for name, item in found.items()}
    assert states == {
        "endpoint": GOOD,
        "services": GOOD,
        "Docker": GOOD,
        "concurrency": GOOD,
        "logs": DOUBTFUL,
    }
    assert "Docker/28.1" in found["Docker"].text


def test_without_docker_functions_will_not_run_and_the_socket_is_named(look: Look) -> None:
    found = look()["Docker"]
    assert found.state == DOUBTFUL
    assert "runs functions in containers" in found.text
    assert "-v /var/run/docker.sock:/var/run/docker.sock" in found.hint


def test_a_service_that_is_turned_off_makes_it_unusable(look: Look, server: Answering) -> None:
    server.answers["/_localstack/health"] = {"services": {**SERVICES, "lambda": "disabled", "s3": "error"}}
    found = look()["services"]
    assert found.state == BAD
    assert found.text == "not available: lambda (disabled), s3 (error)"


def test_a_paid_edition_without_a_licence_says_what_to_set(look: Look, server: Answering) -> None:
    server.answers["/_localstack/info"] = {"version": "2026.3.0", "edition": "pro", "is_license_activated": False}
    assert "LOCALSTACK_AUTH_TOKEN" in look()["licence"].hint


def test_the_package_on_pypi_has_no_edition_and_needs_no_licence(look: Look, server: Answering) -> None:
    server.answers["/_localstack/info"] = {"version": "4.8.1", "edition": "unknown", "is_license_activated": False}
    found = look()
    assert "licence" not in found
    assert found["endpoint"].text == f"LocalStack 4.8.1 at {server.url}, region us-east-1"


def test_one_that_takes_connections_and_does_not_answer_is_at_work(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is told to start it would lose what is in its memory."""
    monkeypatch.setattr(clients, "HTTP_TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = look(AWS_ENDPOINT_URL=f"http://127.0.0.1:{silent.getsockname()[1]}")["endpoint"]
    assert found.state == BAD
    assert found.text.endswith("has not answered within 0.05 s")
    assert "look again" in found.hint


def test_a_small_limit_of_concurrency_is_compared_with_the_scenario(look: Look, server: Answering) -> None:
    limits = {"ConcurrentExecutions": 5, "UnreservedConcurrentExecutions": 5}
    server.answers[ACCOUNT_SETTINGS] = {"AccountLimit": limits}
    found = look()["concurrency"]
    assert found.state == DOUBTFUL
    assert "LAMBDA_LIMITS_CONCURRENT_EXECUTIONS" in found.hint


def test_docker_is_found_at_a_socket_and_at_a_port_and_nothing_else_is_believed(
    server: Answering, tmp_path: Path
) -> None:
    path = tmp_path / "docker.sock"

    class AtSocket(Answering):
        address_family = socket.AF_UNIX

        def server_bind(self) -> None:
            self.socket.bind(self.server_address)
            self.server_name, self.server_port = "docker", 0

        def get_request(self) -> Any:
            connection, _ = self.socket.accept()
            return connection, ("docker", 0)

    with AtSocket(str(path), Handler) as made:  # type: ignore[arg-type]
        made.answers = {"/_ping": "OK"}
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        assert docker_version(f"unix://{path}") == "Docker/28.1 (linux)"
        made.shutdown()
        thread.join()
    assert docker_version(server.url) == "Docker/28.1 (linux)"
    server.answers.pop("/_ping")
    with pytest.raises(OSError, match="404"):
        docker_version(server.url)
    with pytest.raises(OSError):
        docker_version(f"unix://{tmp_path}/nothing.sock")
    with pytest.raises(ValueError, match="unix:// and tcp://"):
        docker_version("ssh://me@box")
