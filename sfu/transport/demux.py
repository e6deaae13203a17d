"""What kind of packet a datagram is (RFC 7983), and which peer it is for, on the one socket of all peers."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from enum import Enum
from typing import Generic, TypeVar

from sfu.errors import BadPacket
from sfu.ice.events import CredentialsAdded, CredentialsRetired, PathRetired, PathValidated
from sfu.ice.path import IcePath
from sfu.ice.stun import local_ufrag
from sfu.transport.check_budget import CheckBudgets


class PacketKind(Enum):
    """The protocols that share a transport address."""

    STUN = "stun"
    DTLS = "dtls"
    RTP = "rtp"
    RTCP = "rtcp"


def _kind_of_first_byte(byte: int) -> PacketKind | None:
    # RFC 7983 section 7. ZRTP, TURN channels and QUIC are not used here.
    if byte <= 3:
        return PacketKind.STUN
    if 20 <= byte <= 63:
        return PacketKind.DTLS
    if 128 <= byte <= 191:
        return PacketKind.RTP
    return None


# A table, since it is read for every datagram.
_KINDS = tuple(_kind_of_first_byte(byte) for byte in range(256))

# RFC 5761 section 4: an RTP payload type with the marker bit is never in this range of RTCP types, because 64
# to 95 are not used as payload types.
_RTCP_TYPES = range(192, 224)


def kind_of(data: bytes | memoryview) -> PacketKind | None:
    """Return the kind of a datagram, by its first two bytes; `None` if it is not a protocol used here."""
    if len(data) < 2:
        return None
    kind = _KINDS[data[0]]
    if kind is PacketKind.RTP and data[1] in _RTCP_TYPES:
        return PacketKind.RTCP
    return kind


Owner = TypeVar("Owner", bound=Hashable)
"""What the routes lead to: a peer."""


class RouteTable(Generic[Owner]):
    """The routes of one socket: by validated path, and by user-name fragment for connectivity checks.

    A path is entered only after its peer's ICE agent has authenticated a check on it, so a stranger cannot make
    the table grow. A peer has at most `MAX_PATHS` paths. Every operation is a few dictionary accesses.

    A path has one owner, who keeps it until its consent ends. Anybody can forge a source address. So a check of
    another owner on that path is dropped before an ICE agent sees it.
    """

    def __init__(self, keeps: Callable[[Owner, IcePath, float], bool]) -> None:
        """`keeps` is asked whether an owner still has consent for one of its paths at a time."""
        self._keeps = keeps
        self._check_budgets = CheckBudgets()
        self._by_path: dict[IcePath, Owner] = {}
        self._by_ufrag: dict[str, Owner] = {}
        # The other direction, so that an owner is removed without a search.
        self._paths: dict[Owner, set[IcePath]] = {}
        self._ufrags: dict[Owner, set[str]] = {}
        self.drops: Counter[str] = Counter()
        """Datagrams that were given to no owner, by reason."""

    def __len__(self) -> int:
        return len(self._paths)

    def __contains__(self, owner: Owner) -> bool:
        return owner in self._paths

    def routes(self) -> int:
        """Return the number of paths and fragments; zero when all owners are gone."""
        return len(self._by_path) + len(self._by_ufrag)

    def add(self, owner: Owner, ufrags: Iterable[str]) -> None:
        """Route checks with these user-name fragments to an owner.

        Raises `ValueError` if the owner is in the table already, or a fragment is taken.
        """
        if owner in self._paths:
            raise ValueError("the owner is in the table already")
        ufrags = list(ufrags)
        for ufrag in ufrags:
            if ufrag in self._by_ufrag:
                raise ValueError(f"user-name fragment {ufrag} is taken")
        self._paths[owner] = set()
        self._ufrags[owner] = set()
        for ufrag in ufrags:
            self._add_ufrag(owner, ufrag)

    def remove(self, owner: Owner) -> None:
        """Forget an owner and every route to it. Harmless when it is not in the table."""
        for path in self._paths.pop(owner, ()):
            del self._by_path[path]
        for ufrag in self._ufrags.pop(owner, ()):
            del self._by_ufrag[ufrag]

    def route(self, data: bytes, path: IcePath, now: float) -> Owner | None:
        """Return the owner that a datagram is for; `None` (and a count in `drops`) if there is none."""
        if data and data[0] > 3:
            owner = self._by_path.get(path)
        else:
            owner = self._route_stun(data, path, now)
            if owner is None:
                return None
        if owner is None:
            self.drops["unknown-source"] += 1
        return owner

    def owner(self, path: IcePath) -> Owner | None:
        """Return the owner that a validated path leads to, if any."""
        return self._by_path.get(path)

    def _route_stun(self, data: bytes, path: IcePath, now: float) -> Owner | None:
        """Route by fragment, since another peer may have the address now. The owner of the path may object."""
        try:
            ufrag = local_ufrag(data)
        except BadPacket as error:
            self.drops[error.reason] += 1
            return None
        owner = self._by_ufrag.get(ufrag)
        if owner is None:
            self.drops["unknown-ufrag"] += 1
            return None
        holder = self._by_path.get(path)
        if holder is not None and holder is not owner and self._keeps(holder, path, now):
            self.drops["path-of-another"] += 1
            return None
        if not self._check_budgets.take(ufrag, path, now):
            self.drops["check-flood"] += 1
            return None
        return owner

    def apply(self, owner: Owner, events: Iterable[object]) -> None:
        """Change the routes as an owner's transport events say; other events are ignored.

        Nothing changes for an owner that is not in the table any more.
        """
        if owner not in self._paths:
            return
        for event in events:
            match event:
                case PathValidated(path):
                    self._add_path(owner, path)
                case PathRetired(path):
                    self._remove_path(owner, path)
                case CredentialsAdded(ufrag):
                    self._add_ufrag(owner, ufrag)
                case CredentialsRetired(ufrag):
                    self._remove_ufrag(owner, ufrag)

    def _add_path(self, owner: Owner, path: IcePath) -> None:
        # `route` let the check pass, so the owner before has no consent for the path any more.
        before = self._by_path.get(path)
        if before is not None:
            self._paths[before].discard(path)
        self._by_path[path] = owner
        self._paths[owner].add(path)

    def _remove_path(self, owner: Owner, path: IcePath) -> None:
        if path in self._paths[owner]:
            self._paths[owner].remove(path)
            del self._by_path[path]

    def _add_ufrag(self, owner: Owner, ufrag: str) -> None:
        if ufrag in self._by_ufrag:
            raise ValueError(f"user-name fragment {ufrag} is taken")
        self._by_ufrag[ufrag] = owner
        self._ufrags[owner].add(ufrag)

    def _remove_ufrag(self, owner: Owner, ufrag: str) -> None:
        self._ufrags[owner].remove(ufrag)
        del self._by_ufrag[ufrag]
