"""The attributes that the model understands, a row each: name on the wire, field, how to read and print it.

To add an attribute, add a row here and a field of the same name in `model.py`. The model keeps attributes
without a row as text.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from sfu.sdp import attributes, grammar
from sfu.sdp.errors import SdpError
from sfu.sdp.lines import Line

MAX_REPEATS = 1024
"""How often one attribute may occur in one media description. The most that clients send is six rtcp-fb lines
for each of 20 codecs."""

MAX_SESSION_REPEATS = 64
"""How often one attribute may occur in the session part. It applies to every m-line, so the work is the product
of both. Browsers put almost nothing there; all header extensions would be about 20."""

TextAttribute = tuple[str, str | None]
"""An attribute without a row: name, and the text after the colon if there is one."""


class AttributeRow(NamedTuple):
    """One attribute with a meaning."""

    name: str
    """Name on the wire, after ``a=``."""
    field: str
    """Field of the model that holds it."""
    parse: Callable[[str], Any] | None
    """Reads the value; raises `ValueError`. None: a property attribute, True when present."""
    many: bool = False
    """May occur more than once: the field is a tuple."""
    render: Callable[[Any], str] = str


def _one(name: str, parse: Callable[[str], Any]) -> AttributeRow:
    return AttributeRow(name, name.replace("-", "_"), parse)


def _many(name: str, field: str, parse: Callable[[str], Any]) -> AttributeRow:
    return AttributeRow(name, field, parse, many=True)


def _flag(name: str) -> AttributeRow:
    return AttributeRow(name, name.replace("-", "_"), None)


def _candidate(text: str) -> str:
    # The grammar of candidates belongs to sfu.ice; the text here is what follows "a=candidate:".
    return text


def _port(text: str) -> int:
    return grammar.number(text, 0, 65535)


def _size(text: str) -> int:
    return grammar.number(text, 0, 2**64 - 1)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(" "))


SHARED = (
    _one("ice-ufrag", grammar.ice_ufrag),
    _one("ice-pwd", grammar.ice_pwd),
    AttributeRow("ice-options", "ice_options", _words, render=" ".join),
    _many("fingerprint", "fingerprints", attributes.Fingerprint.parse),
    _one("setup", grammar.setup),
    _flag("extmap-allow-mixed"),
    _many("extmap", "extensions", attributes.ExtMap.parse),
)
"""Attributes that a media description inherits from the session part."""

SESSION_ROWS = (
    _many("group", "groups", attributes.Group.parse),
    _flag("ice-lite"),
    *SHARED,
)

MEDIA_ROWS = (
    _one("mid", grammar.token),
    *SHARED,
    _many("candidate", "candidates", _candidate),
    _flag("end-of-candidates"),
    _flag("bundle-only"),
    _many("msid", "msids", attributes.Msid.parse),
    _flag("rtcp-mux"),
    _flag("rtcp-mux-only"),
    _flag("rtcp-rsize"),
    _many("rtpmap", "rtpmaps", attributes.RtpMap.parse),
    _many("rtcp-fb", "rtcp_feedback", attributes.RtcpFb.parse),
    _many("fmtp", "fmtps", attributes.Fmtp.parse),
    _many("rid", "rids", attributes.Rid.parse),
    _one("simulcast", attributes.Simulcast.parse),
    _many("ssrc-group", "ssrc_groups", attributes.SsrcGroup.parse),
    _many("ssrc", "ssrc_attributes", attributes.SsrcAttribute.parse),
    AttributeRow("sctp-port", "sctp_port", _port),
    AttributeRow("max-message-size", "max_message_size", _size),
)


def parse_attributes(lines: Iterable[Line], rows: Iterable[AttributeRow], most: int) -> dict[str, Any]:
    """Read the ``a=`` lines of one section into keyword arguments for its model class.

    Raises `SdpError` naming the line for a value that breaks its grammar, for one with two values, and for an
    attribute that occurs more than `most` times.
    """
    by_name = {row.name: row for row in rows}
    fields: dict[str, Any] = {row.field: [] for row in by_name.values() if row.many}
    others: list[TextAttribute] = []
    for line in lines:
        name, colon, text = line.value.partition(":")
        row = by_name.get(name)
        try:
            if row is None and name in grammar.DIRECTIONS and not colon:
                _set(fields, "direction", name)
            elif row is None:
                others.append((grammar.token(name), text if colon else None))
            elif row.parse is None:
                fields[row.field] = True
            elif row.many:
                if len(fields[row.field]) == most:
                    raise SdpError("sdp-too-large", f"a={name} more than {most} times", line.number)
                fields[row.field].append(row.parse(text))
            else:
                _set(fields, row.field, row.parse(text))
        except SdpError:
            raise
        except ValueError as problem:
            name = name[: grammar.MAX_TEXT]
            raise SdpError("sdp-syntax", f"a={name}: {problem}", line.number) from problem
    fields = {field: tuple(value) if isinstance(value, list) else value for field, value in fields.items()}
    return fields | {"others": tuple(others)}


def _set(fields: dict[str, Any], field: str, value: object) -> None:
    if fields.setdefault(field, value) != value:
        raise ValueError("given twice, with two values")


def render_attributes(section: object, rows: Iterable[AttributeRow]) -> list[str]:
    """Print what a section holds as ``a=`` lines, in the order of the rows."""
    lines = []
    for row in rows:
        value = getattr(section, row.field)
        if row.parse is None:
            if value:
                lines.append(f"a={row.name}")
        elif row.many:
            lines += [f"a={row.name}:{row.render(item)}" for item in value]
        elif value is not None:
            lines.append(f"a={row.name}:{row.render(value)}")
    return lines
