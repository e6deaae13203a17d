"""Records when RTP packets arrive at a host, from a packet socket on its network interfaces."""

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from browser.namespaces import Namespace

__all__ = ["Arrivals", "watch_arrivals"]

ETH_P_IP = 0x0800
"""Packets of IPv4 that arrive; those that leave are not shown to such a socket."""

SO_TIMESTAMPNS = 35
"""Linux: have the kernel tell when a packet came (asm-generic/socket.h)."""

TIMESPEC = struct.Struct("@qq")

HEADERS = struct.Struct("!B8xB10x")
"""The two bytes of an IPv4 header (RFC 791) that are read: its length in 32-bit words, and the protocol."""

RTCP_TYPES = range(192, 224)
"""The second byte of what is RTCP and not RTP (RFC 5761, section 4)."""


class Arrivals:
    """The arrival times of all RTP packets that other hosts sent."""

    def __init__(self) -> None:
        self.times: list[float] = []
        """Seconds by the wall clock, oldest first."""

    def after(self, moment: float) -> float:
        """Return how many seconds after `moment` the first packet came; raises StopIteration before that."""
        return next(at for at in self.times if at >= moment) - moment

    async def run(self, packets: trio.socket.SocketType) -> None:
        """Read until cancelled."""
        while True:
            # With SOCK_DGRAM the link layer's header is left out; of the rest the headers are enough.
            data, ancillary, _, sender = await packets.recvmsg(64, 64)
            assert isinstance(sender, tuple)  # the interface first (packet(7))
            if sender[0] != "lo" and _is_rtp(data):
                seconds, nanoseconds = TIMESPEC.unpack(ancillary[0][2])
                self.times.append(seconds + nanoseconds * 1e-9)


def _is_rtp(packet: bytes) -> bool:
    """Whether an IPv4 packet holds a datagram whose content is RTP by its first two bytes (RFC 7983)."""
    version_and_length, protocol = HEADERS.unpack_from(packet)
    content = (version_and_length & 15) * 4 + 8
    return (
        protocol == socket.IPPROTO_UDP
        and len(packet) > content + 1
        and 128 <= packet[content] < 192
        and packet[content + 1] not in RTCP_TYPES
    )


@asynccontextmanager
async def watch_arrivals(host: Namespace) -> AsyncIterator[Arrivals]:
    """Watch a host for the length of the block."""
    with host.entered():
        packets = trio.socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
    with packets:
        packets.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        arrivals = Arrivals()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(arrivals.run, packets)
            yield arrivals
            nursery.cancel_scope.cancel("nobody looks any more")
