"""Who may run now: concurrency, requests per second and the scaling rate, as plain arithmetic.

documented: https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html. Reserved concurrency is taken out of
the account's pool whether used or not, and a function that has some never takes from the rest. So is provisioned
concurrency, but its function may take from the rest when it is used up: out of the function's reserved concurrency
where it has some. Each limit on concurrency comes with one on requests per second, ten times as high.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from serverless_lab import quotas
from serverless_lab.emulator.model import ThrottleReason


@dataclass
class TokenBucket:
    """At most `capacity` at once, refilled continuously by `per_second`; what is not used is not accrued."""

    capacity: float
    per_second: float
    _tokens: float = field(init=False)
    _at_ms: float = 0.0

    def __post_init__(self) -> None:
        self._tokens = self.capacity

    def has_one(self, now_ms: float) -> bool:
        refilled = self._tokens + (now_ms - self._at_ms) * self.per_second / 1000
        self._tokens = min(self.capacity, max(refilled, self._tokens))
        self._at_ms = max(self._at_ms, now_ms)
        return self._tokens >= 1 - 1e-9

    def take(self, now_ms: float) -> bool:
        """Take one if there is one."""
        if not self.has_one(now_ms):
            return False
        self._tokens -= 1
        return True


def requests_per_second(concurrency: int) -> TokenBucket:
    """The limit that comes with a limit on concurrency. assumed: as many at the same instant as in one second."""
    rate = concurrency * quotas.REQUESTS_PER_SECOND_PER_CONCURRENCY
    return TokenBucket(rate, rate)


def _scaling_rate() -> TokenBucket:
    most = quotas.SCALING_RATE_ENVIRONMENTS
    return TokenBucket(most, most * 1000 / quotas.SCALING_RATE_PERIOD_MS)


@dataclass
class Concurrency:
    """Counts of invocations in progress, by function name, against the limits.

    Args:
        account: the account's limit.
        running: on demand.
        running_provisioned: on provisioned environments.
        reserved: reserved concurrency; names without one are not in it.
        provisioned: provisioned concurrency that is ready to be used.
    """

    account: int
    running: Counter[str] = field(default_factory=Counter)
    running_provisioned: Counter[str] = field(default_factory=Counter)
    reserved: dict[str, int] = field(default_factory=dict)
    provisioned: dict[str, int] = field(default_factory=dict)
    _scaling: dict[str, TokenBucket] = field(default_factory=dict)
    _reserved_rates: dict[str, TokenBucket] = field(default_factory=dict)
    _account_rate: TokenBucket = field(init=False)

    def __post_init__(self) -> None:
        self._account_rate = requests_per_second(self.account)

    def reserve(self, name: str, reserved: int | None) -> None:
        """Set aside `reserved` of the account's concurrency for the function called `name`, or nothing any more."""
        self._reserved_rates.pop(name, None)
        if reserved is None:
            self.reserved.pop(name, None)
        else:
            self.reserved[name] = reserved
            self._reserved_rates[name] = requests_per_second(reserved)

    def provision(self, name: str, provisioned: int) -> None:
        """So much provisioned concurrency is ready, of all versions of the function called `name`."""
        if provisioned:
            self.provisioned[name] = provisioned
        else:
            self.provisioned.pop(name, None)

    def admit(
        self,
        name: str,
        now_ms: float,
        *,
        on_provisioned: bool = False,
        starts_environment: bool = False,
        synchronous: bool = True,
    ) -> ThrottleReason | None:
        """Count one more invocation of the function called `name`, or say why not; then nothing is counted.

        Args:
            on_provisioned: a provisioned environment is idle and will take it.
            starts_environment: a new environment has to be started for it.
        """
        refused = self._over_concurrency(name, on_provisioned)
        if refused is not None:
            return refused
        rates = self._rates(name) if synchronous else []
        for bucket, reason in rates:
            if not bucket.has_one(now_ms):
                return reason
        if starts_environment and not self._scaling.setdefault(name, _scaling_rate()).take(now_ms):
            return ThrottleReason.ACCOUNT
        for bucket, _ in rates:
            bucket.take(now_ms)
        (self.running_provisioned if on_provisioned else self.running)[name] += 1
        return None

    def release(self, name: str, *, on_provisioned: bool = False) -> None:
        """Count one invocation less of the function called `name`."""
        counts = self.running_provisioned if on_provisioned else self.running
        counts[name] -= 1
        if counts[name] <= 0:
            del counts[name]

    def move_to_provisioned(self, name: str) -> None:
        """An invocation that was let in on demand takes a provisioned environment."""
        self.release(name)
        self.running_provisioned[name] += 1

    def unreserved_running(self) -> int:
        """On-demand invocations in progress of functions without reserved concurrency."""
        return sum(count for name, count in self.running.items() if name not in self.reserved)

    def _over_concurrency(self, name: str, on_provisioned: bool) -> ThrottleReason | None:
        reserved = self.reserved.get(name)
        # What is provisioned is set aside; until it is all used, on-demand invocations cannot have it.
        provisioned = self.running_provisioned[name]
        if not on_provisioned:
            provisioned = max(provisioned, self.provisioned.get(name, 0))
        if reserved is not None:
            return ThrottleReason.RESERVED if self.running[name] + provisioned >= reserved else None
        others = self.account - sum(self.reserved.values()) - self._provisioned_unreserved(but=name)
        return ThrottleReason.ACCOUNT if self.unreserved_running() + provisioned >= others else None

    def _provisioned_unreserved(self, but: str) -> int:
        return sum(
            max(self.provisioned.get(name, 0), self.running_provisioned[name])
            for name in {*self.provisioned, *self.running_provisioned}
            if name not in self.reserved and name != but
        )

    def _rates(self, name: str) -> list[tuple[TokenBucket, ThrottleReason]]:
        rates = [(self._account_rate, ThrottleReason.RATE)]
        if name in self._reserved_rates:
            rates.append((self._reserved_rates[name], ThrottleReason.RESERVED_RATE))
        return rates


@dataclass(frozen=True)
class Claims:
    """What the functions of an account have asked for: reserved by name, provisioned by name and qualifier."""

    account: int
    reserved: Mapping[str, int] = field(default_factory=dict)
    provisioned: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def minimum_unreserved(self) -> int:
        """What must stay unreserved.

        documented: 100. assumed: an account with less cannot keep more than it has; such accounts have been seen to be
        refused with `minimum value of [10]`.
        """
        return min(quotas.UNRESERVED_CONCURRENCY_MIN, self.account)

    def provisioned_of(self, name: str, but: str | None = None) -> int:
        """Of all versions and aliases of a function, without the qualifier `but`."""
        found: Iterable[tuple[str, int]] = self.provisioned.get(name, {}).items()
        return sum(count for qualifier, count in found if qualifier != but)

    def unreserved(self, but: str | None = None, but_qualifier: str | None = None) -> int:
        """What is left for everybody, as if the claims of function `but` (or one qualifier of it) were not there."""
        left = self.account
        for name in {*self.reserved, *self.provisioned}:
            if name == but and but_qualifier is None:
                continue
            if name in self.reserved:
                left -= self.reserved[name]
            else:
                left -= self.provisioned_of(name, but_qualifier if name == but else None)
        return left
