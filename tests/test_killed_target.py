"""A target that ends in the middle of a command: the error says so, what was gathered stays, it can be repeated.

A MiniStack stands behind a proxy that sees every request, and kills it at the one that a test names.
"""

from __future__ import annotations

import http.client
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pandas as pd
import pytest

from tests.cli.conftest import HELLO, Lab
from tests.conftest import MiniStackProcess, free_port

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

SCENARIO = """
name: quick
description: 30 requests of three clients that wait for their answers, after a quiet hour
seed: 7
quiet: 1h
client_timeout: 20s
clients: 3
requests: 30
mix:
  - request: GET /hello
"""


class Target:
    """A MiniStack at one address, however often it is started anew.

    `at` decides about each request by its name (`ExecuteChangeSet`, `FilterLogEvents`, a path): what it returns is done
    instead of handing the request on.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self.answered: Callable[[str], None] = lambda name: None
        self.at: Callable[[str], Callable[[], None] | None] = lambda name: None
        self._ministack = self._started()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _started(self) -> MiniStackProcess:
        found = MiniStackProcess(self._folder, port=self._port)
        found.wait_until_ready()
        self._lives = True
        return found

    def kill_at(self, name: str, *, answered: int = 0) -> None:
        """Kill it when request `name` comes, once so many of them were answered."""
        left = [answered]

        def decide(seen: str) -> Callable[[], None] | None:
            return self.kill if name in seen and left[0] <= 0 else None

        def told(seen: str) -> None:
            left[0] -= name in seen

        self.at, self.answered = decide, told

    def kill(self) -> None:
        self._ministack.kill()
        self._lives = False

    def cut(self) -> None:
        """A connection that is lost: this request gets no answer, and MiniStack never sees it."""

    def start_again(self) -> None:
        self.at = lambda name: None
        if not self._lives:
            self._ministack = self._started()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._ministack.stop()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        target = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                name = _name_of(self.path, dict(self.headers), body)
                instead = target.at(name)
                try:
                    if instead is not None:
                        instead()
                        raise ConnectionError
                    inner = http.client.HTTPConnection("127.0.0.1", target._port, timeout=60)
                    inner.request(self.command, self.path, body, dict(self.headers))
                    answer = inner.getresponse()
                    content = answer.read()
                except (OSError, http.client.HTTPException):
                    self.close_connection = True
                    return
                target.answered(name)
                self.send_response_only(answer.status)
                for key, value in answer.getheaders():
                    if key.lower() not in ("content-length", "transfer-encoding", "connection"):
                        self.send_header(key, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(b"" if self.command == "HEAD" else content)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_any

            def log_message(self, *args: Any) -> None:
                pass

        return Handler


def _name_of(path: str, headers: dict[str, str], body: bytes) -> str:
    headers = {name.lower(): value for name, value in headers.items()}
    named = headers.get("x-amz-target", "").rpartition(".")[2]
    if not named and headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        named = parse_qs(body.decode()).get("Action", [""])[0]
    return named or path


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    made = Target(tmp_path_factory.mktemp("killed"))
    yield made
    made.close()


_numbers = count()


@pytest.fixture
def lab(tmp_path: Path, target: Target) -> Lab:
    target.start_again()
    # The stack is named like the directory: none finds another test's.
    made = Lab(tmp_path / f"work{next(_numbers)}", variables={"AWS_ENDPOINT_URL": target.endpoint})
    made.directory.mkdir()
    made.scenario(SCENARIO)
    return made


DEPLOY = ("deploy", "--target", "localstack", "--template", str(HELLO))


@pytest.mark.parametrize("name", ["ExecuteChangeSet", "GetFunctionConfiguration"])
def test_killed_while_it_deploys(lab, target, name):
    """`GetFunctionConfiguration` is a path in this protocol: it comes when what was deployed is looked at."""
    target.kill_at("/configuration" if name == "GetFunctionConfiguration" else name)
    refused = lab.refused(*DEPLOY)
    assert target.endpoint in refused.error
    assert "deploy again" in refused.hint
    assert not lab.state("deployment.json").exists(), "nothing is remembered that is not there"
    target.start_again()
    lab(*DEPLOY)
    assert lab("invoke", "HelloFunction").json["statusCode"] == 200


def test_killed_while_a_load_is_sent(lab, target):
    lab(*DEPLOY)
    target.kill_at("/execute-api/", answered=5)
    ended = lab("load", "--scenario", "./quick.yaml", ok=False)
    assert ended.code == 1
    assert "ended during run" in ended.error
    assert target.endpoint in ended.error
    assert "lab deploy --target localstack" in ended.hint
    rows = pd.read_parquet(Path(ended.out.strip()) / "requests.parquet")
    assert len(rows) == 30
    answered = int((rows["status_code"] == 200).sum())
    assert 5 <= answered < 30
    assert rows["error"].notna().sum() == 30 - answered, "each of the others says what became of it"

    gone = lab.refused("load", "--scenario", "./quick.yaml")
    assert target.endpoint in gone.error
    target.start_again()
    again = lab.refused("load", "--scenario", "./quick.yaml")
    assert "is not on localstack any more" in again.error
    lab(*DEPLOY)
    assert lab("load", "--scenario", "./quick.yaml", "--json").json["succeeded"] == 30


def test_killed_while_its_log_is_read(lab, target):
    lab(*DEPLOY)
    loaded = lab("load", "--scenario", "./quick.yaml")
    assert "every function began with new environments" in loaded.err, "the quiet hour cannot be skipped here"
    (row,) = json.loads((Path(loaded.out.strip()) / "manifest.json").read_text())["recycled"]
    assert row["put_back"]
    target.at = lambda name: target.cut if name == "FilterLogEvents" else None
    refused = lab.refused("coldstarts", "report")
    assert "/aws/lambda/" in refused.error, "which log it was reading"
    target.at = lambda name: None
    first = lab("coldstarts", "report", "--json").json
    assert first["total"]["invocations"] == 30
    assert first["total"]["cold_starts"]["count"] >= 1
    assert not [note for note in first["notes"] if "another version" in note or "was warm, though" in note]

    lab("load", "--scenario", "./quick.yaml")
    target.kill_at("FilterLogEvents")
    run_id = first["run_id"]
    kept = lab("coldstarts", "report", "--run", run_id, "--refresh", "--json").json
    assert kept["total"] == first["total"]
    assert any("this is what an earlier report read" in note for note in kept["notes"])

    # The second run's log was never read: it has its requests still, and nobody pretends to know more.
    assert target.endpoint in lab.refused("coldstarts", "report").error
    target.start_again()
    gone = lab.refused("coldstarts", "report")
    assert "is not on localstack any more, and it was never read" in gone.error
    assert len(pd.read_parquet(lab.state("runs") / _last(lab) / "requests.parquet")) == 30


def _last(lab: Lab) -> str:
    return (lab.state("runs") / "last").read_text().strip()
