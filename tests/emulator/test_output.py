"""What a function writes, cut into log events and bounded."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from serverless_lab.emulator.output import BOOT_FRAME, Level, Output, level_of

EVENT = 256 * 1024


def frame(text: bytes, frame_type: int = 0xA55A0003, at_us: int = 5_000_000) -> bytes:
    return struct.pack(">IIQ", frame_type, len(text), at_us) + text


def nothing(frame_type: int, number: int, payload: bytes) -> None:
    raise AssertionError(f"a frame of type {frame_type:x}")


@given(st.lists(st.binary(max_size=40)), st.lists(st.integers(1, 30), min_size=1))
def test_lines_are_the_same_however_their_bytes_are_cut(lines: list[bytes], cuts: list[int]):
    data = b"\n".join(line.replace(b"\n", b"") for line in lines)
    output, at, turn = Output(nothing), 0, 0
    while at < len(data):
        size = cuts[turn % len(cuts)]
        output.write(data[at : at + size])
        at, turn = at + size, turn + 1
    output.end_line()
    found, dropped = output.take()
    assert b"".join(line.text for line in found) == data and dropped is None
    assert all(line.text.endswith(b"\n") for line in found[:-1])


@given(st.lists(st.binary(max_size=60)), st.lists(st.integers(1, 30), min_size=1))
def test_a_frame_is_one_event_whatever_lines_are_in_it(texts: list[bytes], cuts: list[int]):
    """Python's logging writes a message with its traceback as one frame."""
    data = b"".join(frame(text) for text in texts)
    output, at, turn = Output(nothing), 0, 0
    while at < len(data):
        size = cuts[turn % len(cuts)]
        output.write_frames(data[at : at + size])
        at, turn = at + size, turn + 1
    found, _ = output.take()
    assert [(line.at_ms, line.text) for line in found] == [(5_000, text) for text in texts]


def test_no_event_is_longer_than_cloudwatch_takes():
    output = Output(nothing)
    output.write(b"x" * (2 * EVENT + 5) + b"\n")
    output.write_frames(frame(b"y" * (EVENT + 7)))
    found, _ = output.take()
    assert [len(line.text) for line in found] == [EVENT, EVENT, 6, EVENT, 7]


def test_the_frames_of_our_own_bootstrap_are_no_output():
    told = []
    output = Output(lambda *frame: told.append(frame))
    output.write_frames(frame(b"", BOOT_FRAME, 123) + frame(b"a message"))
    assert told == [(BOOT_FRAME, 123, b"")]
    assert [line.text for line in output.take()[0]] == [b"a message"]


def test_a_frames_type_has_the_level_of_its_message():
    """The numbers are the runtime interface client's: text and JSON frames of logging's levels."""
    assert [level_of(kind) for kind in (0xA55A000B, 0xA55A000F, 0xA55A0013, 0xA55A0017, 0xA55A001B)] == [
        Level.DEBUG,
        Level.INFO,
        Level.WARN,
        Level.ERROR,
        Level.FATAL,
    ]
    assert [level_of(kind) for kind in (0xA55A000A, 0xA55A0016)] == [Level.DEBUG, Level.ERROR]
    assert level_of(0xA55A0003) is None


def test_what_a_function_prints_for_ever_is_dropped_and_counted():
    """A gigabyte costs the emulator no more than the budget."""
    output = Output(nothing, budget=10_000)
    for _ in range(100):
        output.write(b"0123456789\n" * 100_000)
    found, dropped = output.take()
    assert 0 < sum(len(line.text) for line in found) <= 10_000
    assert dropped.records + len(found) == 10_000_000
    assert dropped.length + sum(len(line.text) for line in found) == 110_000_000
    output.write(b"again\n")
    assert [line.text for line in output.take()[0]] == [b"again\n"]
