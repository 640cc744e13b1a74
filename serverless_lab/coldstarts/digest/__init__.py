"""Large log files -> counts and sorted times per group and bin: compiled code, over blocks of bytes, in all processes.

`digest_paths` is the way in. It reads what `coldstarts.files` reads and applies the rules of `coldstarts.invocations`,
so both say the same of the same text; it keeps 8 bytes of an invocation where those keep the whole row.

    model.py      Digest, Group, Key: what comes out
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from serverless_lab.coldstarts.digest.model import Digest, Group, Key, Times

__all__ = ["Digest", "Group", "Key", "Times", "digest_paths"]


def digest_paths(
    paths: Sequence[Path],
    *,
    bin_ms: int,
    function: str = "",
    kinds: bool = True,
    processes: int | None = None,
) -> Digest | None:
    """The digest of log files and folders; None where it is for the general reader to read them.

    Args:
        paths: files and folders (walked).
        bin_ms: the width of a time bin.
        function: the function's name where the files do not say it.
        kinds: tell each invocation's kind, which takes reading START and INIT_START too.
        processes: how many read at once; None: one for each CPU, and this one alone for small inputs.

    Raises:
        ReportError: a path is not there or may not be read.
    """
    if find_spec("numba") is None or os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        return None  # there are machines that it does not know
    from serverless_lab.coldstarts.digest.run import run

    return run(paths, bin_ms=bin_ms, function=function, kinds=kinds, processes=processes)
