"""Lines of a session description: ``<type>=<value>`` in the order that RFC 8866 section 5 fixes.

Knows which line types may follow which, and nothing about what is in them.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

from sfu.sdp.errors import SdpError

SESSION_ORDER = {letter: rank for rank, letter in enumerate("vosiuepcbtzka")} | {"r": 9}
"""Rank of each line type in the session part. Time descriptions repeat as a group of t and r: one rank."""

MEDIA_ORDER = {letter: rank for rank, letter in enumerate("micbka")}
"""Rank of each line type inside one media description."""

ONCE = frozenset("vosiuzk")
"""Line types of which a part of the description has at most one."""

_HALF = re.compile("[\ud800-\udfff]")
"""Half a surrogate pair, which JSON can say and UTF-8 cannot."""


@dataclass(frozen=True, slots=True)
class DescriptionLimits:
    """How large a remote description may be before it is refused unread."""

    characters: int = 1 << 20
    """Length of the text. Chromium spends 5.4 KB on a video m-line and 1.3 KB on an audio one, whatever was
    negotiated for it, so this holds an offer for 150 people seen and heard at once."""
    lines: int = 32_768
    """Number of lines of any type."""
    line: int = 8_192
    """Length of one line. What a session remembers of a description is a bounded number of values from its
    lines; this bounds the values. The longest useful line is a BUNDLE group, some 5 characters per m-line."""
    media: int = 512
    """Number of m-lines, stopped ones included."""


DEFAULT_LIMITS = DescriptionLimits()


class Line(NamedTuple):
    """One line: its type letter, the text after ``=`` and its number counted from 1."""

    type: str
    value: str
    number: int


def split_lines(text: str, limits: DescriptionLimits = DEFAULT_LIMITS) -> list[Line]:
    """Cut a description into lines; CRLF, and LF alone as RFC 8866 section 5 asks of parsers.

    Raises `SdpError` for text over the limits and for anything that is not ``<letter>=<value>``.
    """
    if len(text) > limits.characters:
        raise SdpError("sdp-too-large", f"{len(text)} characters, at most {limits.characters} are read")
    rows = text.split("\n", limits.lines + 1)
    if len(rows) > limits.lines + 1:
        raise SdpError("sdp-too-large", f"more than {limits.lines} lines")
    if not rows[-1]:
        del rows[-1]
    lines = []
    for number, row in enumerate(rows, 1):
        row = row.removesuffix("\r")
        if len(row) > limits.line:
            raise SdpError("sdp-too-large", f"{len(row)} characters, at most {limits.line} make a line", number)
        legal = len(row) >= 2 and row[1] == "=" and "\r" not in row and "\0" not in row
        if not legal or (not row.isascii() and _HALF.search(row)):
            raise SdpError("sdp-syntax", f"{row[:40]!r} is not <letter>=<value>", number)
        lines.append(Line(row[0], row[2:], number))
    return lines


def split_sections(lines: list[Line], limits: DescriptionLimits = DEFAULT_LIMITS) -> list[list[Line]]:
    """Cut lines at each ``m=``: the session part first, then one list per media description.

    Raises `SdpError` where a line stands out of its order or is given twice, and for too many m-lines.
    """
    sections: list[list[Line]] = [[]]
    order, rank = SESSION_ORDER, -1
    for line in lines:
        if line.type == "m":
            if len(sections) > limits.media:
                raise SdpError("sdp-too-large", f"more than {limits.media} m-lines", line.number)
            sections.append([line])
            order, rank = MEDIA_ORDER, 0
            continue
        here = order.get(line.type)
        if here is None:
            raise SdpError("sdp-syntax", f"unknown line type {line.type!r} here", line.number)
        if here < rank or (here == rank and line.type in ONCE):
            raise SdpError("sdp-syntax", f"{line.type}= stands out of its order or twice", line.number)
        rank = here
        sections[-1].append(line)
    return sections
