"""Who may send requests to the emulator."""

import asyncio
import http.client
import json
import re
import socket
from pathlib import Path

import psutil
import pytest

from serverless_lab.emulator.clock import WallClock
from serverless_lab.emulator.edge import Edge, is_local_host
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
def test_nothing_that_belongs_to_the_emulator_listens_or_is_bound_elsewhere(emulator: Emulator):
    """Its own process, its guard, and environments that are up: TCP and UDP, IPv4 and IPv6."""
    name = emulator.create("listening", "def handler(event, context):\n    return 1\n")
    assert emulator.invoke(name).body == 1
    process = psutil.Process(emulator.status["pid"])
    family = [process, *process.children(recursive=True)]
    assert len(family) >= 2
    bound = [
        (connection.laddr.ip, connection.laddr.port)
        for member in family
        for connection in member.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN or (connection.type == socket.SOCK_DGRAM and connection.laddr)
    ]
    assert {address for address, _ in bound} == {"127.0.0.1"}
    assert emulator.status["port"] in {port for _, port in bound}


ALLOWED = "http://localhost:3000"


@pytest.mark.parametrize(
    ("headers", "let_in"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Referer": "https://evil.example/page"}, False),
        ({"Sec-Fetch-Site": "same-site", "Referer": f"{ALLOWED}/page"}, True),
        ({"Origin": ALLOWED, "Sec-Fetch-Site": "same-site"}, True),
        ({"Origin": "https://evil.example", "Referer": f"{ALLOWED}/"}, False),
        ({"Origin": "null", "Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": ALLOWED, "Host": "evil.example"}, False),
    ],
)
def test_what_a_page_makes_a_browser_ask_for_is_let_in_only_from_pages_that_are_allowed(headers: dict, let_in: bool):
    """An image or a link is asked for without an Origin; Sec-Fetch-Site tells that a page did it."""
    assert answer_of_edge({"Host": "127.0.0.1:4600", **headers}) == (200 if let_in else 403)


def answer_of_edge(headers: dict[str, str]) -> int:
    """The status that the edge answers, with nothing but a 200 behind it."""
    statuses = []

    async def inner(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(message):
        statuses.append(message.get("status"))

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    edge = Edge(inner, WallClock(simultaneous_inits=1), {}, [ALLOWED], lambda: "id")
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(edge({"type": "http", "method": "GET", "path": "/", "headers": raw}, receive, send))
    return statuses[0]


@pytest.mark.process
def test_an_unknown_control_is_a_404(emulator: Emulator):
    assert ask(emulator, path="/_lab/nothing") == (404, {"message": "no such control: GET /_lab/nothing"})


@pytest.mark.process
def test_bytes_that_are_not_http_leave_the_emulator_healthy(emulator: Emulator):
    with socket.create_connection(("127.0.0.1", emulator.status["port"]), timeout=10) as connection:
        connection.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
        connection.recv(1000)
    assert ask(emulator)[0] == 200
