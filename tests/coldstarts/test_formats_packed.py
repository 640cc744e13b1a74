"""Unpacking: members, layers, ends and damage."""

from __future__ import annotations

import gzip
import random

import pytest
from backports import zstd

from serverless_lab.coldstarts.formats_packed import Unpacked

DATA = "".join(f"line {number} {random.Random(number).random()}\n" for number in range(4_000)).encode()


def unpacked(data: bytes, chunk: int = 4_096) -> tuple[bytes, Unpacked]:
    found = Unpacked(data[at : at + chunk] for at in range(0, len(data), chunk))
    return b"".join(found), found


@pytest.mark.parametrize(
    ("data", "layers"),
    [
        (DATA, ()),
        (gzip.compress(DATA), ("gzip",)),
        (zstd.compress(DATA), ("zstd",)),
        (gzip.compress(gzip.compress(DATA)), ("gzip", "gzip")),
        (zstd.compress(gzip.compress(DATA)), ("zstd", "gzip")),
        (gzip.compress(DATA) + b"\x00" * 512, ("gzip",)),
        (b"\x50\x2a\x4d\x18\x04\x00\x00\x00note" + zstd.compress(DATA), ("zstd",)),
    ],
    ids=["plain", "gzip", "zstd", "gzip twice", "zstd of gzip", "gzip with padding", "zstd after a skippable frame"],
)
@pytest.mark.parametrize("chunk", [1, 4_096, 1_000_000])
def test_what_is_packed_is_seen_by_its_first_bytes(data, layers, chunk):
    found, how = unpacked(data, chunk)
    assert (found, how.layers, how.problem) == (DATA, layers, None)


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress])
def test_members_and_frames_follow_one_another(compress):
    found, how = unpacked(compress(DATA) + compress(b"more") + compress(b""))
    assert (found, how.problem) == (DATA + b"more", None)


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress])
def test_a_file_that_ends_early_gives_what_is_before_and_says_so(compress):
    packed = compress(DATA)
    found, how = unpacked(packed + packed[: len(packed) // 2])
    assert (DATA + DATA).startswith(found)
    assert len(found) >= len(DATA)
    assert "ends before" in (how.problem or "")


def test_damage_is_told_and_what_is_before_it_is_kept():
    packed = bytearray(gzip.compress(DATA))
    packed[len(packed) // 2 : len(packed) // 2 + 40] = b"\xff" * 40
    found, how = unpacked(bytes(packed))
    assert found[: len(DATA) // 4] == DATA[: len(DATA) // 4]
    assert "damaged" in (how.problem or "")


def test_a_checksum_that_does_not_match_makes_every_number_doubtful():
    packed = bytearray(gzip.compress(DATA))
    packed[-8] ^= 1
    _, how = unpacked(bytes(packed))
    assert "any number in it may be wrong" in (how.problem or "")


def test_what_follows_a_member_and_is_none_is_told():
    found, how = unpacked(gzip.compress(DATA) + b"garbage")
    assert found == DATA
    assert "damaged" in (how.problem or "")
