"""HTML as text, escaped where it is made: whatever a log says can only ever become words on the page.

A `str` is words and is escaped; an `Html` is markup that `element` made. There is no third thing, so nothing has to be
remembered where names and log lines are put in.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from typing import Any

# What neither HTML nor XML has a place for, not even escaped.
_NO_TEXT = re.compile("[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# Characters that turn the direction of everything after them: a name must not rearrange the sentence around it.
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")

LONGEST = 2_000
"""More characters than this are cut: a name or a line of that length is no text for people."""

VOID = {"meta", "br", "link"}


class Html(str):
    """Markup: what is in here has been escaped."""

    __slots__ = ()


def clean(text: str, longest: int = LONGEST) -> str:
    """`text` without what cannot be shown, and no longer than `longest`."""
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    return _BIDI.sub("�", _NO_TEXT.sub("�", text))


def element(name: str, *children: str | Iterable[str], **attributes: str | bool | None) -> Html:
    """`<name …>children</name>`.

    A trailing or inner underscore of an attribute's name stands for what Python keeps: `class_`, `aria_label`. None and
    False leave an attribute away, True writes it without a value.
    """
    words = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        words.append(key if value is True else f'{key}="{html.escape(clean(str(value)), quote=True)}"')
    opening = f"<{' '.join(words)}>"
    if name in VOID:
        return Html(opening)
    return Html(f"{opening}{joined(children)}</{name}>")


def joined(children: Iterable[str | Iterable[str]]) -> Html:
    """The children one after the other, words escaped."""
    parts: list[str] = []
    for child in children:
        if isinstance(child, Html):
            parts.append(child)
        elif isinstance(child, str):
            parts.append(html.escape(clean(child), quote=False))
        else:
            parts.append(joined(child))
    return Html("".join(parts))


def data_block(identifier: str, data: Any) -> Html:
    """`data` as JSON that a script or a test can read out of the page, and no browser runs."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    # Within a string these escapes say the same; so nothing in it can end the block, or begin a comment.
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Html(f'<script type="application/json" id="{html.escape(identifier, quote=True)}">{text}</script>')
