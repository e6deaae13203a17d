"""Which transport a datagram is for, and what it is (RFC 7983), on the one socket of all peers."""

from collections import Counter
from collections.abc import Iterable
from enum import Enum
from typing import Generic, Protocol, TypeVar

from sfu.errors import BadPacket
from sfu.ice.events import CredentialsAdded, CredentialsRetired, PathRetired, PathValidated
from sfu.ice.path import IcePath
from sfu.ice.stun import local_ufrag


class PacketKind(Enum):
    """The protocols that share a transport address."""

    STUN = "stun"
    DTLS = "dtls"
    RTP = "rtp"
    RTCP = "rtcp"


def _kind_of_first_byte(byte: int) -> PacketKind | None:
    # RFC 7983 section 7. The ranges of ZRTP, TURN channels and QUIC are nobody's here.
    if byte <= 3:
        return PacketKind.STUN
    if 20 <= byte <= 63:
        return PacketKind.DTLS
    if 128 <= byte <= 191:
        return PacketKind.RTP
    return None


# Looked up for every datagram, so a table and not a chain of comparisons.
_KINDS = tuple(_kind_of_first_byte(byte) for byte in range(256))

# RFC 5761 section 4: an RTP payload type with the marker bit never falls into this range of RTCP types,
# because 64 to 95 are not used as payload types.
_RTCP_TYPES = range(192, 224)


def kind_of(data: bytes | memoryview) -> PacketKind | None:
    """What a datagram is, by its first two bytes; `None` if nothing that we speak."""
    if len(data) < 2:
        return None
    kind = _KINDS[data[0]]
    if kind is PacketKind.RTP and data[1] in _RTCP_TYPES:
        return PacketKind.RTCP
    return kind


class Routable(Protocol):
    """What the table needs to know of a transport."""

    def ufrags(self) -> list[str]:
        """The user-name fragments that its peer's checks may name now."""


Transport = TypeVar("Transport", bound=Routable)


class TransportTable(Generic[Transport]):
    """Routes of one socket: by validated path, and by user-name fragment for connectivity checks.

    A path is only entered once its transport has authenticated a check on it, so no stranger can make the
    table grow; a transport has at most `MAX_PATHS` of them. Every operation is a few dictionary accesses.
    """

    def __init__(self) -> None:
        self._by_path: dict[IcePath, Transport] = {}
        self._by_ufrag: dict[str, Transport] = {}
        # The other direction, so that a transport is removed without a search.
        self._paths: dict[Transport, set[IcePath]] = {}
        self._ufrags: dict[Transport, set[str]] = {}
        self.drops: Counter[str] = Counter()
        """Datagrams without a transport, by reason."""

    def __len__(self) -> int:
        return len(self._paths)

    def __contains__(self, transport: Transport) -> bool:
        return transport in self._paths

    def routes(self) -> int:
        """How many paths and fragments lead somewhere; zero when all transports are gone."""
        return len(self._by_path) + len(self._by_ufrag)

    def add(self, transport: Transport) -> None:
        """Let checks reach a transport. Raises `ValueError` if it is in, or a fragment of it is taken."""
        if transport in self._paths:
            raise ValueError("the transport is in the table already")
        ufrags = transport.ufrags()
        for ufrag in ufrags:
            if ufrag in self._by_ufrag:
                raise ValueError(f"user-name fragment {ufrag} is taken")
        self._paths[transport] = set()
        self._ufrags[transport] = set()
        for ufrag in ufrags:
            self._add_ufrag(transport, ufrag)

    def remove(self, transport: Transport) -> None:
        """Forget a transport and every route to it. One that is not in is no error."""
        for path in self._paths.pop(transport, ()):
            del self._by_path[path]
        for ufrag in self._ufrags.pop(transport, ()):
            del self._by_ufrag[ufrag]

    def route(self, data: bytes, path: IcePath) -> Transport | None:
        """The transport that a datagram is for; `None` (and a count in `drops`) if there is none."""
        if data and data[0] > 3:
            transport = self._by_path.get(path)
        else:
            transport = self._route_stun(data, path)
            if transport is None:
                return None
        if transport is None:
            self.drops["unknown-source"] += 1
        return transport

    def owner(self, path: IcePath) -> Transport | None:
        """The transport that a validated path leads to, if any."""
        return self._by_path.get(path)

    def _route_stun(self, data: bytes, path: IcePath) -> Transport | None:
        """By fragment and never by path: an address may have passed on to another peer."""
        try:
            transport = self._by_ufrag.get(local_ufrag(data))
        except BadPacket as error:
            self.drops[error.reason] += 1
            return None
        if transport is None:
            self.drops["unknown-ufrag"] += 1
        return transport

    def apply(self, transport: Transport, events: Iterable[object]) -> None:
        """Follow a transport's events; those that are about no route are passed over.

        A transport that is not in the table any more changes nothing.
        """
        if transport not in self._paths:
            return
        for event in events:
            match event:
                case PathValidated(path):
                    self._add_path(transport, path)
                case PathRetired(path):
                    self._remove_path(transport, path)
                case CredentialsAdded(ufrag):
                    self._add_ufrag(transport, ufrag)
                case CredentialsRetired(ufrag):
                    self._remove_ufrag(transport, ufrag)

    def _add_path(self, transport: Transport, path: IcePath) -> None:
        # The latest authenticated check says whose the address is now.
        before = self._by_path.get(path)
        if before is not None:
            self._paths[before].discard(path)
        self._by_path[path] = transport
        self._paths[transport].add(path)

    def _remove_path(self, transport: Transport, path: IcePath) -> None:
        if path in self._paths[transport]:
            self._paths[transport].remove(path)
            del self._by_path[path]

    def _add_ufrag(self, transport: Transport, ufrag: str) -> None:
        if ufrag in self._by_ufrag:
            raise ValueError(f"user-name fragment {ufrag} is taken")
        self._by_ufrag[ufrag] = transport
        self._ufrags[transport].add(ufrag)

    def _remove_ufrag(self, transport: Transport, ufrag: str) -> None:
        self._ufrags[transport].remove(ufrag)
        del self._by_ufrag[ufrag]
