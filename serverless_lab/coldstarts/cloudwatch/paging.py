"""The pages of FilterLogEvents: which request is next, and which events of an answer are new. No I/O.

One rule serves AWS, LocalStack and MiniStack, because it relies on nothing that differs:
* `nextToken` is followed, empty pages included (documented:
  https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html);
* a page of 10,000 events without a token is not believed to be the last: MiniStack cuts off there. Reading goes on at
  the last timestamp, without the events already seen; where one instant alone fills a page, stream by stream;
* an event that the page before had too, by its id, is one event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PAGE_EVENTS = 10_000
"""A page of FilterLogEvents holds at most this many events (documented, page as above)."""

Item = dict[str, Any]
"""An event as an answer has it."""


@dataclass(frozen=True)
class Cursor:
    """Where reading the events from `start_ms` to `end_ms` (epoch ms, both included) stands.

    `seen` is how often an earlier request has brought an event of `start_ms`, by its identity; `before` has the ids of
    the events of the page before.
    """

    start_ms: int
    end_ms: int
    token: str | None = None
    seen: Mapping[tuple[str, str], int] = field(default_factory=dict)
    before: frozenset[tuple[str, str]] = frozenset()

    def request(self, group: str) -> dict[str, Any]:
        found = {"logGroupName": group, "startTime": self.start_ms, "endTime": self.end_ms}
        return found if self.token is None else {**found, "nextToken": self.token}


@dataclass(frozen=True)
class Instant:
    """A millisecond that alone fills a page: its events are to be read stream by stream, without those `seen`.

    `then` goes on behind it; None when it is the last.
    """

    at_ms: int
    seen: Mapping[tuple[str, str], int]
    then: Cursor | None


def advance(cursor: Cursor, page: Mapping[str, Any]) -> tuple[list[Item], Cursor | Instant | None]:
    """(the new events of the answer to `cursor`'s request, what comes next); None when that was all."""
    items: list[Item] = page.get("events") or []
    repeats = Counter(cursor.seen)
    new = []
    for item in items:
        key = identity(item)
        if item["timestamp"] == cursor.start_ms and repeats[key] > 0:
            repeats[key] -= 1
        elif _id(item) not in cursor.before:
            new.append(item)
    token = page.get("nextToken")
    if token is not None:
        # An empty page between two says nothing of what the one before had.
        before = frozenset(found for item in items if (found := _id(item)) is not None) or cursor.before
        return new, Cursor(cursor.start_ms, cursor.end_ms, token, repeats, before)
    if len(items) < PAGE_EVENTS:
        return new, None
    last_ms = max(item["timestamp"] for item in items)
    if last_ms > cursor.start_ms:
        seen = Counter(identity(item) for item in items if item["timestamp"] == last_ms)
        return new, Cursor(last_ms, cursor.end_ms, None, seen)
    seen = Counter(cursor.seen) | Counter(identity(item) for item in items)
    then = Cursor(last_ms + 1, cursor.end_ms) if last_ms < cursor.end_ms else None
    return new, Instant(last_ms, seen, then)


def identity(item: Item) -> tuple[str, str]:
    """What tells events of one instant apart, as far as every answer says it.

    Not the eventId: GetLogEvents has none, and MiniStack gives none to FilterLogEvents.
    """
    return item.get("logStreamName", ""), item["message"]


def _id(item: Item) -> tuple[str, str] | None:
    found = item.get("eventId")
    return (found, item.get("logStreamName", "")) if found else None
