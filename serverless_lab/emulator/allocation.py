"""The provisioned concurrency of one alias or version, as the scheduler keeps its books.

    requested    what was asked for
    granted      how many can be used: 0 until the first time all that were asked for have initialised
    members      environments of the version it is for: initialising, waiting for the others, or in use
    former       those of the version it was for before, kept until the new ones are ready

documented: https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html, how Lambda allocates provisioned
concurrency: none of a request's environments can be used until all of them have been allocated.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from serverless_lab.emulator.concurrency import TokenBucket, requests_per_second
from serverless_lab.emulator.model import EnvironmentId, FunctionVersion

AllocationKey: TypeAlias = tuple[str, str]
"""Function name and qualifier."""

INIT_FAILURE = "FUNCTION_ERROR_INIT_FAILURE"
"""`StatusReason` of an allocation whose inits fail. Seen in what CloudFormation says of such stacks, for instance
https://stackoverflow.com/questions/59932690/function-error-init-failure-aws-lambda."""


class AllocationStatus(Enum):
    """The value is AWS's `Status`."""

    IN_PROGRESS = "IN_PROGRESS"
    READY = "READY"
    FAILED = "FAILED"


@dataclass(frozen=True)
class AllocationCounts:
    """What GetProvisionedConcurrencyConfig says of it. `allocated` have initialised, `available` can be used."""

    status: AllocationStatus
    requested: int
    allocated: int
    available: int
    reason: str | None = None


@dataclass
class Slot:
    """One provisioned environment: whether requests may come to it, and which attempt at an init it is."""

    usable: bool = False
    initialised: bool = False
    attempt: int = 1


@dataclass(eq=False)
class Allocation:
    """See above. `function` is the version it is for, `rate` the requests per second that come with `granted`."""

    key: AllocationKey
    function: FunctionVersion
    requested: int = 0
    granted: int = 0
    failed: bool = False
    rate: TokenBucket = field(default_factory=lambda: requests_per_second(0))
    members: dict[EnvironmentId, Slot] = field(default_factory=dict)
    former: dict[EnvironmentId, Slot] = field(default_factory=dict)
    former_function: FunctionVersion | None = None

    def move_to(self, function: FunctionVersion) -> list[EnvironmentId]:
        """It is for another version now. Gives those of the present one that nobody could use yet: they go at once."""
        usable = {name: slot for name, slot in self.members.items() if slot.usable}
        unusable = [name for name, slot in self.members.items() if not slot.usable]
        if usable:  # then those of the version before are gone already
            self.former, self.former_function = usable, self.function
        self.function, self.members, self.failed = function, {}, False
        if function == self.former_function:
            self.members, self.former = self.former, {}
        return unusable

    def is_complete(self) -> bool:
        """Whether as many as were asked for have initialised, or are only being replaced after a crash."""
        return len(self.members) >= self.requested and all(
            slot.initialised or slot.usable for slot in self.members.values()
        )

    def surplus(self) -> list[EnvironmentId]:
        """Those beyond what is asked for: first those nobody can use yet, then the newest."""
        order = sorted(self.members, key=lambda name: self.members[name].usable)
        return order[: max(0, len(self.members) - self.requested)]

    def counts(self) -> AllocationCounts:
        slots = [*self.members.values(), *self.former.values()]
        status = AllocationStatus.FAILED if self.failed else AllocationStatus.IN_PROGRESS
        if not self.failed and self.is_complete() and not self.former:
            status = AllocationStatus.READY
        return AllocationCounts(
            status,
            self.requested,
            allocated=sum(slot.initialised for slot in slots),
            available=sum(slot.initialised and slot.usable for slot in slots),
            reason=INIT_FAILURE if self.failed else None,
        )
