"""Packed files are read into buffers as the general reader unpacks them, also where they are damaged."""

from __future__ import annotations

import gzip
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serverless_lab.coldstarts.digest.packed import Packed
from serverless_lab.coldstarts.formats_packed import Unpacked


def read(path: Path, size: int) -> tuple[bytes, str | None]:
    packed = Packed(path)
    buffer = bytearray(size)
    found = b""
    while count := packed.readinto(memoryview(buffer)):
        found += buffer[:count]
    packed.close()
    return found, packed.problem


numbers = st.lists(st.integers(0, 400), max_size=60)
texts = numbers.map(lambda each: b"".join(b"line %d of it\n" % number for number in each))
members = texts.map(lambda text: gzip.compress(text, mtime=0))


@given(data=st.data(), parts=st.lists(members, min_size=1, max_size=3), size=st.sampled_from([7, 100, 1 << 16]))
@settings(max_examples=60, deadline=None)
def test_whatever_is_wrong_with_a_file_is_read_and_said_as_the_general_reader_does(data, parts, size):
    """A faster library unpacks it, which must give no byte more or less and find fault with the same files."""
    packed = b"".join(parts)
    damage = data.draw(st.sampled_from(["none", "cut", "byte", "zeros", "twice", "behind"]))
    at = data.draw(st.integers(0, len(packed) - 1))
    if damage == "cut":
        packed = packed[:at]
    elif damage == "byte":
        packed = packed[:at] + bytes([packed[at] ^ (1 << data.draw(st.integers(0, 7)))]) + packed[at + 1 :]
    elif damage == "zeros":
        packed += bytes(20)
    elif damage == "twice":
        packed = gzip.compress(packed, mtime=0)
    elif damage == "behind":
        packed += b"no gzip"
    with TemporaryDirectory() as folder:
        path = Path(folder) / "log.gz"
        path.write_bytes(packed)
        unpacked = Unpacked([packed])
        expected = b"".join(unpacked)
        assert read(path, size) == (expected, unpacked.problem)


@pytest.mark.parametrize("cut", [40_000, 70_000, 100_000])
def test_a_large_file_that_is_damaged_late_goes_on_where_it_was(tmp_path, cut):
    """The first part was handed out already when the damage is met: it is not handed out again."""
    text = b"".join(b"%d %d\n" % (n, n * n * 7919 % 1_000_003) for n in range(60_000))
    packed = gzip.compress(text, mtime=0)
    assert len(packed) > cut
    packed = packed[:cut] + bytes([packed[cut] ^ 0x55]) + packed[cut + 1 :]
    path = tmp_path / "log.gz"
    path.write_bytes(packed)
    unpacked = Unpacked(packed[at : at + 32_768] for at in range(0, len(packed), 32_768))
    expected = b"".join(unpacked)
    assert read(path, 1 << 16) == (expected, unpacked.problem)
