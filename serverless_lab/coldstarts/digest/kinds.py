"""Events of many streams -> what kind each invocation was, by array arithmetic.

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
    pairs = _pairs(story, reports, start_ids, same)
    rows, starts = story.row[pairs + 1], story.row[pairs]

    is_end = np.zeros(count, np.bool_)
    is_end[pairs + 1] = True
    resets = np.zeros(count, np.bool_)
    resets[pairs + 1] = reports.resets[rows]
    # A START without its REPORT behind it may be ended by any later one with its id.
    lonely = story.row[(what == START) & ~np.append(is_end[1:], False)]
    is_special = np.zeros(len(pairs), np.bool_)
    if len(lonely) or len(other_ids):
        hashes = id_hashes(reports.ids[rows])
        is_special = np.isin(hashes, np.concatenate([other_ids, id_hashes(start_ids[lonely])]))
        resets[pairs[is_special] + 1] = True
    before, earlier = np.maximum(pairs - 1, 0), np.maximum(pairs - 2, 0)
    has_before = same[pairs]
    after_init = has_before & (what[before] >= INIT_START)
    led_to = np.where(after_init, earlier, before)  # what stands before the invocation and its init
    is_first = np.where(after_init, ~same[before], ~has_before)
    is_environment = story.is_environment[stream[pairs]]
    known = np.where(is_first, story.begins_here[stream[pairs]], is_end[led_to])
    known = (known | ~is_environment) & ~is_special

    after_init &= is_environment
    after_reset = ~is_first & resets[led_to] & is_environment
    init_us, restore_us = reports.init_us[rows], reports.restore_us[rows]
    is_restored = restore_us >= 0
    gap_us = (story.ms[pairs] - story.ms[before]) * 1000
    nobody_waited = after_init & (gap_us > np.where(is_restored, restore_us, init_us) + _GAP_US)
    kinds = np.full(len(pairs), CODE_OF[WARM])
    kinds[after_init] = CODE_OF[UNKNOWN]
    kinds[after_reset] = CODE_OF[INIT_REPEATED]
    carries = is_restored | (init_us >= 0)
    if carries.any():
        kinds[carries] = CODE_OF[COLD]
        kinds[is_restored] = CODE_OF[RESTORED]
        kinds[carries & nobody_waited] = CODE_OF[PROACTIVE]

    pair_of = np.full(count, -1, np.int64)
    pair_of[pairs] = pair_of[pairs + 1] = np.arange(len(pairs))
    used = np.flatnonzero(after_init)
    pair_of[pairs[used] - 1] = used
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


def _pairs(story: Story, reports: ReportColumns, start_ids: Words, same: Flags) -> Integers:
    """Where a START stands with the REPORT of the same request right behind it."""
    pairs = np.flatnonzero((story.what[:-1] == START) & (story.what[1:] == REPORT) & same[1:])
    alike = same_ids(reports.ids, story.row[pairs + 1], start_ids, story.row[pairs])
    return pairs if alike.all() else pairs[alike]


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


def same_ids(first: Words, first_rows: Integers, second: Words, second_rows: Integers) -> Flags:
    """Whether the request ids of two rows are the same."""
    found = np.ones(len(first_rows), np.bool_)
    for at in range(first.shape[1]):
        found &= first[first_rows, at] == second[second_rows, at]
    return found


def id_hashes(ids: Words) -> Integers:
    """A number for each request id, the same for the same one."""
    mixed = np.zeros(len(ids), np.uint64)
    for at in range(ids.shape[1]):
        mixed = (mixed ^ ids[:, at]) * U(0x9E3779B97F4A7C15)
        mixed ^= mixed >> U(29)
    return (mixed >> U(1)).view(np.int64)
