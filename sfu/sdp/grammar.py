"""The small grammars that attribute values are made of, and what a direction means.

Readers return what they read and raise `ValueError` with what is wrong; the caller knows the line.
"""

import re
from typing import Final, Literal

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]

DIRECTIONS: Final[tuple[Direction, ...]] = ("sendrecv", "sendonly", "recvonly", "inactive")

MAX_TEXT = 80
"""How much of a value an error quotes."""

_NUMBER = re.compile(r"[0-9]{1,20}", re.ASCII)
_WORD = re.compile(r"[!-~]+", re.ASCII)
_TOKEN = re.compile(r"[!#-'*+\-.0-9A-Z^-~]+", re.ASCII)
_ICE = re.compile(r"[A-Za-z0-9+/]+", re.ASCII)
_RID = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_HEX_PAIRS = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2})*", re.ASCII)


def direction_of(*, sends: bool, receives: bool) -> Direction:
    """Both halves of a direction as one word."""
    if sends:
        return "sendrecv" if receives else "sendonly"
    return "recvonly" if receives else "inactive"


def sends(direction: Direction | None) -> bool:
    """Whether the end that states this direction sends; None is the default, sendrecv."""
    return direction in (None, "sendrecv", "sendonly")


def receives(direction: Direction | None) -> bool:
    """Whether the end that states this direction receives; None is the default, sendrecv."""
    return direction in (None, "sendrecv", "recvonly")


def number(text: str, low: int, high: int) -> int:
    """A decimal number within bounds; `ValueError` for anything else, other alphabets' digits included."""
    if not _NUMBER.fullmatch(text) or not low <= int(text) <= high:
        raise ValueError(f"{text[:MAX_TEXT]!r} is not a number from {low} to {high}")
    return int(text)


def token(text: str) -> str:
    """An RFC 8866 token (section 9)."""
    if not _TOKEN.fullmatch(text):
        raise ValueError(f"{text[:MAX_TEXT]!r} is not a token")
    return text


def word(text: str) -> str:
    """Visible ASCII without spaces: what is accepted where RFC 8830 asks for a token and clients write more."""
    if not _WORD.fullmatch(text):
        raise ValueError(f"{text[:MAX_TEXT]!r} is not one word")
    return text


def ice_ufrag(text: str) -> str:
    """4 to 256 ice-chars (RFC 8839 section 5.4)."""
    return _ice_text(text, 4)


def ice_pwd(text: str) -> str:
    """22 to 256 ice-chars (RFC 8839 section 5.4)."""
    return _ice_text(text, 22)


def _ice_text(text: str, shortest: int) -> str:
    if not shortest <= len(text) <= 256 or not _ICE.fullmatch(text):
        raise ValueError(f"needs {shortest} to 256 letters, digits, + or /")
    return text


def setup(text: str) -> str:
    """The preferred DTLS role (RFC 4145 section 4, RFC 5763 section 5)."""
    if text not in ("active", "passive", "actpass", "holdconn"):
        raise ValueError(f"{text[:MAX_TEXT]!r} is not a setup role")
    return text


def rid(text: str) -> str:
    """A restriction identifier (RFC 8851 section 10): at most 255 letters, digits, ``-`` and ``_``."""
    if not _RID.fullmatch(text) or len(text) > 255:
        raise ValueError(f"{text[:MAX_TEXT]!r} is not a rid")
    return text


def hex_pairs(text: str) -> str:
    """Bytes as hex pairs between colons, in upper case (RFC 8122 section 5)."""
    if not _HEX_PAIRS.fullmatch(text.upper()):
        raise ValueError("a fingerprint is a hash name and hex pairs between colons")
    return text.upper()
