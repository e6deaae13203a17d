"""The path of each datagram that the media socket receives, kept so that a known path costs one look-up."""

from typing import Final

from sfu.ice.path import Address, IcePath
from sfu.shell.media.mmsg import Destination
from sfu.shell.media.sockaddr import SockaddrFormat

PATHS: Final = 4096
"""Paths per generation of the cache: more than a server has peers."""


class PathCache:
    """Maps origins to paths, so that all datagrams of one path share one `IcePath`.

    An origin is what the kernel says about a datagram: socket address and control message, in one piece.
    Anybody can send from any number of addresses, so the cache is bounded: it has two generations of at most
    `capacity` paths. A path that is used is in the young generation, or moves there. When the young generation
    is full, it becomes the old one, and the old one is dropped. That does no harm, since paths are equal by
    value.
    """

    def __init__(self, codec: SockaddrFormat, bound_host: str | None, port: int, capacity: int = PATHS) -> None:
        """`bound_host` and `port` are what the socket is bound to; `None` means all addresses."""
        self._codec = codec
        self._bound_host = bound_host
        self._port = port
        self._capacity = capacity
        self._young: dict[bytes, IcePath] = {}
        self._old: dict[bytes, IcePath] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def __getitem__(self, origin: bytes) -> IcePath:
        path = self._young.get(origin)
        if path is not None:
            return path
        path = self._old.pop(origin, None) or self._make(origin)
        if len(self._young) >= self._capacity:
            self._old, self._young = self._young, {}
        self._young[origin] = path
        return path

    def _make(self, origin: bytes) -> IcePath:
        codec = self._codec
        remote, scope = codec.parse_name(origin[: codec.name_length])
        host, interface = self._bound_host, 0
        control = b""
        if host is None:
            info = codec.parse_control(origin[codec.name_length :])
            if info is not None:
                host, interface = info
                control = codec.pack_control(host, interface)
        local = None if host is None else Address(host, self._port)
        return IcePath(local, remote, Destination(codec.pack_name(remote, scope), control))

    def destination(self, path: IcePath) -> Destination:
        """Return the destination of a path that this cache did not make."""
        codec = self._codec
        control = b""
        if self._bound_host is None and path.local is not None:
            control = codec.pack_control(path.local.host, 0)
        return Destination(codec.pack_name(path.remote, 0), control)
