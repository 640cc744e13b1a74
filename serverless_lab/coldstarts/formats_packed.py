"""Bytes of a file -> bytes of the log in it: gzip and zstd are unpacked, members and frames one after the other.

A file that ends early gives what stood before its end. What went wrong is told at the end, in `Unpacked.problem`.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

GZIP = b"\x1f\x8b\x08"
ZSTD = b"\x28\xb5\x2f\xfd"

# documented: https://www.rfc-editor.org/rfc/rfc8878#name-skippable-frames: 0x184D2A50 to 0x184D2A5F, little-endian.
_ZSTD_SKIPPABLE = tuple(bytes((0x50 + nibble,)) + b"\x2a\x4d\x18" for nibble in range(16))

_LAYERS_MAX = 4
"""A log may be packed more than once (Firehose packs what a subscription has packed); deeper is not a log."""


class Unpacked:
    """The bytes of a log, unpacked as they are asked for. `layers` names what they were packed with, outermost first.

    `problem` says why the bytes end where they do; None when they end where the file does. Known when all were read.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.layers: tuple[str, ...] = ()
        self.problem: str | None = None
        self._chunks = _with_whole_head(iter(chunks))
        for _ in range(_LAYERS_MAX):
            head, self._chunks = _peek(self._chunks)
            if head.startswith(GZIP):
                self._layer("gzip", _GzipMember)
            elif head.startswith((ZSTD, *_ZSTD_SKIPPABLE)):
                self._layer("zstd", _zstd_frame)
            else:
                return

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def _layer(self, name: str, opened: Any) -> None:
        self.layers = (*self.layers, name)
        self._chunks = _with_whole_head(self._unpack(self._chunks, name, opened))

    def _unpack(self, chunks: Iterator[bytes], name: str, opened: Any) -> Iterator[bytes]:
        part: _Part = opened()
        is_open = False  # whether the part has begun
        for chunk in chunks:
            while chunk:
                if not is_open:
                    # Zeros may fill up a file behind the last member (https://www.gnu.org/software/gzip/manual/).
                    chunk = chunk.lstrip(b"\x00")
                    if not chunk:
                        break
                    is_open = True
                try:
                    out = part.decompress(chunk)
                except Exception as error:  # zlib.error, ZstdError: each library has its own
                    yield from part.rest_before_error()
                    # A checksum stands at the end: by then everything was unpacked, and something of it is wrong.
                    wrong = "any number in it may be wrong" if " check" in str(error) else "not read from there on"
                    self.problem = f"{name}: damaged, {wrong} ({error})"
                    return
                if out:
                    yield out
                if not part.eof:
                    break
                chunk = part.unused_data
                part, is_open = opened(), False
        if is_open:
            rest = part.rest()
            if rest:
                yield rest
            self.problem = self.problem or f"{name}: the file ends before the packed log does"


class _Part(Protocol):
    """One gzip member or zstd frame."""

    eof: bool
    unused_data: bytes

    def decompress(self, data: bytes) -> bytes: ...
    def rest(self) -> bytes: ...
    def rest_before_error(self) -> Iterator[bytes]: ...


class _GzipMember:
    """zlib keeps to itself what it had unpacked when it meets an error, so a copy of its state unpacks that again."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=31)
        self._before = self._inflate
        self._data = b""

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes) -> bytes:
        self._before, self._data = self._inflate.copy(), data
        return self._inflate.decompress(data)

    def rest(self) -> bytes:
        return self._inflate.flush()

    def rest_before_error(self) -> Iterator[bytes]:
        for at in range(len(self._data)):
            try:
                yield self._before.decompress(self._data[at : at + 1])
            except zlib.error:
                return


class _ZstdFrame:
    def __init__(self, decompressor: Any) -> None:
        self._decompressor = decompressor

    @property
    def eof(self) -> bool:
        return bool(self._decompressor.eof)

    @property
    def unused_data(self) -> bytes:
        data: bytes = self._decompressor.unused_data
        return data

    def decompress(self, data: bytes) -> bytes:
        out: bytes = self._decompressor.decompress(data)
        return out

    def rest(self) -> bytes:
        return b""

    def rest_before_error(self) -> Iterator[bytes]:
        return iter(())


def _zstd_frame() -> _ZstdFrame:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return _ZstdFrame(zstd.ZstdDecompressor())


def _with_whole_head(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes; the first chunk has at least as many as tell what is packed, if there are so many."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= 4:
            yield head
            break
    else:
        if head:
            yield head
        return
    yield from chunks


def _peek(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    first = next(chunks, b"")

    def again() -> Iterator[bytes]:
        if first:
            yield first
        yield from chunks

    return first, again()
