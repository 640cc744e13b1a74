"""Functions over bytes in memory, compiled to machine code when they are first called, and kept for the next process.

They read text by its address, and write by the address of an array. Arrays themselves allow negative offsets and have
their references counted wherever they are handed on: with them it all takes five times as long.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from serverless_lab.emulator.runtime_directory import cache_directory

Asked = ParamSpec("Asked")
Told = TypeVar("Told")


def compiled(function: Callable[Asked, Told]) -> Callable[Asked, Told]:
    """A function of numbers and arrays as machine code. It is the same function, some hundred times as fast.

    Integers in it have 64 bits, words of text are `np.uint64`; both must not meet in one expression, which would be a
    float. No offset is checked: a buffer goes on behind its text for as long as what is asked for there.
    """
    return _as_machine_code(function, forceinline=False)


def inlined(function: Callable[Asked, Told]) -> Callable[Asked, Told]:
    """As `compiled`, for what is small: it becomes a part of the compiled functions that call it."""
    return _as_machine_code(function, forceinline=True)


def _as_machine_code(function: Callable[Asked, Told], *, forceinline: bool) -> Callable[Asked, Told]:
    folder = _kept_in()
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder)
    try:
        made = numba.njit(nogil=True, error_model="numpy", forceinline=forceinline, cache=folder is not None)(function)
    finally:
        config.CACHE_DIR = before
    return cast(Callable[Asked, Told], made)


@cache
def _kept_in() -> Path | None:
    """A folder for what is compiled from the sources as they are; None where it may not be written: then all is
    compiled anew in each process.
    """
    folder = cache_directory() / "machine-code" / hash_of_sources(Path(__file__).parent)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def hash_of_sources(folder: Path) -> str:
    """A name that differs when any source differs.

    numba looks at the source of the function itself only, which goes on calling what it was compiled with.
    """
    told = hashlib.sha256()
    for source in sorted(folder.glob("*.py")):
        told.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return told.hexdigest()[:16]


# --- what is read in memory ------------------------------------------------------------------------------------------


def _load(builder: Any, kind: Any, text: Any, at: Any) -> Any:
    place = builder.inttoptr(builder.add(text, at), kind.as_pointer())
    return builder.load(place, align=1)


def _char_at(typing_context: Any, text: Any, at: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.zext(_load(builder, ir.IntType(8), *arguments), ir.IntType(64))

    return types.int64(types.int64, types.int64), generate


def _word_at(typing_context: Any, text: Any, at: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _load(builder, ir.IntType(64), *arguments)

    return types.uint64(types.int64, types.int64), generate


def _integer_at(typing_context: Any, numbers: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_of_eight(builder, *arguments))

    return types.int64(types.int64, types.int64), generate


def _put_integer(typing_context: Any, numbers: Any, index: Any, value: Any) -> Any:
    return types.void(types.int64, types.int64, types.int64), _generate_put


def _put_word(typing_context: Any, words: Any, index: Any, value: Any) -> Any:
    return types.void(types.int64, types.int64, types.uint64), _generate_put


def _generate_put(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    builder.store(arguments[2], _of_eight(builder, *arguments[:2]))
    return context.get_dummy_value()


def _of_eight(builder: Any, numbers: Any, index: Any) -> Any:
    """Where in an array of numbers of eight bytes one stands."""
    behind = builder.shl(index, ir.Constant(ir.IntType(64), 3))
    return builder.inttoptr(builder.add(numbers, behind), ir.IntType(64).as_pointer())


def _bytes_below(typing_context: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        zeros = builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))
        return builder.lshr(zeros, ir.Constant(ir.IntType(64), 3))

    return types.int64(types.uint64), generate


char_at = cast("Callable[[int, int], int]", intrinsic(_char_at))
"""The byte that stands so many bytes behind an address."""

word_at = cast("Callable[[int, int], np.uint64]", intrinsic(_word_at))
"""The eight bytes from there on, the first one lowest."""

integer_at = cast("Callable[[int, int], int]", intrinsic(_integer_at))
"""The integer at an index of the array at an address."""

put_integer = cast("Callable[[int, int, int], None]", intrinsic(_put_integer))
"""Writes an integer to an index of the array at an address."""

put_word = cast("Callable[[int, int, np.uint64], None]", intrinsic(_put_word))
"""Writes a word to an index of the array at an address."""

bytes_below = cast("Callable[[np.uint64], int]", intrinsic(_bytes_below))
"""How many whole bytes of a word stand below the lowest bit that is set; 8 where none is."""
