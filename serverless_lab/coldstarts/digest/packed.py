"""The unpacked bytes of a packed file. ISA-L unpacks gzip, three times as fast as zlib, while all is well.

What is damaged, cut off or packed otherwise is unpacked as the general reader does it, from the place on that was
reached: so both read the same of every file, and say the same of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

from serverless_lab.coldstarts.formats_packed import GZIP, ZSTD, Unpacked

_CHUNK = 32_768
"""Measured: what is unpacked at once then stays in a core's cache until it is copied; 262,144 take a seventh longer."""

_RARE_FLAGS = 0b1110_0010
"""Of a gzip member: a checksum of its head, and what no version knows (https://www.rfc-editor.org/rfc/rfc1952)."""


class Packed:
    """The unpacked bytes of a file, to be read into a buffer of any size."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb", buffering=0)
        self._unpacked: Unpacked | None = None
        self._chunks = self._quickly()
        self._held = memoryview(b"")

    def readinto(self, buffer: memoryview) -> int:
        """Fills the buffer; less is the file's end."""
        filled = 0
        while filled < len(buffer):
            if not self._held:
                self._held = memoryview(next(self._chunks, b""))
                if not self._held:
                    break
            count = min(len(buffer) - filled, len(self._held))
            buffer[filled : filled + count] = self._held[:count]
            self._held = self._held[count:]
            filled += count
        return filled

    @property
    def problem(self) -> str | None:
        """Why the bytes ended where they did; None when that is where the file ends."""
        return None if self._unpacked is None else self._unpacked.problem

    def close(self) -> None:
        self._file.close()

    def _quickly(self) -> Iterator[bytes]:
        done = 0
        for out in _unpacked_members(self._file):
            if out is None or (done == 0 and out[:4].startswith((GZIP, ZSTD))) or (done == 0 and len(out) < 4):
                break
            yield out
            done += len(out)
        else:
            return
        self._file.seek(0)
        self._unpacked = Unpacked(iter(lambda: self._file.read(_CHUNK), b""))
        for out in self._unpacked:
            if done < len(out):
                yield out[done:]
            done = max(0, done - len(out))


def _unpacked_members(file: IO[bytes]) -> Iterator[bytes | None]:
    """What a gzip file holds; None, at last, where anything is not as it mostly is."""
    try:
        from isal import isal_zlib
    except ImportError:  # there are machines that ISA-L does not know
        yield None
        return
    part = None
    while chunk := file.read(_CHUNK):
        while chunk:
            if part is None:
                if len(chunk) < _HEAD or not chunk.startswith(GZIP) or chunk[3] & _RARE_FLAGS:
                    yield None
                    return
                part = isal_zlib.decompressobj(wbits=31)
            try:
                out = part.decompress(chunk)
            except Exception:  # whatever it is: zlib will say what is wrong
                yield None
                return
            if out:
                yield out
            if not part.eof:
                break
            chunk, part = part.unused_data, None
    if part is not None:
        yield None


_HEAD = 10
