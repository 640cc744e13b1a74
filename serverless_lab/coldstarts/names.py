"""How a function is called where people read: without what the names around it have in common."""

from __future__ import annotations

import re
from collections.abc import Iterable

_RANDOM_TAIL = re.compile(r"-[A-Za-z0-9]{12,13}$")


def short_names(names: Iterable[str], stack_name: str = "") -> dict[str, str]:
    """Each function's name as people say it: without the stack's name before it and CloudFormation's random tail.

    Only what all names can lose together is taken away, and only while they stay different.
    """
    full = list(dict.fromkeys(names))
    short = {name: name for name in full}
    prefix = f"{stack_name}-" if stack_name else ""
    if prefix and all(name.startswith(prefix) and len(name) > len(prefix) for name in full):
        short = {name: name.removeprefix(prefix) for name in full}
    cut = {name: _RANDOM_TAIL.sub("", text) for name, text in short.items()}
    if all(cut.values()) and len(set(cut.values())) == len(full) and all(cut[name] != short[name] for name in full):
        return cut
    return short


def many(count: int, noun: str) -> str:
    """`1 request`, `1,234 requests`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
