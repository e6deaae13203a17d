"""A session description as data, without its consequences.

``str(description)`` printed and parsed again gives an equal description. Attributes without a meaning here are
kept as text. RFC 8866; `attributes.py` names the RFCs of the attributes.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

from sfu.sdp import attribute_table as rows
from sfu.sdp.attributes import (
    ExtMap,
    Fingerprint,
    Fmtp,
    Group,
    Msid,
    Rid,
    RtcpFb,
    RtpMap,
    Simulcast,
    SsrcAttribute,
    SsrcGroup,
)
from sfu.sdp.errors import SdpError
from sfu.sdp.grammar import Direction, number, token
from sfu.sdp.lines import DEFAULT_LIMITS, DescriptionLimits, Line, split_lines, split_sections

OtherLine = tuple[str, str]
"""A line that is only passed on: its type letter and value."""


class Origin(NamedTuple):
    """``o=``: who made the description, and its version (RFC 8866 section 5.2)."""

    username: str
    session_id: int
    version: int
    network: str = "IN"
    address_type: str = "IP4"
    address: str = "127.0.0.1"

    @classmethod
    def parse(cls, line: Line) -> Self:
        """Read an ``o=`` line; raises `SdpError`."""
        words = line.value.split(" ")
        try:
            if len(words) != 6 or not all(words):
                raise ValueError("an origin has six words")
            # The RFC sets no bound. JSEP requires 63 bits, and clients use 64.
            identifier, version = (number(word, 0, 2**64 - 1) for word in words[1:3])
        except ValueError as problem:
            raise SdpError("sdp-syntax", f"o=: {problem}", line.number) from problem
        return cls(words[0], identifier, version, *words[3:])

    def __str__(self) -> str:
        """Print the value after ``o=``."""
        return " ".join(map(str, self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What the session part and a media description have in common."""

    direction: Direction | None = None
    ice_ufrag: str | None = None
    ice_pwd: str | None = None
    ice_options: tuple[str, ...] | None = None
    fingerprints: tuple[Fingerprint, ...] = ()
    setup: str | None = None
    extmap_allow_mixed: bool = False
    extensions: tuple[ExtMap, ...] = ()
    other_lines: tuple[OtherLine, ...] = ()
    """The lines of types other than ``v o s m a``, as they came."""
    others: tuple[rows.TextAttribute, ...] = ()
    """Attributes without a row in `attribute_table.py`, as they came."""

    def _lines(self, table: tuple[rows.AttributeRow, ...]) -> list[str]:
        return [
            *(f"{letter}={value}" for letter, value in self.other_lines),
            *rows.render_attributes(self, table),
            *([f"a={self.direction}"] if self.direction else []),
            *(f"a={name}" if value is None else f"a={name}:{value}" for name, value in self.others),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaDescription(Section):
    """One ``m=`` line and what belongs to it."""

    kind: str
    port: int
    port_count: int | None = None
    protocol: str
    formats: tuple[str, ...]
    mid: str | None = None
    candidates: tuple[str, ...] = ()
    """What follows ``a=candidate:``, unread: the grammar is that of sfu.ice."""
    end_of_candidates: bool = False
    bundle_only: bool = False
    msids: tuple[Msid, ...] = ()
    rtcp_mux: bool = False
    rtcp_mux_only: bool = False
    rtcp_rsize: bool = False
    rtpmaps: tuple[RtpMap, ...] = ()
    rtcp_feedback: tuple[RtcpFb, ...] = ()
    fmtps: tuple[Fmtp, ...] = ()
    rids: tuple[Rid, ...] = ()
    simulcast: Simulcast | None = None
    ssrc_groups: tuple[SsrcGroup, ...] = ()
    ssrc_attributes: tuple[SsrcAttribute, ...] = ()
    sctp_port: int | None = None
    max_message_size: int | None = None
    line: int | None = field(default=None, compare=False)
    """Number of the m-line in the text it was read from, for error messages."""

    @property
    def stopped(self) -> bool:
        """Port 0 without bundle-only: rejected or no longer in use (RFC 3264 section 6, RFC 9143 section 6)."""
        return self.port == 0 and not self.bundle_only

    @classmethod
    def parse(cls, lines: list[Line]) -> Self:
        """Read one media description, ``m=`` line first; raises `SdpError`."""
        first, rest = lines[0], lines[1:]
        words = first.value.split(" ")
        if len(words) < 4 or not all(words):
            raise SdpError("sdp-syntax", "m= is <media> <port> <protocol> <format> ...", first.number)
        port, slash, count = words[1].partition("/")
        try:
            return cls(
                kind=token(words[0]),
                port=number(port, 0, 65535),
                port_count=number(count, 1, 65535) if slash else None,
                protocol=words[2],
                formats=tuple(token(word) for word in words[3:]),
                other_lines=tuple((line.type, line.value) for line in rest if line.type != "a"),
                line=first.number,
                **rows.parse_attributes(
                    (line for line in rest if line.type == "a"), rows.MEDIA_ROWS, rows.MAX_REPEATS
                ),
            )
        except SdpError:
            raise
        except ValueError as problem:
            raise SdpError("sdp-syntax", f"m=: {problem}", first.number) from problem

    def lines(self) -> list[str]:
        """The media description as lines without line ends."""
        count = "" if self.port_count is None else f"/{self.port_count}"
        first = f"m={self.kind} {self.port}{count} {self.protocol} {' '.join(self.formats)}"
        return [first, *self._lines(rows.MEDIA_ROWS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDescription(Section):
    """A whole description: session part and media descriptions in order."""

    origin: Origin
    name: str = "-"
    groups: tuple[Group, ...] = ()
    ice_lite: bool = False
    media: tuple[MediaDescription, ...] = ()

    @classmethod
    def parse(cls, text: str, limits: DescriptionLimits = DEFAULT_LIMITS) -> Self:
        r"""Read a description; raises `SdpError` with the number of the line that is wrong, and nothing else.

        >>> text = "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nt=0 0\nm=audio 9 UDP/TLS/RTP/SAVPF 111\na=mid:0\n"
        >>> [(media.kind, media.mid, media.formats) for media in SessionDescription.parse(text).media]
        [('audio', '0', ('111',))]
        >>> SessionDescription.parse(text + "a=rtpmap:x")
        Traceback (most recent call last):
        sfu.sdp.errors.SdpError: ...
        """
        head, *media = split_sections(split_lines(text, limits), limits)
        if [line.type for line in head[:3]] != ["v", "o", "s"] or head[0].value != "0":
            raise SdpError("sdp-syntax", "a description starts with v=0, o= and s=", 1)
        if not any(line.type == "t" for line in head):
            raise SdpError("sdp-syntax", "no t= line", head[-1].number)
        return cls(
            origin=Origin.parse(head[1]),
            name=head[2].value,
            other_lines=tuple((line.type, line.value) for line in head[3:] if line.type != "a"),
            media=tuple(MediaDescription.parse(lines) for lines in media),
            **rows.parse_attributes(
                (line for line in head if line.type == "a"), rows.SESSION_ROWS, rows.MAX_SESSION_REPEATS
            ),
        )

    def __str__(self) -> str:
        """The description as text with CRLF line ends."""
        lines = ["v=0", f"o={self.origin}", f"s={self.name}", *self._lines(rows.SESSION_ROWS)]
        for media in self.media:
            lines += media.lines()
        return "\r\n".join([*lines, ""])

    def effective(self, media: MediaDescription) -> MediaDescription:
        """Return the media description with what it inherits from the session part (RFC 8866, RFC 8839, RFC
        8122).

        A media description's own value wins; extensions of both levels count (RFC 8285 section 5).
        """
        return replace(
            media,
            direction=media.direction or self.direction or "sendrecv",
            ice_ufrag=media.ice_ufrag or self.ice_ufrag,
            ice_pwd=media.ice_pwd or self.ice_pwd,
            ice_options=media.ice_options or self.ice_options,
            fingerprints=media.fingerprints or self.fingerprints,
            setup=media.setup or self.setup,
            extmap_allow_mixed=media.extmap_allow_mixed or self.extmap_allow_mixed,
            extensions=(*self.extensions, *media.extensions),
        )

    def bundle(self) -> tuple[str, ...]:
        """Return the mids of the (first) BUNDLE group, in its order; empty without one (RFC 9143)."""
        return next((group.mids for group in self.groups if group.semantics == "BUNDLE"), ())
