"""The kernel's view of addresses: socket address structures and packet information.

A `SockaddrFormat` translates both ways for one kind of socket. On an IPv4 socket the structures are `struct
sockaddr_in` and `struct in_pktinfo` (ip(7)). On an IPv6 socket they are `struct sockaddr_in6` and `struct
in6_pktinfo` (ipv6(7), RFC 3542 section 6.1), and IPv4 appears as IPv4-mapped addresses (RFC 4291 section
2.5.5.2). The rest of the server has addresses as text: an IPv4 peer is ``192.0.2.7`` on both kinds of socket.
"""

import socket
import struct
from typing import Final

from sfu.ice.path import Address

# Linux's numbers. The socket module has them in later Python versions than the oldest that we support.
IP_PKTINFO: Final = 8
IPV6_RECVPKTINFO: Final = 49
IPV6_PKTINFO: Final = 50

_MAPPED_PREFIX: Final = bytes(10) + b"\xff\xff"

# struct cmsghdr { size_t cmsg_len; int cmsg_level; int cmsg_type; }
_CONTROL_HEADER: Final = struct.Struct("@Nii")


class Ipv4Format:
    """Addresses as an AF_INET socket has them."""

    family: Final = socket.AF_INET
    packet_info: Final = (socket.IPPROTO_IP, IP_PKTINFO)
    """Level and option that ask for packet information."""

    # struct sockaddr_in { sa_family_t family (host order); in_port_t port; struct in_addr; 8 unused bytes }
    _family = struct.Struct("=H")
    _port_and_host = struct.Struct("!H4s8x")
    # struct in_pktinfo { int ifindex; struct in_addr spec_dst; struct in_addr addr; }
    _info = struct.Struct("=i4s4s")

    name_length: Final = 16
    control_length: Final = socket.CMSG_SPACE(12)

    def pack_name(self, remote: Address, scope: int) -> bytes:
        """Return the socket address of `remote`; IPv4 has no scopes."""
        packed = socket.inet_pton(socket.AF_INET, remote.host)
        return self._family.pack(self.family) + self._port_and_host.pack(remote.port, packed)

    def parse_name(self, name: bytes) -> tuple[Address, int]:
        """Return the address in a socket address, and its scope id, which is 0 for IPv4."""
        port, packed = self._port_and_host.unpack_from(name, 2)
        return Address(socket.inet_ntop(socket.AF_INET, packed), port), 0

    def pack_control(self, local_host: str, interface: int) -> bytes:
        """Return the control message that makes `local_host` the source address of a datagram.

        The interface stays 0, so the route decides: it may be another one than the peer's packets arrive on.
        """
        packed = socket.inet_pton(socket.AF_INET, local_host)
        return _control(self.packet_info, self._info.pack(0, packed, bytes(4)))

    def parse_control(self, control: bytes) -> tuple[str, int] | None:
        """Return the local host and interface that a datagram was sent to, or `None` if it does not say."""
        body = _control_body(self.packet_info, control, self._info.size)
        if body is None:
            return None
        # spec_dst is the address to answer from; addr, the header's destination, may be a broadcast.
        interface, packed, _ = self._info.unpack(body)
        return socket.inet_ntop(socket.AF_INET, packed), interface


class Ipv6Format:
    """Addresses as a dual-stack AF_INET6 socket has them; IPv4 travels as IPv4-mapped addresses."""

    family: Final = socket.AF_INET6
    packet_info: Final = (socket.IPPROTO_IPV6, IPV6_RECVPKTINFO)

    # struct sockaddr_in6 { family (host order); port; flow information; address; scope id (host order) }
    _family = struct.Struct("=H")
    _middle = struct.Struct("!HI16s")
    _scope = struct.Struct("=I")
    # struct in6_pktinfo { struct in6_addr addr; unsigned int ifindex; }
    _info = struct.Struct("=16sI")

    name_length: Final = 28
    control_length: Final = socket.CMSG_SPACE(20)

    def pack_name(self, remote: Address, scope: int) -> bytes:
        """Return the socket address of `remote`; `scope` is the interface of a link-local address, else 0."""
        middle = self._middle.pack(remote.port, 0, _pack_host(remote.host))
        return self._family.pack(self.family) + middle + self._scope.pack(scope)

    def parse_name(self, name: bytes) -> tuple[Address, int]:
        """Return the address in a socket address, and its scope id."""
        port, _, packed = self._middle.unpack_from(name, 2)
        (scope,) = self._scope.unpack_from(name, 24)
        return Address(_host_text(packed), port), scope

    def pack_control(self, local_host: str, interface: int) -> bytes:
        """Return the control message that makes `local_host` the source address of a datagram.

        The kernel gets the interface only for a link-local address, which means nothing without it. Otherwise
        the route decides.
        """
        packed = _pack_host(local_host)
        is_link_local = packed[0] == 0xFE and packed[1] & 0xC0 == 0x80  # fe80::/10
        if not is_link_local:
            interface = 0
        return _control((socket.IPPROTO_IPV6, IPV6_PKTINFO), self._info.pack(packed, interface))

    def parse_control(self, control: bytes) -> tuple[str, int] | None:
        """Return the local host and interface that a datagram was sent to, or `None` if it does not say."""
        body = _control_body((socket.IPPROTO_IPV6, IPV6_PKTINFO), control, self._info.size)
        if body is None:
            return None
        packed, interface = self._info.unpack(body)
        return _host_text(packed), interface


SockaddrFormat = Ipv4Format | Ipv6Format


def _pack_host(host: str) -> bytes:
    if ":" in host:
        return socket.inet_pton(socket.AF_INET6, host)
    return _MAPPED_PREFIX + socket.inet_pton(socket.AF_INET, host)


def _host_text(packed: bytes) -> str:
    if packed.startswith(_MAPPED_PREFIX):
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return socket.inet_ntop(socket.AF_INET6, packed)


def _control(kind: tuple[int, int], body: bytes) -> bytes:
    message = _CONTROL_HEADER.pack(socket.CMSG_LEN(len(body)), *kind) + body
    return message.ljust(socket.CMSG_SPACE(len(body)), b"\0")


def _control_body(kind: tuple[int, int], control: bytes, size: int) -> bytes | None:
    length, level, option = _CONTROL_HEADER.unpack_from(control)
    if (level, option) != kind or length < socket.CMSG_LEN(size):
        return None
    return control[_CONTROL_HEADER.size : _CONTROL_HEADER.size + size]
