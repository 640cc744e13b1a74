"""How a load generator takes part in virtual time, over the emulator's own doors."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from serverless_lab.emulator import control
from serverless_lab.project import Project
from tests.emulator.conftest import Emulator
from tests.emulator.test_sources import rest_api

pytestmark = pytest.mark.process

# A sleep takes as long in virtual time as it says, whatever the machine does meanwhile.
SLEEPER = """
    import json, time
    def handler(event, context):
        time.sleep(json.loads(event["body"] or "0"))
        return {"statusCode": 200, "body": "{}"}
"""


@dataclass(frozen=True)
class Answer:
    status: int
    latency_ms: float
    environment: str | None
    hold: str | None
    message: str


class Client:
    """One worker of a run, by the book."""

    def __init__(self, emulator: Emulator, url: str, run: str, *, first_ms: float | None = 0.0, **said: Any) -> None:
        self.emulator, self.path = emulator, url.removeprefix(emulator.url)
        joined = self.control("join", {"run": run, "worker": 0, "workers": 1, "first_ms": first_ms, **said})
        self.token, self.origin_ms = joined["generator"], joined["origin_ms"]

    def control(self, name: str, said: dict[str, Any]) -> dict[str, Any]:
        status, _, body = self._ask("POST", f"/_lab/clock/{name}", json.dumps(said), {})
        assert status == 200, body
        return json.loads(body)

    def send(self, at_ms: float, *, sleep: float = 0.0, **headers: str) -> Answer:
        stamped = {"x-lab-generator": self.token, "x-lab-arrival-ms": str(at_ms)}
        stamped |= {f"x-lab-{name.replace('_', '-')}": value for name, value in headers.items()}
        status, answered, body = self._ask("POST", f"{self.path}/x", json.dumps(sleep), stamped)
        return Answer(
            status,
            float(answered.get("x-lab-latency-ms", "nan")),
            answered.get("x-lab-environment-id"),
            answered.get("x-lab-hold-id"),
            body.decode(),
        )

    def leave(self) -> None:
        self.control("leave", {"generator": self.token})

    def _ask(self, method: str, path: str, body: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.emulator.status["port"], timeout=60)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        connection.close()
        return found


def clock(emulator: Emulator) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", emulator.status["port"], timeout=60)
    connection.request("GET", "/_lab/clock")
    found: dict[str, Any] = json.load(connection.getresponse())
    connection.close()
    return found


@pytest.fixture(scope="module")
def api(emulator: Emulator) -> str:
    """Another function comes first: on a host that has just started, its init reads the runtime from the disk."""
    emulator.invoke(emulator.create("reads-the-disk", SLEEPER), {"body": None})
    return rest_api(emulator, emulator.create("sleeper", SLEEPER, MemorySize=1769), timeout_ms=3_000)


@pytest.fixture
def client(emulator: Emulator, api: str, request: pytest.FixtureRequest) -> Iterator[Client]:
    made = Client(emulator, api, request.node.name)
    yield made
    made.leave()


@pytest.mark.alone
def test_a_request_is_let_in_at_its_time_and_its_latency_is_its_own(client: Client):
    """A minute passes in no time, and a sleep of 200 ms takes 200 ms."""
    client.send(0, sequence="0", next_ms="60000")
    answer = client.send(60_000, sleep=0.2, sequence="1", next_ms="none")
    assert answer.status == 200
    assert 195 <= answer.latency_ms < 260
    assert clock(client.emulator)["now_ms"] >= client.origin_ms + 60_200


@pytest.mark.alone
def test_requests_of_one_instant_need_an_environment_each_and_none_waits_for_another(client: Client):
    """Twelve inits at once on two cores: each latency is an init and a sleep, not a queue."""
    with ThreadPoolExecutor(12) as pool:
        sent = [
            pool.submit(client.send, 0, sleep=0.3, sequence=str(number), next_ms="0" if number < 11 else "none")
            for number in range(12)
        ]
        answers = [future.result() for future in sent]
    assert len({answer.environment for answer in answers}) == 12
    latencies = [answer.latency_ms for answer in answers]
    assert all(300 <= latency_ms < 900 for latency_ms in latencies), latencies


def test_an_integration_timeout_is_judged_in_virtual_time(client: Client):
    answer = client.send(0, sleep=3.5, sequence="0", next_ms="none")
    assert (answer.status, answer.latency_ms) == (504, 3_000)


def test_requests_that_overtake_each_other_do_not_let_time_pass_the_missing_one(client: Client):
    """The second is heard first: time waits for the first, because nobody knows yet what it does."""
    with ThreadPoolExecutor(2) as pool:
        second = pool.submit(client.send, 5_000, sequence="1", next_ms="none")
        assert clock(client.emulator)["now_ms"] < client.origin_ms + 5_000
        assert not second.done()
        client.send(1_000, sequence="0", next_ms="5000")
        assert second.result().status == 200


def test_a_hold_stops_time_at_the_end_of_a_request_until_its_follow_up(client: Client):
    """What a closed-loop client does next depends on the answer: nothing may happen before it has said so."""
    first = client.send(0, sleep=0.1, sequence="0", next_ms="none", hold="1")
    ended_ms = first.latency_ms
    assert clock(client.emulator)["now_ms"] <= client.origin_ms + ended_ms + 0.001  # told to the microsecond
    again = client.send(ended_ms + 1_000, follows=first.hold or "", hold="1")
    assert again.status == 200
    assert again.environment is not None
    client.control("release", {"generator": client.token, "hold": again.hold})
    assert clock(client.emulator)["generators"][0]["holds"] == 0


def test_a_quiet_weekend_ends_idle_environments_and_costs_no_time(emulator: Emulator, api: str):
    """The next request is cold, because its environment has been idle for 62 hours."""
    before = Client(emulator, api, "before")
    warm = before.send(0, sequence="0", next_ms="none")
    before.leave()
    after = Client(emulator, api, "after", quiet_ms=62 * 3_600_000.0)
    cold = after.send(0, sequence="0", next_ms="none")
    after.leave()
    assert after.origin_ms - before.origin_ms >= 62 * 3_600_000
    assert warm.environment != cold.environment


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ({"sequence": "0", "arrival_ms": "soon"}, "x-lab-arrival-ms"),
        ({}, "nobody knows where it belongs"),
        ({"follows": "nothing"}, "no hold nothing to follow"),
        ({"generator": "nobody", "sequence": "0"}, "no generator nobody"),
    ],
)
def test_headers_that_do_not_add_up_are_refused(client: Client, headers: dict[str, str], problem: str):
    answer = client.send(0, **headers)
    assert answer.status == 400
    assert problem in answer.message


def test_all_workers_must_have_joined_before_time_goes_on(emulator: Emulator, api: str):
    first = Client(emulator, api, "two", workers=2)
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(first.send, 1_000, sequence="0", next_ms="none")
        assert clock(emulator)["now_ms"] < first.origin_ms + 1_000
        second = Client(emulator, api, "two", workers=2, worker=1, first_ms=None)
        assert second.origin_ms == first.origin_ms
        assert sent.result().status == 200
    first.leave()
    second.leave()


def test_a_generator_that_dies_is_dropped_and_its_run_is_told_as_lost(project: Project):
    """Half an hour in the future is promised, nobody ever sends it, and the emulator goes on."""
    from tests.emulator.test_sources import wait_for

    emulator = Emulator(project, control.up(project)[0])
    api = rest_api(emulator, emulator.create("sleeper", SLEEPER, MemorySize=1769))
    Client(emulator, api, "dead", first_ms=1_800_000.0)
    wait_for(lambda: clock(emulator)["lost"] == ["dead"], seconds=30)
    assert clock(emulator)["generators"] == []
    assert emulator.invoke("sleeper", {"body": "0"}).status == 200
