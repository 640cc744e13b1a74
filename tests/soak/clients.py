"""Who sends what was planned. Every wait has a real deadline: a clock that stands still is a finding, not a hang."""

from __future__ import annotations

import http.client
import itertools
import json
import textwrap
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.emulator.conftest import Emulator, zip_of
from tests.soak.functions import BY_NAME
from tests.soak.plan import Call, Round, Size

PATIENCE_S = 150.0
"""For one answer, in real time; a round has some hundred calls of which each takes seconds at most."""


class Frozen(AssertionError):
    """No answer in time: what the emulator says of itself then is in the message."""


@dataclass(frozen=True)
class Answered:
    """What became of a call: its status, the function's error type (None for a result) and the body."""

    call: Call
    status: int
    error_type: str | None
    body: Any
    request_id: str


class Traffic:
    """All that is sent in one round, at the same time."""

    def __init__(self, emulator: Emulator, planned: Round, size: Size, queue_url: str, table: str) -> None:
        self._emulator = emulator
        self._planned = planned
        self._size = size
        self._queue_url = queue_url
        self._table = table
        self._lock = threading.Lock()
        self._problems: list[BaseException] = []
        self.answered: list[Answered] = []

    def send(self) -> list[Answered]:
        """Returns when every call is answered.

        Raises:
            Frozen: one was not.
        """
        run = f"round-{self._planned.number}"
        workers = len(self._planned.generators)
        jobs: list[Callable[[], None]] = [self._messages, self._records, self._deploys]
        for worker, calls in enumerate(self._planned.generators):
            jobs.append(lambda worker=worker, calls=calls: self._generate(run, worker, workers, calls))
        jobs += [lambda calls=calls: self._ask(calls) for calls in self._planned.clients]
        self._all(jobs)
        return self.answered

    def _all(self, jobs: Sequence[Callable[[], None]]) -> None:
        """Run them at the same time, wait for all and raise what the first of them raised."""

        def carry(job: Callable[[], None]) -> None:
            try:
                job()
            except BaseException as problem:
                with self._lock:
                    self._problems.append(problem)

        threads = [threading.Thread(target=carry, args=(job,), daemon=True) for job in jobs]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 2 * PATIENCE_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._problems:
            raise self._problems[0]
        if any(thread.is_alive() for thread in threads):
            raise Frozen(f"clients still wait\n{state(self._emulator)}")

    def _generate(self, run: str, worker: int, workers: int, calls: tuple[Call, ...]) -> None:
        """As a load generator: every call is sent at once, with the time at which it arrives."""
        first_ms = calls[0].at_ms if calls else None
        joined = self._control("join", {"run": run, "worker": worker, "workers": workers, "first_ms": first_ms})
        following = [f"{call.at_ms:.3f}" for call in calls[1:]] + ["none"]
        sends = [
            lambda call=call, sequence=sequence, next_ms=next_ms: self._invoke(
                call,
                {
                    "x-lab-generator": joined["generator"],
                    "x-lab-arrival-ms": f"{call.at_ms:.3f}",
                    "x-lab-sequence": str(sequence),
                    "x-lab-next-ms": next_ms,
                },
            )
            for sequence, (call, next_ms) in enumerate(zip(calls, following, strict=True))
        ]
        self._all(sends)
        self._control("leave", {"generator": joined["generator"]})

    def _ask(self, calls: tuple[Call, ...]) -> None:
        """As somebody who sends one call after the other, at whatever time it is."""
        for call in calls:
            self._invoke(call, {})

    def _invoke(self, call: Call, stamps: dict[str, str]) -> None:
        path = f"/2015-03-31/functions/{call.kind.name}/invocations"
        if call.kind.alias is not None:
            path += f"?Qualifier={call.kind.alias}"
        kind = "Event" if call.asynchronous else "RequestResponse"
        event = json.dumps({"nonce": call.nonce, "number": call.number})
        status, headers, data = self._http("POST", path, event, {**stamps, "x-amz-invocation-type": kind})
        body = json.loads(data) if data else None
        error_type = None
        if status >= 300:
            error_type = headers.get("x-amzn-errortype") or (body or {}).get("__type") or f"status {status}"
        elif "x-amz-function-error" in headers:
            error_type = body["errorType"]
        with self._lock:
            self.answered.append(Answered(call, status, error_type, body, headers.get("x-amzn-requestid", "")))

    def _messages(self) -> None:
        sqs = self._emulator.client("sqs")
        for bodies in _tens(self._planned.messages):
            entries = [{"Id": str(place), "MessageBody": body} for place, body in enumerate(bodies)]
            sqs.send_message_batch(QueueUrl=self._queue_url, Entries=entries)

    def _records(self) -> None:
        for body in self._planned.records:
            self._emulator.client("dynamodb").put_item(TableName=self._table, Item={"id": {"S": body}})

    def _deploys(self) -> None:
        """New code of the function that is invoked most, and a new version for the one with an alias."""
        client = self._emulator.client("lambda")
        for update in range(self._size.updates):
            for name in ("well", "provisioned"):
                code = f"RELEASE = '{self._planned.number}.{update}'\n" + textwrap.dedent(BY_NAME[name].code)
                client.update_function_code(FunctionName=name, ZipFile=zip_of({"app.py": code}))
        version = client.publish_version(FunctionName="provisioned")["Version"]
        before = client.get_alias(FunctionName="provisioned", Name="live")["FunctionVersion"]
        client.update_alias(FunctionName="provisioned", Name="live", FunctionVersion=version)
        if before != version:
            client.delete_function(FunctionName="provisioned", Qualifier=before)

    def _control(self, name: str, said: dict[str, Any]) -> dict[str, Any]:
        status, _, body = self._http("POST", f"/_lab/clock/{name}", json.dumps(said), {})
        assert status == 200, body
        found: dict[str, Any] = json.loads(body)
        return found

    def _http(self, method: str, path: str, body: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._emulator.status["port"], timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        except TimeoutError as problem:
            said = f"no answer to {method} {path} {body} {headers} in {PATIENCE_S} s"
            raise Frozen(f"{said}\n{state(self._emulator)}") from problem
        finally:
            connection.close()


def state(emulator: Emulator) -> str:
    """What `lab status` and the clock say, and the end of the emulator's own log."""
    told = []
    for name in ("status", "clock"):
        connection = http.client.HTTPConnection("127.0.0.1", emulator.status["port"], timeout=10)
        try:
            connection.request("GET", f"/_lab/{name}")
            told.append(f"/_lab/{name}: {connection.getresponse().read().decode()}")
        except OSError as problem:
            told.append(f"/_lab/{name}: {problem!r}")
        finally:
            connection.close()
    log = emulator.project.emulator_log.read_text(errors="replace")[-4000:]
    return "\n".join([*told, "the emulator's log ends with:", log or "nothing"])


def _tens(items: Sequence[str]) -> list[tuple[str, ...]]:
    left = iter(items)
    return list(iter(lambda: tuple(itertools.islice(left, 10)), ()))
