"""Events of many streams -> what kind each invocation was.

The rules are those of `coldstarts.invocations`, which reads a stream like a story. Nearly all of a story is one of two
sentences: START and its REPORT after another REPORT; INIT_START, START and its REPORT after another REPORT. All of
these are told at once. Everything else is left, in order, to be told by `build_invocations` itself.

What is left can be read on its own, as if nothing stood between its pieces: each piece begins and ends where an
environment is ready for anything, with no init unused and no failure behind it that resets it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serverless_lab.coldstarts.digest.arrays import Flags, Integers, U, Words
from serverless_lab.coldstarts.digest.machine import compiled, integer_at
from serverless_lab.coldstarts.invocations import (
    COLD,
    INIT_REPEATED,
    KINDS,
    NOBODY_WAITED_GAP_MS,
    PROACTIVE,
    RESTORED,
    UNKNOWN,
    WARM,
)

OTHER, REPORT, START, INIT_START, RESTORE_START = range(5)
"""What an event is. OTHER is always left."""

Codes = npt.NDArray[np.int8]
CODE_OF = {kind: np.int8(at) for at, kind in enumerate(KINDS)}

_GAP_US = NOBODY_WAITED_GAP_MS * 1000


@dataclass(frozen=True)
class Story:
    """Events, and of each: what it is, when (epoch ms), of which stream, on which line, and its row among its like.

    `lane` has equal numbers for events that tell one story: those of a stream, or of a request where the stream is not
    one environment's. `is_init` marks events that come first among those of one millisecond.

    By stream: whether it begins with these events, ends with them, and is one environment.
    """

    what: Codes
    ms: Integers
    stream: Integers
    lane: Integers
    line: Integers
    row: Integers
    is_init: Flags
    begins_here: Flags
    ends_here: Flags
    is_environment: Flags

    def keys(self) -> Integers:
        """What events of one stream are sorted by: time, and at one instant an init comes first.

        So does `build_invocations`.
        """
        return self.ms * 2 + ~self.is_init

    def ordered(self) -> Story:
        """By lane, then by key; what has the same key stays in the order of its lines."""
        key = self.keys()
        step = np.diff(self.lane)
        if ((step > 0) | ((step == 0) & (np.diff(key) >= 0))).all():
            return self
        order = np.lexsort((key, self.lane))
        columns = {
            name: getattr(self, name)[order] for name in ("what", "ms", "stream", "lane", "line", "row", "is_init")
        }
        return Story(
            **columns, begins_here=self.begins_here, ends_here=self.ends_here, is_environment=self.is_environment
        )


@dataclass(frozen=True)
class ReportColumns:
    """REPORT rows as far as kinds need them; -1 for an absent time. `resets`: the next invocation has an init again."""

    ids: Words
    init_us: Integers
    restore_us: Integers
    resets: Flags


@dataclass(frozen=True)
class Told:
    """Of each invocation told: its REPORT and START rows, its kind (an index into `KINDS`), when it began, its stream.

    `left` are the positions in the story of what is left to the general rules, in order; `inits` those of INIT_START
    and RESTORE_START that are not.
    """

    reports: Integers
    starts: Integers
    kinds: Codes
    ms: Integers
    streams: Integers
    inits: Integers
    left: Integers


def tell(story: Story, reports: ReportColumns, start_ids: Words, other_ids: Integers) -> Told:
    """The kinds of all invocations that can be told at once.

    Args:
        story: in order.
        start_ids: of each START row, five words as in `ReportColumns.ids`.
        other_ids: hashes of the request ids that OTHER events name. What they say may concern any REPORT with that id,
            so those are left too, and are taken for failures that reset.
    """
    what, stream = story.what, story.stream
    count = len(what)
    empty = np.zeros(0, np.int64)
    if not count:
        return Told(empty, empty, empty.astype(np.int8), empty, empty, empty, empty)
    same = np.zeros(count, np.bool_)  # whether the event before is of the same lane
    np.equal(story.lane[1:], story.lane[:-1], out=same[1:])
    is_end = np.zeros(count, np.bool_)
    room = np.empty(count, np.int64)
    ids = reports.ids.ctypes.data, start_ids.ctypes.data
    pairs = room[: _find_pairs(what, same, story.row, *ids, reports.ids.shape[1], room, is_end)]
    rows, starts = story.row[pairs + 1], story.row[pairs]

    # A START without its REPORT behind it may be ended by any later one with its id.
    lonely = story.row[(what == START) & ~np.append(is_end[1:], False)]
    is_special = np.zeros(len(pairs), np.bool_)
    if len(lonely) or len(other_ids):
        hashes = id_hashes(reports.ids[rows])
        is_special = np.isin(hashes, np.concatenate([other_ids, id_hashes(start_ids[lonely])]))
    resets = np.zeros(count, np.bool_)
    pair_of = np.full(count, -1, np.int64)
    kinds = np.empty(len(pairs), np.int8)
    known = np.empty(len(pairs), np.bool_)
    _tell_pairs(
        *(pairs, rows, is_special, what, story.ms, stream, same, is_end, story.begins_here, story.is_environment),
        *(reports.init_us, reports.restore_us, reports.resets, resets, pair_of, kinds, known),
    )
    known[_last_pairs(story, pairs, same)] = False
    known = _closed(known, pair_of, resets, is_end & ~resets, same)
    is_told = np.append(known, False)[pair_of]
    # Where streams are no environments, an init says nothing of an invocation.
    is_told |= (what >= INIT_START) & ~story.is_environment[stream]
    return Told(
        reports=rows[known],
        starts=starts[known],
        kinds=kinds[known],
        ms=story.ms[pairs[known]],
        streams=stream[pairs[known]],
        inits=np.flatnonzero(is_told & (what >= INIT_START)),
        left=_by_stream(story, np.flatnonzero(~is_told)),
    )


@compiled
def _find_pairs(
    what: Codes,
    same: Flags,
    row: Integers,
    report_ids: int,
    start_ids: int,
    id_words: int,
    pairs: Integers,
    is_end: Flags,
) -> int:
    """Writes where a START stands with the REPORT of the same request right behind it; how often it does."""
    found = 0
    for at in range(len(what) - 1):
        if what[at] != START or what[at + 1] != REPORT or not same[at + 1]:
            continue
        report, start = row[at + 1] * id_words, row[at] * id_words
        is_same = True
        for place in range(id_words):
            is_same &= integer_at(report_ids, report + place) == integer_at(start_ids, start + place)
        if is_same:
            pairs[found] = at
            is_end[at + 1] = True
            found += 1
    return found


@compiled
def _tell_pairs(
    pairs: Integers,
    rows: Integers,
    is_special: Flags,
    what: Codes,
    ms: Integers,
    stream: Integers,
    same: Flags,
    is_end: Flags,
    begins_here: Flags,
    is_environment: Flags,
    init_us: Integers,
    restore_us: Integers,
    report_resets: Flags,
    resets: Flags,
    pair_of: Integers,
    kinds: Codes,
    known: Flags,
) -> None:
    """Tells each pair's kind, and whether it can be told, into the arrays from `resets` on.

    `pair_of` gets the pair that an event belongs to.
    """
    for pair in range(len(pairs)):
        at, report = pairs[pair], rows[pair]
        of_environment = is_environment[stream[at]]
        has_before = same[at]
        after_init = has_before and what[at - 1] >= INIT_START
        led_to = at - 1 - after_init  # what stands before the invocation and its init
        is_first = not same[at - 1] if after_init else not has_before
        can_tell = begins_here[stream[at]] if is_first else is_end[led_to]
        known[pair] = (can_tell or not of_environment) and not is_special[pair]
        kind = _WARM
        after_reset = not is_first and resets[led_to]
        if of_environment and after_reset:
            kind = _INIT_REPEATED
        elif of_environment and after_init:
            kind = _UNKNOWN
        is_restored = restore_us[report] >= 0
        if is_restored or init_us[report] >= 0:
            kind = _RESTORED if is_restored else _COLD
            took_us = restore_us[report] if is_restored else init_us[report]
            if of_environment and after_init and (ms[at] - ms[at - 1]) * 1000 > took_us + _GAP_US:
                kind = _PROACTIVE
        kinds[pair] = kind
        resets[at + 1] = report_resets[report] or is_special[pair]
        pair_of[at] = pair_of[at + 1] = pair
        if of_environment and after_init:
            pair_of[at - 1] = pair


_WARM, _COLD, _RESTORED, _PROACTIVE, _UNKNOWN, _INIT_REPEATED = (
    int(CODE_OF[kind]) for kind in (WARM, COLD, RESTORED, PROACTIVE, UNKNOWN, INIT_REPEATED)
)


def _by_stream(story: Story, events: Integers) -> Integers:
    """Some events in the order of their streams, whose stories may be in several lanes."""
    if story.lane is story.stream or not len(events):
        return events
    return events[np.lexsort((story.line[events], story.keys()[events], story.stream[events]))]


def _last_pairs(story: Story, pairs: Integers, same: Flags) -> Integers:
    """The last invocation of each environment that goes on elsewhere: a line there may say more of it."""
    lasts = np.append(np.flatnonzero(~same)[1:] - 1, len(same) - 1)
    streams = story.stream[lasts]
    lasts = lasts[~story.ends_here[streams] & story.is_environment[streams]]
    at = np.searchsorted(pairs, lasts, side="right") - 1
    lasts, at = lasts[at >= 0], at[at >= 0]
    found: Integers = at[story.lane[pairs[at]] == story.lane[lasts]]
    return found


def _closed(known: Flags, pair_of: Integers, resets: Flags, is_quiet: Flags, same: Flags) -> Flags:
    """`known` less the invocations that must be read together with what is left beside them."""
    while True:
        is_known = np.append(known, False)[pair_of]
        # A failure that resets, with something left behind it.
        before_left = is_known[:-1] & ~is_known[1:] & same[1:] & resets[:-1]
        # Something left that does not end quietly.
        behind_left = ~is_known[:-1] & is_known[1:] & same[1:] & ~is_quiet[:-1]
        joined = np.concatenate([pair_of[:-1][before_left], pair_of[1:][behind_left]])
        if not len(joined):
            return known
        known = known.copy()
        known[joined] = False


def id_hashes(ids: Words) -> Integers:
    """A number for each request id, the same for the same one."""
    mixed = np.zeros(len(ids), np.uint64)
    for at in range(ids.shape[1]):
        mixed = (mixed ^ ids[:, at]) * U(0x9E3779B97F4A7C15)
        mixed ^= mixed >> U(29)
    return (mixed >> U(1)).view(np.int64)
