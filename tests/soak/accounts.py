"""What is asserted of a round: everybody was answered, the log has every attempt once, nothing is left running."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.soak.clients import Answered
from tests.soak.functions import BAD, KINDS, PRINTED_LINES, QUEUE_READER, RECEIVES, STREAM_READER, TOKEN, Kind
from tests.soak.plan import Call, Round

_THROTTLED = "TooManyRequestsException"

Attempts = dict[str, Counter[str]]
"""Of one log: how often it has START, END and REPORT of each request id."""


def check_answers(planned: Round, answered: Sequence[Answered]) -> None:
    """Every call has one answer, and it is one that its function may give."""
    calls: Counter[Call] = Counter(call for part in (*planned.generators, *planned.clients) for call in part)
    assert Counter(answer.call for answer in answered) == calls
    ids = Counter(answer.request_id for answer in answered)
    assert max(ids.values()) == 1, ids.most_common(3)
    for answer in answered:
        kind, told = answer.call.kind, (answer.call, answer.status, answer.error_type, answer.body)
        assert len(answer.request_id) == 36, told
        if answer.call.asynchronous:
            assert (answer.status, answer.error_type) == (202, None), told
            continue
        assert answer.error_type in kind.error_types, told
        assert answer.status == (429 if answer.error_type == _THROTTLED else 200), told
        if answer.error_type is None:
            assert answer.body == answer.call.nonce, told
        elif answer.error_type == _THROTTLED:
            assert answer.body["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded", told


def attempts_of(lines: Iterable[str]) -> Attempts:
    found: Attempts = {word: Counter() for word in ("START", "END", "REPORT")}
    for line in lines:
        word, _, rest = line.partition(" ")
        if word in found and rest.startswith("RequestId: "):
            found[word][rest.split()[1]] += 1
    return found


def check_log(kind: Kind, answered: Sequence[Answered], lines: Sequence[str]) -> int:
    """Of every request id as many START, END and REPORT lines as it had attempts; how many those were in all."""
    found = attempts_of(lines)
    assert found["START"] == found["REPORT"] == found["END"], _differences(kind, found)
    expected: dict[str, tuple[int, ...]] = {}
    for answer in answered:
        if answer.error_type != _THROTTLED:
            expected[answer.request_id] = kind.attempts if answer.call.asynchronous else (1,)
    attempts = found["START"]
    missing, unknown = set(expected) - set(attempts), set(attempts) - set(expected)
    assert not missing, f"{kind.name}: not in the log: {[item for item in answered if item.request_id in missing]}"
    assert not unknown, f"{kind.name}: in the log, and nobody asked: {unknown}"
    wrong = {request_id: count for request_id, count in attempts.items() if count not in expected[request_id]}
    assert not wrong, f"{kind.name}: attempts: {wrong}"
    if kind.name == "prints-much":
        printed = Counter(line.split()[0] for line in lines if line.endswith("." * 200 + "\n"))
        due = {answer.call.nonce: PRINTED_LINES for answer in answered}
        assert printed == due, f"lines printed: {printed}"
    return attempts.total()


def _differences(kind: Kind, found: Attempts) -> str:
    ids = set().union(*found.values())
    counts = {request_id: [found[word][request_id] for word in found] for request_id in ids}
    uneven = {request_id: count for request_id, count in counts.items() if len(set(count)) > 1}
    return f"{kind.name}: [START, END, REPORT] by request id: {uneven}"


def check_deliveries(planned: Round, lines: dict[str, Sequence[str]], dead: Sequence[str]) -> int:
    """What event sources sent: each good one once, each bad one as often as it is tried, and then put aside."""
    attempts = 0
    for reader, bodies in ((QUEUE_READER, planned.messages), (STREAM_READER, planned.records)):
        found = attempts_of(lines[reader.name])
        assert found["START"] == found["REPORT"] == found["END"], _differences(reader, found)
        assert max(found["START"].values(), default=1) == 1, found["START"].most_common(3)
        got = Counter(
            body
            for line in lines[reader.name]
            if line.startswith("GOT ")
            for body in json.loads(line.removeprefix("GOT "))
        )
        due = {body: RECEIVES if body.startswith(BAD) else 1 for body in bodies}
        assert got == due, f"{reader.name}: {got - Counter(due)} too often, {Counter(due) - got} too seldom"
        attempts += found["START"].total()
    expected = sorted(body for body in planned.messages if body.startswith(BAD))
    assert sorted(dead) == expected, f"in the dead-letter queue: {dead}"
    return attempts


def processes_of(token: str) -> list[psutil.Process]:
    """Those of this soak's functions and all they have started, wherever they hang in the tree of processes."""
    found = []
    marker = f"{TOKEN}={token}".encode()
    for process in psutil.process_iter():
        try:
            if marker in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0"):
                found.append(process)
        except OSError:
            continue
    return found


@dataclass(frozen=True)
class Resources:
    """What the emulator itself has, between rounds; memory in MB.

    `folders`: entries of its working folder that belong to environments; `children`: processes, those of provisioned
    environments among them.
    """

    descriptors: int
    threads: int
    children: int
    zombies: int
    folders: int
    memory_mb: float
    attempts: int
    """How many invocations it had run by then."""

    @classmethod
    def of(cls, pid: int, work: Path, attempts: int) -> Resources:
        process = psutil.Process(pid)
        children = process.children()
        environments = work / "environments"
        return cls(
            descriptors=process.num_fds(),
            threads=process.num_threads(),
            children=len(children),
            zombies=sum(child.status() == psutil.STATUS_ZOMBIE for child in children),
            folders=len(list(environments.iterdir())) if environments.is_dir() else 0,
            memory_mb=process.memory_full_info().uss / 1e6,
            attempts=attempts,
        )


ENOUGH = 40
"""Answers of a function among which each that it may give is certain to be."""


def check_outcomes(outcomes: Counter[tuple[str, str | None]]) -> None:
    """Every function did what it is there for: a leak that never came to its limit would show nothing."""
    for kind in KINDS:
        seen = {error_type: outcomes[kind.name, error_type] for error_type in kind.error_types}
        assert sum(seen.values()) < ENOUGH or all(seen.values()), f"{kind.name}: {seen}"


WARM_UP_SHARE = 1 / 3
DESCRIPTORS_SLACK = 4
THREADS_SLACK = 4
MEMORY_SLACK_MB = 8.0
"""What an allocator that has been asked for the same again and again may keep more or less of."""

MEMORY_PER_ATTEMPT_MB = 0.0005
"""What may stay of one invocation when its log is deleted: MiniStack keeps a few records of what it has done."""


def check_plateaus(seen: Sequence[Resources]) -> None:
    """After the warm-up the emulator has what it had: the medians of a first and a last part are compared."""
    settled = seen[max(1, round(len(seen) * WARM_UP_SHARE)) - 1 :]
    part = max(1, len(settled) // 3)
    first, last = settled[:part], settled[-part:]
    told = "\n".join(map(str, seen))

    def grown(of: str) -> float:
        before, after = ([float(getattr(item, of)) for item in items] for items in (first, last))
        return statistics.median(after) - statistics.median(before)

    assert grown("descriptors") <= DESCRIPTORS_SLACK, f"file descriptors leak\n{told}"
    assert grown("threads") <= THREADS_SLACK, f"threads leak\n{told}"
    assert all(item.zombies == 0 for item in seen), f"processes that ended are not collected\n{told}"
    allowed_mb = MEMORY_SLACK_MB + MEMORY_PER_ATTEMPT_MB * grown("attempts")
    assert grown("memory_mb") <= allowed_mb, f"memory leaks: more than {allowed_mb:.1f} MB\n{told}"
