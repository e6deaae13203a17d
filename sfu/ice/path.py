"""A path of datagrams: a pair of transport addresses."""

from typing import Literal, NamedTuple

Transport = Literal["udp", "tcp"]
"""How a path carries datagrams: by UDP, or framed on a TCP connection (RFC 4571)."""


class Address(NamedTuple):
    """An IP transport address."""

    host: str
    """Textual IPv4 or IPv6 address in canonical form, without brackets and without a zone."""
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class IcePath:
    """A local and a remote address between which datagrams travel (RFC 8445 calls it a candidate pair).

    Paths are equal if `(local, remote, transport)` are equal, so a path made from another datagram of the same
    peer finds the same entry in a table. The hash is computed only once, because a path is looked up for every
    received datagram. Treat a path as immutable.
    """

    __slots__ = ("_hash", "local", "native", "remote", "transport")

    local: Address | None
    """The address that the datagram was sent to; `None` if the socket has only one address."""
    remote: Address
    native: object | None
    """What the sender needs to send on this path: the media socket keeps a packed socket address here, a full
    ICE agent's socket keeps its route. `None` on a TCP path, whose connection is looked up by the path itself.
    Opaque to pure code, and ignored in comparisons."""
    transport: Transport
    """A TCP path lasts as long as its connection."""

    def __init__(
        self,
        local: Address | None,
        remote: Address,
        native: object | None = None,
        transport: Transport = "udp",
    ) -> None:
        self.local = local
        self.remote = remote
        self.native = native
        self.transport = transport
        self._hash = hash((local, remote, transport))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, IcePath):
            return NotImplemented
        return (
            self._hash == other._hash
            and self.remote == other.remote
            and self.local == other.local
            and self.transport == other.transport
        )

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        return f"{self.local or '*'}<->{self.remote}{' tcp' if self.transport == 'tcp' else ''}"

    def __repr__(self) -> str:
        return f"IcePath({self.local!r}, {self.remote!r}, transport={self.transport!r})"
