"""A soak is worth as much as what it would notice: each of its accounts is shown to fail where something is wrong."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

from tests.soak import accounts
from tests.soak.accounts import Resources
from tests.soak.clients import Answered
from tests.soak.functions import BY_NAME
from tests.soak.plan import Call, Round, Size, planned

RESULT, FAILED = (Call(BY_NAME[name], "n", 1, False, 0.0) for name in ("well", "raises"))
LATER = Call(BY_NAME["raises"], "n", 2, True, 0.0)
IDS = [f"{number:036}" for number in range(4)]


def lines(*ids: str, words: tuple[str, ...] = ("START", "END", "REPORT")) -> list[str]:
    return [f"{word} RequestId: {request_id} Version: $LATEST\n" for request_id in ids for word in words]


def round_of(*calls: Call) -> Round:
    return Round(0, (calls,), (), (), ())


def test_the_same_seed_plans_the_same_round():
    size = Size()
    assert planned(7, 3, size) == planned(7, 3, size) != planned(7, 4, size)
    assert planned(7, 3, size).generators[0] != planned(8, 3, size).generators[0]


def test_a_round_that_is_in_order_passes():
    answered = [
        Answered(RESULT, 200, None, "n", IDS[0]),
        Answered(FAILED, 200, "ValueError", {}, IDS[1]),
        Answered(LATER, 202, None, None, IDS[2]),
    ]
    accounts.check_answers(round_of(RESULT, FAILED, LATER), answered)
    assert accounts.check_log(RESULT.kind, answered[:1], lines(IDS[0])) == 1
    assert accounts.check_log(FAILED.kind, answered[1:], lines(IDS[1], IDS[2], IDS[2])) == 3


@pytest.mark.parametrize(
    "answered",
    [
        [],
        [Answered(RESULT, 200, None, "n", IDS[0])] * 2,
        [Answered(RESULT, 200, None, "another's", IDS[0])],
        [Answered(RESULT, 200, "Runtime.ExitError", {}, IDS[0])],
        [Answered(RESULT, 500, None, "n", IDS[0])],
        [Answered(RESULT, 200, None, "n", "")],
    ],
    ids=["none", "two", "of another call", "an error", "another status", "no request id"],
)
def test_a_wrong_answer_is_found(answered: list[Answered]):
    with pytest.raises(AssertionError):
        accounts.check_answers(round_of(RESULT), answered)


@pytest.mark.parametrize(
    "log",
    [
        [],
        lines(IDS[0], IDS[0]),
        lines(IDS[0], IDS[1]),
        lines(IDS[0], words=("START", "END")),
        lines(IDS[0]) + lines(IDS[0], words=("REPORT",)),
    ],
    ids=["missing", "twice", "nobody asked", "no REPORT", "two REPORTs"],
)
def test_a_log_that_does_not_have_each_attempt_once_is_found(log: list[str]):
    with pytest.raises(AssertionError):
        accounts.check_log(RESULT.kind, [Answered(RESULT, 200, None, "n", IDS[0])], log)


def test_an_event_that_was_not_tried_again_is_found():
    with pytest.raises(AssertionError, match="attempts"):
        accounts.check_log(LATER.kind, [Answered(LATER, 202, None, None, IDS[0])], lines(IDS[0]))


def got(*bodies: str) -> list[str]:
    return [
        line
        for body, request_id in zip(bodies, IDS, strict=False)
        for line in (*lines(request_id), f'GOT ["{body}"]\n')
    ]


@pytest.mark.parametrize(
    ("seen", "dead"),
    [
        (("good-1", "bad-2"), ("bad-2",)),
        (("good-1", "good-1", "bad-2", "bad-2"), ("bad-2",)),
        (("bad-2", "bad-2"), ("bad-2",)),
        (("good-1", "bad-2", "bad-2"), ()),
    ],
    ids=["not tried again", "delivered twice", "not delivered", "not put aside"],
)
def test_a_message_that_goes_another_way_is_found(seen: tuple[str, ...], dead: tuple[str, ...]):
    plan = dataclasses.replace(round_of(), messages=("good-1", "bad-2"))
    logs = {"reads-a-queue": got("good-1", "bad-2", "bad-2"), "reads-a-stream": []}
    assert accounts.check_deliveries(plan, logs, ["bad-2"]) == 3
    with pytest.raises(AssertionError):
        accounts.check_deliveries(plan, {**logs, "reads-a-queue": got(*seen)}, dead)


def test_a_function_that_never_did_what_it_is_there_for_is_found():
    seen = Counter({("leaks-memory", None): 45, ("leaks-memory", "Runtime.OutOfMemory"): 1})
    accounts.check_outcomes(seen)
    with pytest.raises(AssertionError, match="leaks-memory"):
        accounts.check_outcomes(Counter({("leaks-memory", None): 45}))


LEVEL = Resources(descriptors=30, threads=7, children=3, zombies=0, folders=2, memory_mb=70.0, attempts=0)


@pytest.mark.parametrize(
    ("leak", "found"),
    [
        ({"descriptors": 1}, "file descriptors leak"),
        ({"threads": 1}, "threads leak"),
        ({"memory_mb": 3.0}, "memory leaks"),
        ({"zombies": 1}, "not collected"),
    ],
)
def test_what_grows_with_every_round_is_found(leak: dict[str, float], found: str):
    def after(number: int, of: dict[str, float]) -> Resources:
        grown = {name: getattr(LEVEL, name) + number * each for name, each in of.items()}
        return dataclasses.replace(LEVEL, attempts=150 * number, **grown)

    accounts.check_plateaus([after(number, {}) for number in range(20)])
    with pytest.raises(AssertionError, match=found):
        accounts.check_plateaus([after(number, leak) for number in range(20)])
