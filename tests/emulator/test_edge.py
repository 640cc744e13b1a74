"""Who may send requests to the emulator."""

import http.client
import json
import re
import socket
from pathlib import Path

import pytest

from serverless_lab.emulator.edge import is_local_host
from tests.emulator.conftest import Emulator


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:4600", "127.0.0.1", "localhost:4600", "LOCALHOST", "[::1]:4600", "abc.execute-api.localhost:4600"],
)
def test_names_of_this_machine_are_let_in(host):
    assert is_local_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:4600",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1:80",
        "[::2]",
    ],
)
def test_foreign_names_are_not(host):
    """A page's own domain can be made to resolve to 127.0.0.1 (DNS rebinding): its name gives it away."""
    assert not is_local_host(host)


def ask(emulator: Emulator, method: str = "GET", path: str = "/_lab/status", **headers: str) -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", emulator.status["port"], timeout=10)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    body = json.loads(answer.read() or b"{}")
    connection.close()
    return answer.status, body


@pytest.mark.process
def test_a_request_with_a_foreign_host_is_refused(emulator: Emulator):
    status, body = ask(emulator, Host="evil.example")
    assert status == 403
    assert "`evil.example` is not this machine" in body["message"]


@pytest.mark.process
@pytest.mark.parametrize("path", ["/_lab/status", "/_lab/stop", "/", "/2015-03-31/functions/x/invocations"])
def test_a_request_from_a_web_page_is_refused(emulator: Emulator, path: str):
    """A page on any site can send simple requests to localhost; its Origin says so."""
    status, body = ask(emulator, "POST", path, Origin="https://evil.example")
    assert status == 403
    assert "lab up --allow-origin https://evil.example" in body["message"]


@pytest.mark.process
def test_the_emulator_listens_on_loopback_only(emulator: Emulator):
    """/proc/net/tcp shows every listener of this machine, with its address in hex."""
    port = f"{emulator.status['port']:04X}"
    addresses = re.findall(rf" ([0-9A-F]{{8}}):{port} 00000000:0000 0A", Path("/proc/net/tcp").read_text())
    assert addresses == ["0100007F"]
    assert not re.findall(rf":{port} 0+:0000 0A", Path("/proc/net/tcp6").read_text())


@pytest.mark.process
def test_an_unknown_control_is_a_404(emulator: Emulator):
    assert ask(emulator, path="/_lab/nothing") == (404, {"message": "no such control: GET /_lab/nothing"})


@pytest.mark.process
def test_bytes_that_are_not_http_leave_the_emulator_healthy(emulator: Emulator):
    with socket.create_connection(("127.0.0.1", emulator.status["port"]), timeout=10) as connection:
        connection.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        connection.recv(1000)
    assert ask(emulator)[0] == 200
