"""Log groups over a stretch of time -> their platform events, several requests at once, with FilterLogEvents.

The work is cut into slices: a group and a stretch. Where the target answers in order of time (AWS documents it), every
page completes the time before its last event: that is kept at once, and what is left of a slice is dealt out when
somebody has nothing to do. Elsewhere a slice is kept when it has been read to its end.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from serverless_lab.coldstarts.cloudwatch.kept import SETTLED_MS, KeptLogs, gaps
from serverless_lab.coldstarts.cloudwatch.pace import Pace
from serverless_lab.coldstarts.cloudwatch.paging import Cursor, Instant, Item, advance, identity
from serverless_lab.coldstarts.log_event import LogEvent
from serverless_lab.coldstarts.platform_events import is_platform_event
from serverless_lab.errors import TargetError
from serverless_lab.targets.clients import SIGN_IN, error_code, way_out

STREAMS_PER_CALL = 100
"""FilterLogEvents takes at most this many stream names
(documented: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html).
"""

_PAGES_BEFORE_DEALING = 2
_DEALT_MS_MIN = 2_000
_SLICES_UNSORTED = 8


@dataclass(frozen=True)
class Progress:
    """How far a reading is. `read_ms` of `total_ms` of log time, over all groups; `events` are platform events.

    `awaited` is how many REPORT lines are not there yet, while they are waited for.
    """

    read_ms: int
    total_ms: int
    events: int
    calls: int
    throttled: int
    awaited: int = 0


@dataclass(frozen=True)
class Slice:
    group: str
    start_ms: int
    end_ms: int


@dataclass
class Work:
    """What the workers of one reading share; `changed` guards it."""

    todo: deque[Slice]
    total_ms: int
    groups: dict[str, list[LogEvent]]
    read_ms: int = 0
    events: int = 0
    missing: set[str] = field(default_factory=set)
    idle: int = 0
    failure: BaseException | None = None
    changed: threading.Condition = field(default_factory=threading.Condition)


@dataclass
class LogReader:
    """Reads the log groups behind `client`, a boto3 `logs` client.

    Args:
        pace: shared by everything that reads the same account and Region.
        kept: where to keep what was read, and what to go on from; None keeps nothing.
        workers: how many requests are under way at once.
        sorted_by_time: whether pages follow each other in order of time.
        options: further members of every request, such as a filterPattern; only for what is not kept.
        wall_ms: the time of day, epoch ms: what is too near to it may not be there yet, and is not kept.
        on_progress: is told after every answer, from any thread.
        unreachable, sign_in: what to do where nobody answers, and where the credentials do not hold any more.
    """

    client: Any
    pace: Pace = field(default_factory=Pace)
    kept: KeptLogs | None = None
    workers: int = 1
    sorted_by_time: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    wall_ms: Callable[[], float] = lambda: time.time() * 1000
    on_progress: Callable[[Progress], None] | None = None
    unreachable: str = "is the target running? `lab status` tells"
    sign_in: str = SIGN_IN
    _awaited: Progress | None = field(default=None, init=False, repr=False)

    def read(
        self, groups: Iterable[str], start_ms: int, end_ms: int, *, fresh: bool = False
    ) -> tuple[dict[str, list[LogEvent]], list[str]]:
        """(the platform events of each group by time, those of one instant in the order they came; missing groups).

        Args:
            fresh: read what is kept again.

        Raises:
            TargetError: the target cannot be reached or refuses; what was read is kept.
        """
        work = self._prepare(list(dict.fromkeys(groups)), start_ms, end_ms, fresh)
        stored_before = 0 if self.kept is None else self.kept.stored
        try:
            self._run(work)
        except TargetError as error:
            stored = 0 if self.kept is None else self.kept.stored - stored_before
            if not stored:
                raise
            so_far = f"{stored:,} log events are kept, and the same command reads on from there"
            raise TargetError(
                error.message, hint=so_far if error.hint is None else f"{error.hint}; {so_far}"
            ) from error
        for group in work.missing:
            work.groups.pop(group, None)
        for events in work.groups.values():
            events.sort(key=lambda event: event.timestamp_ms or 0)
        return work.groups, sorted(work.missing)

    def tell_awaited(self, lines: int, events: int) -> None:
        """All of the time has been read, `events` of it, and `lines` are to come: it is read until they are there.

        Progress says so from now on, until it is told that no line is awaited.
        """
        self._awaited = None if not lines else Progress(1, 1, events, 0, 0, lines)
        if self.on_progress is not None:
            self.on_progress(Progress(1, 1, events, self.pace.calls, self.pace.throttled, lines))

    def read_streams(self, group: str, streams: Sequence[str], start_ms: int, end_ms: int) -> list[LogEvent]:
        """The platform events of some streams, in the order of the answers."""
        found: list[LogEvent] = []
        if end_ms < start_ms:
            return found
        for at in range(0, len(streams), STREAMS_PER_CALL):
            names = list(streams[at : at + STREAMS_PER_CALL])
            for items, _ in self._pages(group, Cursor(start_ms, end_ms), {"logStreamNames": names}, names):
                # A target that ignores logStreamNames must not hand us other environments' past.
                found.extend(_event(group, item) for item in items if item.get("logStreamName", "") in names)
        return found

    # --- slices ------------------------------------------------------------------------------------------------------

    def _prepare(self, groups: list[str], start_ms: int, end_ms: int, fresh: bool) -> Work:
        todo: deque[Slice] = deque()
        found: dict[str, list[LogEvent]] = {}
        for group in groups:
            if self.kept is not None and fresh:
                self.kept.forget(group, start_ms, end_ms)
            stretches, events = ([], []) if self.kept is None else self.kept.load(group, start_ms, end_ms)
            found[group] = events
            for first_ms, last_ms in gaps(stretches, start_ms, end_ms):
                parts = self._cut_of(group, first_ms, last_ms, end_ms - start_ms + 1)
                todo.extend(Slice(group, *part) for part in parts)
        total_ms = (end_ms - start_ms + 1) * len(groups)
        left_ms = sum(part.end_ms - part.start_ms + 1 for part in todo)
        count = sum(len(events) for events in found.values())
        return Work(todo, total_ms, found, total_ms - left_ms, count)

    def _cut_of(self, group: str, first_ms: int, last_ms: int, range_ms: int) -> list[tuple[int, int]]:
        """A stretch in the pieces to begin with: what can be kept apart from what is too new."""
        if self.kept is None:
            return [(first_ms, last_ms)]
        settled_ms = self._settled_ms()
        if last_ms > settled_ms >= first_ms:
            return [*self._cut_of(group, first_ms, settled_ms, range_ms), (settled_ms + 1, last_ms)]
        if self.sorted_by_time or first_ms > settled_ms:
            return [(first_ms, last_ms)]
        width_ms = -(-(last_ms - first_ms + 1) // _SLICES_UNSORTED)
        return [(at, min(at + width_ms - 1, last_ms)) for at in range(first_ms, last_ms + 1, width_ms)]

    def _settled_ms(self) -> int:
        return int(self.wall_ms()) - SETTLED_MS

    def _run(self, work: Work) -> None:
        if self.workers == 1:
            work.idle = 0
            self._work(work)
        else:
            threads = [threading.Thread(target=self._work, args=[work], daemon=True) for _ in range(self.workers)]
            for thread in threads:
                thread.start()
            try:
                for thread in threads:
                    while thread.is_alive():
                        thread.join(0.2)  # so that Ctrl-C is heard
            except BaseException as error:
                with work.changed:
                    work.failure = error
                    work.changed.notify_all()
                raise
        if work.failure is not None:
            raise work.failure

    def _work(self, work: Work) -> None:
        """Read slices until there are none and nobody may deal out more."""
        while True:
            with work.changed:
                work.idle += 1
                while not work.todo and work.idle < self.workers and work.failure is None:
                    work.changed.wait()
                if not work.todo or work.failure is not None:
                    work.changed.notify_all()
                    return
                part = work.todo.popleft()
                work.idle -= 1
            try:
                if part.group not in work.missing:
                    self._read_slice(part, work)
            except self.client.exceptions.ResourceNotFoundException:
                with work.changed:
                    work.missing.add(part.group)
            except BaseException as error:
                with work.changed:
                    work.failure = work.failure or error
                    work.idle += 1
                    work.changed.notify_all()
                return

    def _read_slice(self, part: Slice, work: Work) -> None:
        at_ms = part.start_ms
        pending: list[LogEvent] = []
        for pages, (items, whole_before_ms) in enumerate(self._pages(part.group, Cursor(at_ms, part.end_ms)), 1):
            pending.extend(_event(part.group, item) for item in items if is_platform_event(item["message"]))
            if whole_before_ms > at_ms:
                done = [event for event in pending if (event.timestamp_ms or 0) < whole_before_ms]
                pending = [event for event in pending if (event.timestamp_ms or 0) >= whole_before_ms]
                self._done(work, Slice(part.group, at_ms, whole_before_ms - 1), done)
                at_ms = whole_before_ms
            self._tell(work)
            if work.failure is not None:
                return
            if pages >= _PAGES_BEFORE_DEALING and self._deal(part.group, at_ms, part.end_ms, work):
                return
        self._done(work, Slice(part.group, at_ms, part.end_ms), pending)
        self._tell(work)

    def _deal(self, group: str, at_ms: int, end_ms: int, work: Work) -> bool:
        """Whether the rest of a slice was dealt out, because others have nothing to do."""
        if not self.sorted_by_time or end_ms - at_ms < _DEALT_MS_MIN:
            return False
        with work.changed:
            if not work.idle or work.todo:
                return False
            middle_ms = (at_ms + end_ms) // 2
            # What was read of the first millisecond is read again: the token is one of the whole slice.
            work.todo.extend((Slice(group, at_ms, middle_ms), Slice(group, middle_ms + 1, end_ms)))
            work.changed.notify_all()
        return True

    def _done(self, work: Work, part: Slice, events: list[LogEvent]) -> None:
        if part.end_ms < part.start_ms:
            return
        if self.kept is not None and part.end_ms <= self._settled_ms():
            self.kept.store(part.group, part.start_ms, part.end_ms, events)
        with work.changed:
            work.groups[part.group].extend(events)
            work.read_ms += part.end_ms - part.start_ms + 1
            work.events += len(events)

    def _tell(self, work: Work) -> None:
        if self.on_progress is None:
            return
        calls, throttled = self.pace.calls, self.pace.throttled
        if self._awaited is not None:
            self.on_progress(replace(self._awaited, calls=calls, throttled=throttled))
        else:
            self.on_progress(Progress(work.read_ms, work.total_ms, work.events, calls, throttled))

    # --- pages -------------------------------------------------------------------------------------------------------

    def _pages(
        self, group: str, cursor: Cursor, options: dict[str, Any] | None = None, streams: list[str] | None = None
    ) -> Iterator[tuple[list[Item], int]]:
        """(new events, before which instant everything has been read) of each answer, until the last."""
        whole_before_ms = cursor.start_ms
        step: Cursor | Instant | None = cursor
        while step is not None:
            if isinstance(step, Instant):
                yield self._instant(group, step, streams), step.at_ms
                step = step.then
                continue
            page = self.call(self.client.filter_log_events, **step.request(group), **self.options, **(options or {}))
            items, step = advance(step, page)
            if self.sorted_by_time and items:
                whole_before_ms = max(whole_before_ms, *(item["timestamp"] for item in items))
            yield items, whole_before_ms

    def _instant(self, group: str, instant: Instant, streams: list[str] | None) -> list[Item]:
        """The events of one millisecond that it lacks, read one stream after the other."""
        repeats = dict(instant.seen)
        found: list[Item] = []
        for stream in streams if streams is not None else self._stream_names(group):
            token: str | None = None
            while True:
                page = self.call(
                    self.client.get_log_events,
                    logGroupName=group,
                    logStreamName=stream,
                    startTime=instant.at_ms,
                    endTime=instant.at_ms + 1,
                    startFromHead=True,
                    **({} if token is None else {"nextToken": token}),
                )
                for item in page.get("events", []):
                    item = {**item, "logStreamName": stream}
                    key = identity(item)
                    if item["timestamp"] != instant.at_ms:
                        continue
                    if repeats.get(key, 0) > 0:
                        repeats[key] -= 1
                    else:
                        found.append(item)
                # The end of a stream answers with the token that was sent (documented:
                # https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html).
                if page.get("nextForwardToken") in (None, token) or not page.get("events"):
                    break
                token = page["nextForwardToken"]
        return found

    def _stream_names(self, group: str) -> Iterator[str]:
        token: str | None = None
        while True:
            options = {} if token is None else {"nextToken": token}
            page = self.call(self.client.describe_log_streams, logGroupName=group, **options)
            yield from (stream["logStreamName"] for stream in page.get("logStreams", []))
            token = page.get("nextToken")
            if token is None:
                return

    def call(self, operation: Callable[..., dict[str, Any]], **request: Any) -> dict[str, Any]:
        """One request; what the target refuses becomes a TargetError, a missing group stays what it is."""
        from botocore.exceptions import BotoCoreError, ClientError

        subject = f"log group {request['logGroupName']}" if "logGroupName" in request else "a query of the log"
        try:
            return self.pace.call(operation, **request)
        except (BotoCoreError, ClientError) as error:
            if error_code(error) == "ResourceNotFoundException":
                raise
            hint = way_out(error, self.unreachable, self.sign_in)
            raise TargetError(f"reading {subject} failed: {error}", hint=hint) from error


def _event(group: str, item: Item) -> LogEvent:
    return LogEvent(group, item.get("logStreamName", ""), int(item["timestamp"]), item["message"])
