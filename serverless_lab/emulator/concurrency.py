"""Who may run now: account and reserved concurrency, as plain arithmetic.

documented: https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html. Reserved concurrency is taken out of
the account's pool whether used or not, and a function that has some never takes from the rest.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from serverless_lab.emulator.model import ThrottleReason


@dataclass
class Concurrency:
    """Counts of invocations in progress, by function name, against the limits.

    Args:
        account: the account's limit.
    """

    account: int
    running: Counter[str] = field(default_factory=Counter)
    reserved: dict[str, int] = field(default_factory=dict)

    def reserve(self, name: str, reserved: int | None) -> None:
        """Set aside `reserved` of the account's concurrency for the function called `name`, or nothing any more."""
        if reserved is None:
            self.reserved.pop(name, None)
        else:
            self.reserved[name] = reserved

    def admit(self, name: str) -> ThrottleReason | None:
        """Count one more invocation of the function called `name`, or say why not; then nothing is counted."""
        reserved = self.reserved.get(name)
        if reserved is not None:
            if self.running[name] >= reserved:
                return ThrottleReason.RESERVED
        elif self.unreserved_running() >= self.account - sum(self.reserved.values()):
            return ThrottleReason.ACCOUNT
        self.running[name] += 1
        return None

    def release(self, name: str) -> None:
        """Count one invocation less of the function called `name`."""
        self.running[name] -= 1
        if self.running[name] <= 0:
            del self.running[name]

    def unreserved_running(self) -> int:
        """Invocations in progress of functions without reserved concurrency."""
        return sum(count for name, count in self.running.items() if name not in self.reserved)
