"""What happens to a stack, as it happens: events read once each, in order, until the stack is at rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from serverless_lab.errors import DeployError
from serverless_lab.targets.base import Target

STACK_TYPE = "AWS::CloudFormation::Stack"
CANCELLED = "Resource creation cancelled"
QUIET_POLLS = 10  # a stack at rest whose last event is not shown after so many polls is done all the same


@dataclass(frozen=True)
class StackEvent:
    """One line of a stack's history, in CloudFormation's own words."""

    timestamp: datetime
    logical_id: str
    resource_type: str
    status: str
    reason: str | None = None
    physical_id: str | None = None

    @property
    def failed(self) -> bool:
        return self.status.endswith("_FAILED")

    @property
    def in_progress(self) -> bool:
        return self.status.endswith("_IN_PROGRESS")


OnEvent = Callable[[StackEvent], None]


@dataclass(frozen=True)
class Patience:
    """How to wait: how long between two looks, growing from `first_s` to `longest_s`, and how long altogether."""

    first_s: float
    longest_s: float
    limit_s: float = 3_600
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.monotonic

    def looks(self, what: str) -> Iterator[None]:
        """Yields at once and after each pause.

        Raises:
            DeployError: `limit_s` is over.
        """
        started = self.now()
        pause_s = self.first_s
        while True:
            yield
            if self.now() - started > self.limit_s:
                raise DeployError(f"{what} took more than {self.limit_s:.0f} s", hint="look at the stack's events")
            self.sleep(pause_s)
            pause_s = min(pause_s * 1.5, self.longest_s)


def patience_for(target: Target, sleep: Callable[[float], None] = time.sleep) -> Patience:
    """An emulator is done in a moment and may be asked often; AWS takes minutes and counts requests."""
    if target.endpoint_url is None:
        return Patience(first_s=1.0, longest_s=3.0, sleep=sleep)
    return Patience(first_s=0.02, longest_s=0.5, limit_s=900, sleep=sleep)


class EventReader:
    """The events of one stack that are new since the reader was made."""

    def __init__(self, cloudformation: Any, stack_name: str, stack_id: str) -> None:
        self._cloudformation = cloudformation
        self._stack_name = stack_name
        self._stack_id = stack_id
        self._seen: set[str] = set()
        self.events: list[StackEvent] = []
        self._read()

    def new(self) -> list[StackEvent]:
        found = self._read()
        self.events.extend(found)
        return found

    def follow(self, on_event: OnEvent, patience: Patience) -> str:
        """Hand on events until the stack is at rest; its last status."""
        quiet = 0
        for _ in patience.looks(f"stack `{self._stack_name}`"):
            found = self.new()
            for event in found:
                on_event(event)
            quiet = 0 if found else quiet + 1
            if any(self._is_last(event) for event in found) or quiet > QUIET_POLLS:
                status = stack_status(self._cloudformation, self._stack_id)
                if status is None:
                    return "DELETE_COMPLETE"
                if not status.endswith("_IN_PROGRESS"):
                    return status
                quiet = 0
        raise AssertionError("looks() ends by an error only")

    def first_failure(self) -> StackEvent | None:
        """The event that says why: the first failed resource that was not merely cancelled, else the stack's own."""
        failed = [event for event in self.events if event.failed]
        causes = [
            event for event in failed if event.resource_type != STACK_TYPE and CANCELLED not in (event.reason or "")
        ]
        told = [event for event in self.events if event.resource_type == STACK_TYPE and event.reason]
        return next(iter([*causes, *failed, *told]), None)

    def _is_last(self, event: StackEvent) -> bool:
        is_stack = event.resource_type == STACK_TYPE and event.logical_id == self._stack_name
        return is_stack and not event.in_progress

    def _read(self) -> list[StackEvent]:
        fresh: list[dict[str, Any]] = []
        pages = self._cloudformation.get_paginator("describe_stack_events").paginate(StackName=self._stack_id)
        for page in pages:
            events = page["StackEvents"]
            unseen = [event for event in events if event["EventId"] not in self._seen]
            fresh.extend(unseen)
            if len(unseen) < len(events):
                break  # newest come first: what follows is older than something seen
        self._seen.update(event["EventId"] for event in fresh)
        fresh.reverse()
        return [_event(event) for event in sorted(fresh, key=lambda event: event["Timestamp"])]


def _event(event: dict[str, Any]) -> StackEvent:
    return StackEvent(
        timestamp=event["Timestamp"],
        logical_id=event["LogicalResourceId"],
        resource_type=event.get("ResourceType", ""),
        status=event["ResourceStatus"],
        reason=event.get("ResourceStatusReason") or None,
        physical_id=event.get("PhysicalResourceId") or None,
    )


def describe_stack(cloudformation: Any, stack: str) -> dict[str, Any] | None:
    """The stack of this name or id; None when there is none, or none any more."""
    from botocore.exceptions import ClientError

    try:
        stacks = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] in ("ValidationError", "StackNotFoundException"):
            return None
        raise
    found: dict[str, Any] | None = stacks[0] if stacks else None
    return None if found is None or found["StackStatus"] == "DELETE_COMPLETE" else found


def stack_status(cloudformation: Any, stack: str) -> str | None:
    found = describe_stack(cloudformation, stack)
    return None if found is None else str(found["StackStatus"])


def stack_resources(cloudformation: Any, stack: str) -> list[dict[str, Any]]:
    """Every resource of the stack that exists: LogicalResourceId, PhysicalResourceId, ResourceType, ResourceStatus."""
    found = []
    for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack):
        found.extend(page["StackResourceSummaries"])
    return [resource for resource in found if resource["ResourceStatus"] != "DELETE_COMPLETE"]
