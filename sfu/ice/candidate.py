"""ICE candidates in SDP syntax (RFC 8839 section 5.1), and the host candidates of a server.

candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 192.0.2.2 rport 46154 generation 0
          foundation component transport priority address port   type  related address       extensions
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from string import ascii_letters, digits

from sfu.errors import BadPacket
from sfu.ice.path import Address

HOST_TYPE_PREFERENCE = 126
"""RFC 8445 section 5.1.2.2: the recommended type preference of host candidates, and the highest one."""

TCP_HOST_TYPE_PREFERENCE = 90
"""The same for TCP. It is below every kind of UDP candidate except relayed ones, since a lost TCP segment
delays all data after it. RFC 6544 section 4.2 does not define the value; this is libwebrtc's."""

PASSIVE_DIRECTION_PREFERENCE = 4
"""RFC 6544 section 4.2: for host candidates, active ones have 6, passive ones 4, simultaneous-open ones 2."""

MAX_LENGTH = 1024
"""The longest candidate line that is parsed, in characters. Those of browsers have about 200."""

_ICE_CHARS = frozenset(ascii_letters + digits + "+/")
_FIRST_EXTENSION = 8  # the number of words up to the type, inclusive
_PREFIX = "candidate:"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A transport address where a peer may be reachable."""

    foundation: str
    """Equal for candidates of the same type, base and server. Their checks are paced together."""
    component: int
    """1 for RTP, 2 for RTCP on its own port."""
    transport: str
    """`udp` or `tcp` in lower case; other words are kept."""
    priority: int
    """Larger is preferred (RFC 8445 section 5.1.2)."""
    address: Address
    """The host may be a name: browsers replace local addresses by mDNS names (`….local`)."""
    type: str
    """`host`, `srflx`, `prflx` or `relay`."""
    related: Address | None = None
    """The address that a reflexive or relayed candidate was derived from."""
    extensions: tuple[tuple[str, str], ...] = ()
    """Further names and values, for example `generation`, `ufrag`, `network-id`."""

    @classmethod
    def parse(cls, text: str) -> "Candidate":
        """Read a candidate attribute, with or without `a=` before it.

        Raises `BadPacket("candidate", …)` if it does not follow the grammar.

        >>> candidate = Candidate.parse("candidate:1 1 udp 2130706431 192.0.2.7 5000 typ host generation 0")
        >>> candidate.type, str(candidate.address), candidate.extensions
        ('host', '192.0.2.7:5000', (('generation', '0'),))
        """
        text = text.strip().removeprefix("a=")
        if len(text) > MAX_LENGTH or not text.startswith(_PREFIX):
            raise BadPacket("candidate", repr(text[:40]))
        words = text.removeprefix(_PREFIX).split()
        if len(words) < _FIRST_EXTENSION or words[6].lower() != "typ" or len(words) % 2:
            raise BadPacket("candidate", f"{len(words)} words")
        foundation, component, transport, priority, host, port, _typ, type_ = words[:_FIRST_EXTENSION]
        if len(foundation) > 32 or not _ICE_CHARS.issuperset(foundation):
            raise BadPacket("candidate", f"foundation {foundation!r}")
        if not transport.isascii():  # a token; other letters may change their length in lower case
            raise BadPacket("candidate", f"transport {transport[:20]!r}")
        rest = list(zip(words[_FIRST_EXTENSION::2], words[_FIRST_EXTENSION + 1 :: 2], strict=True))
        related = None
        if [name for name, _ in rest[:2]] == ["raddr", "rport"]:
            related = Address(rest[0][1], _number("rport", rest[1][1], 0, 0xFFFF))
            del rest[:2]
        return cls(
            foundation=foundation,
            component=_number("component", component, 1, 256),
            transport=transport.lower(),
            priority=_number("priority", priority, 1, 2**32 - 1),
            address=Address(host, _number("port", port, 0, 0xFFFF)),
            type=type_,
            related=related,
            extensions=tuple(rest),
        )

    def __str__(self) -> str:
        words = [
            f"{_PREFIX}{self.foundation} {self.component} {self.transport} {self.priority}",
            f"{self.address.host} {self.address.port} typ {self.type}",
        ]
        if self.related:
            words.append(f"raddr {self.related.host} rport {self.related.port}")
        words.extend(f"{name} {value}" for name, value in self.extensions)
        return " ".join(words)

    @property
    def tcp_type(self) -> str | None:
        """`active`, `passive` or `so` of a TCP candidate (RFC 6544 section 4.5)."""
        return dict(self.extensions).get("tcptype")


def parse_trickled(text: str) -> Candidate | None:
    """Read the candidate of an `ice-candidate` message; `None` is the end of candidates (RFC 8838 section 13).

    Browsers send an empty string at the end, other clients the name of the SDP attribute.
    Raises `BadPacket("candidate", …)`.
    """
    if text.strip().removeprefix("a=") in {"", "end-of-candidates"}:
        return None
    return Candidate.parse(text)


def host_candidates(hosts: Sequence[str], port: int) -> list[Candidate]:
    """UDP candidates of a server that is reached at each of `hosts` (textual IP addresses) on one `port`.

    The priority is that of RFC 8445 section 5.1.2.1 for component 1 (RTP and RTCP share it); the local
    preference decreases in the order given, so the operator's first address is tried first.
    Raises `ValueError` if a host is not an IP address.
    """
    return [
        Candidate(
            foundation=str(index + 1),
            component=1,
            transport="udp",
            priority=(HOST_TYPE_PREFERENCE << 24) + ((0xFFFF - index) << 8) + (256 - 1),
            address=Address(str(ip_address(host)), port),
            type="host",
        )
        for index, host in enumerate(hosts)
    ]


def tcp_passive_candidates(hosts: Sequence[str], port: int, *, first_foundation: int) -> list[Candidate]:
    """TCP candidates of a server that accepts connections at each of `hosts` on one `port` (RFC 6544).

    The local preference follows section 4.2; its lower bits are the order of `hosts`. Candidates of different
    transports need different foundations (RFC 8445 section 5.1.1.3): these start at `first_foundation`.
    Raises `ValueError` if a host is not an IP address.
    """
    return [
        Candidate(
            foundation=str(first_foundation + index),
            component=1,
            transport="tcp",
            priority=(TCP_HOST_TYPE_PREFERENCE << 24)
            + (((PASSIVE_DIRECTION_PREFERENCE << 13) + 0x1FFF - index) << 8)
            + (256 - 1),
            address=Address(str(ip_address(host)), port),
            type="host",
            extensions=(("tcptype", "passive"),),
        )
        for index, host in enumerate(hosts)
    ]


def _number(name: str, text: str, low: int, high: int) -> int:
    """Return a decimal number within its range. `isdecimal` alone would accept the digits of other scripts."""
    if text.isascii() and text.isdecimal() and len(text) <= 10 and low <= int(text) <= high:
        return int(text)
    raise BadPacket("candidate", f"{name} {text[:20]!r}")
