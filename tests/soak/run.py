"""Rounds of a soak on an emulator of its own, until the time is over."""

from __future__ import annotations

import contextlib
import json
import secrets
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from serverless_lab.emulator import control
from serverless_lab.project import Project
from tests.emulator.conftest import Emulator
from tests.soak import accounts
from tests.soak.clients import Frozen, Traffic, state
from tests.soak.functions import KINDS, QUEUE_READER, READERS, RECEIVES, STREAM_READER, TOKEN, Kind
from tests.soak.plan import Size, planned

IDLE_LIFETIME_MS = 120_000
RETRIES_S = 900.0
"""Of virtual time after a round: two attempts of every event and message fit in, and no environment is left idle."""

PROVISIONED = 2
SETTLE_S = 60.0
"""Of real time, for processes to be gone that were told to go."""

Tell = Callable[[str], None]


class Findings(AssertionError):
    """All that is not as it must be after one round."""


@contextlib.contextmanager
def _finding(findings: list[AssertionError]) -> Iterator[None]:
    try:
        yield
    except AssertionError as found:
        findings.append(found)


@dataclass
class Soak:
    """One emulator and what was seen of it."""

    emulator: Emulator
    seed: int
    size: Size
    tell: Tell
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    seen: list[accounts.Resources] = field(default_factory=list)
    attempts: int = 0
    answered: int = 0
    outcomes: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    """(function, error type) of every synchronous answer."""

    def deploy(self) -> None:
        for kind in (*KINDS, *READERS):
            self._create(kind)
        self.dead_url, dead_arn = self._queue("soak-dead")
        redrive = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": RECEIVES})
        self.queue_url, queue_arn = self._queue("soak", VisibilityTimeout="30", RedrivePolicy=redrive)
        table = self.emulator.client("dynamodb").create_table(
            TableName="soak",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
        )["TableDescription"]
        client = self.emulator.client("lambda")
        client.create_event_source_mapping(
            FunctionName=QUEUE_READER.name,
            EventSourceArn=queue_arn,
            BatchSize=5,
            FunctionResponseTypes=["ReportBatchItemFailures"],
        )
        client.create_event_source_mapping(
            FunctionName=STREAM_READER.name,
            EventSourceArn=table["LatestStreamArn"],
            StartingPosition="TRIM_HORIZON",
            BatchSize=1,
            MaximumRetryAttempts=RECEIVES - 1,
        )

    def round(self, number: int) -> None:
        """Send a round, let its retries pass, and settle its accounts."""
        begun = time.monotonic()
        plan = planned(self.seed, number, self.size)
        answered = Traffic(self.emulator, plan, self.size, self.queue_url, "soak").send()
        sent = time.monotonic()
        self.pass_time()
        self._wait_until_at_rest()
        findings: list[AssertionError] = []
        with _finding(findings):
            accounts.check_answers(plan, answered)
        logs = {kind.name: self._take_log(kind.name) for kind in (*KINDS, *READERS)}
        for kind in KINDS:
            with _finding(findings):
                mine = [answer for answer in answered if answer.call.kind is kind]
                self.attempts += accounts.check_log(kind, mine, logs[kind.name])
        with _finding(findings):
            self.attempts += accounts.check_deliveries(plan, dict(logs), self._take_dead())
        with _finding(findings):
            self._check_queue()
        if findings:
            raise Findings(f"round {number}: {len(findings)} findings\n" + "\n".join(map(str, findings)))
        self.answered += len(answered)
        self.outcomes.update((item.call.kind.name, item.error_type) for item in answered if not item.call.asynchronous)
        self.seen.append(self._resources())
        self.tell(
            f"round {number}: {len(answered)} calls in {sent - begun:.1f} s, settled in"
            f" {time.monotonic() - sent:.1f} s; {self.seen[-1]}"
        )

    def pass_time(self) -> None:
        try:
            self.emulator.pass_time(RETRIES_S)
        except TimeoutError as problem:
            raise Frozen(f"{RETRIES_S} s of virtual time do not pass\n{state(self.emulator)}") from problem

    def _create(self, kind: Kind) -> None:
        variables = {"Environment": {"Variables": {TOKEN: self.token}}}
        self.emulator.create(kind.name, kind.code, **{**kind.options, **variables})
        client = self.emulator.client("lambda")
        client.put_function_event_invoke_config(FunctionName=kind.name, MaximumRetryAttempts=1)
        if kind.reserved is not None:
            client.put_function_concurrency(FunctionName=kind.name, ReservedConcurrentExecutions=kind.reserved)
        if kind.alias is not None:
            version = client.publish_version(FunctionName=kind.name)["Version"]
            client.create_alias(FunctionName=kind.name, Name=kind.alias, FunctionVersion=version)
            client.put_function_event_invoke_config(
                FunctionName=kind.name, Qualifier=kind.alias, MaximumRetryAttempts=1
            )
            client.put_provisioned_concurrency_config(
                FunctionName=kind.name, Qualifier=kind.alias, ProvisionedConcurrentExecutions=PROVISIONED
            )

    def _queue(self, name: str, **attributes: str) -> tuple[str, str]:
        sqs = self.emulator.client("sqs")
        url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    def _wait_until_at_rest(self) -> None:
        """Nothing runs but the provisioned environments, in the scheduler's eyes and in the host's."""
        deadline = time.monotonic() + SETTLE_S
        while (found := self._left()) is not None:
            if time.monotonic() > deadline:
                raise AssertionError(f"{found}\n{state(self.emulator)}")
            time.sleep(0.05)

    def _left(self) -> str | None:
        status = control.status(self.emulator.project)
        assert status is not None, f"the emulator is gone\n{self.emulator.project.emulator_log.read_text()}"
        environments = status["environments"]
        expected = {"provisioned": {"init": 0, "ready": PROVISIONED, "invoke": 0}}
        counts = {name: {s: n for s, n in states.items() if n} for name, states in environments.items()}
        if counts != {name: {s: n for s, n in states.items() if n} for name, states in expected.items()}:
            return f"environments are left: {environments}"
        busy = {state: count for state, count in status["jobs"].items() if count and state != "asleep"}
        if busy:
            return f"somebody still takes part in time: {busy}"
        processes = accounts.processes_of(self.token)
        if len(processes) > PROVISIONED:
            return f"processes are left: {[_told(process) for process in processes]}"
        return None

    def _take_log(self, name: str) -> list[str]:
        logs = self.emulator.client("logs")
        try:
            lines = [message for _, message in self.emulator.log(name)]
        except logs.exceptions.ResourceNotFoundException:
            return []
        logs.delete_log_group(logGroupName=f"/aws/lambda/{name}")
        return lines

    def _take_dead(self) -> list[str]:
        sqs, found = self.emulator.client("sqs"), []
        while messages := sqs.receive_message(QueueUrl=self.dead_url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                found.append(message["Body"])
                sqs.delete_message(QueueUrl=self.dead_url, ReceiptHandle=message["ReceiptHandle"])
        return found

    def _check_queue(self) -> None:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        sqs = self.emulator.client("sqs")
        left = sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=names)["Attributes"]
        assert left == dict.fromkeys(names, "0"), f"messages are left: {left}"

    def _resources(self) -> accounts.Resources:
        for client in self.emulator._clients.values():
            client.close()
        self.emulator._clients.clear()
        pid = self.emulator.status["pid"]
        return accounts.Resources.of(pid, working_folder(pid), self.attempts)


def working_folder(pid: int) -> Path:
    """The emulator's, as its guard was told."""
    for child in psutil.Process(pid).children():
        words = child.cmdline()
        if any(word.endswith("guard.py") for word in words):
            return Path(words[-1])
    raise AssertionError(f"the emulator, process {pid}, has no guard")


def _told(process: psutil.Process) -> str:
    try:
        return f"{process.pid} {process.status()} child of {process.ppid()}: {' '.join(process.cmdline())[:80]}"
    except psutil.Error:
        return f"{process.pid}, gone now"


def soak(seconds: float, seed: int, size: Size, tell: Tell, least_rounds: int = 3) -> Soak:
    """Rounds for so many seconds of real time, at least so many.

    Raises:
        AssertionError: something is not as it must be.
    """
    with tempfile.TemporaryDirectory(prefix="lab-soak-") as folder:
        project = Project(Path(folder))
        options = control.UpOptions(idle_lifetime_ms=IDLE_LIFETIME_MS, seed=seed)
        deadline = time.monotonic() + seconds
        status: dict[str, Any]
        status, _ = control.up(project, options)
        made = Soak(Emulator(project, status), seed, size, tell)
        try:
            made.deploy()
            longest, number = 0.0, 0
            while number < least_rounds or time.monotonic() + longest < deadline:
                begun = time.monotonic()
                made.round(number)
                longest, number = max(longest, time.monotonic() - begun), number + 1
            accounts.check_plateaus(made.seen)
            accounts.check_outcomes(made.outcomes)
            check_end(made)
        finally:
            control.down(project)
            for process in accounts.processes_of(made.token):
                process.kill()  # a soak that found some must not leave them
        return made


def check_end(made: Soak) -> None:
    """After `lab down`, sent while functions run, nothing of them is there any more."""
    emulator = made.emulator
    work = working_folder(emulator.status["pid"])
    for name in ("starts-children", "starts-a-daemon", "well"):
        emulator.invoke(name, {"nonce": name, "number": 1})
    for name in ("sleeps-too-long", "spins"):
        emulator.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=b"{}")
    assert control.down(emulator.project)
    deadline = time.monotonic() + SETTLE_S
    while left := accounts.processes_of(made.token):
        if time.monotonic() > deadline:
            raise AssertionError(f"processes outlive the emulator: {[_told(process) for process in left]}")
        time.sleep(0.05)
    assert not work.exists(), f"{work} is left"
