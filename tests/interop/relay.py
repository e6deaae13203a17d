"""The network between a program and the server: a UDP relay that sees every datagram and may lose some.

    program ── 192.0.2.2:7882 (relay) ── 127.0.0.1:7882 (server)

It takes the server's port on the host's other address, and the server announces only that one.
"""

import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import trio

from sfu.dtls import SrtpProtectionProfile
from sfu.dtls.extensions import ExtensionType, UseSrtp
from sfu.dtls.fragments import parse_fragment
from sfu.dtls.messages import HandshakeType, ServerHello
from sfu.dtls.record import ContentType, parse_record
from sfu.dtls.suites import SUITES
from sfu.ice.path import Address
from sfu.transport.demux import PacketKind, kind_of

DATAGRAM_SIZE = 2048
"""Bytes; more than any datagram of WebRTC."""

RATE = 16
"""One in so many packets gets lost."""

MAX_PORTS = 64
"""Sockets of programs that one relay serves."""

Side = Literal["program", "server"]


class Wire:
    """Notes what can be read on the network, and drops RTP packets of one stream.

    Retransmissions pass, since some implementations ask for one only once. They are a stream of their own, or
    have a sequence number that was there before.
    """

    def __init__(self, loses: Side) -> None:
        """`loses` is the side that loses packets."""
        self.loses = loses
        self.lossy_ssrc: int | None = None
        """The SSRC of the stream that loses one packet in `RATE`; nothing gets lost without one."""
        self.lost = set[int]()
        """Sequence numbers."""
        self.dtls_client: Side | None = None
        """The side that sent the ClientHello."""
        self.cipher_suite = ""
        self.srtp_profile = ""
        """What the ServerHello has chosen."""
        self.closing_alerts = Counter[Side]()
        """Encrypted alerts: after a handshake that worked, these are close_notify."""

    def carry(self, sender: Side, data: bytes) -> bool:
        """Look at a datagram and return whether it arrives."""
        kind = kind_of(data)
        if kind is PacketKind.DTLS:
            self._look(sender, data)
        if kind is not PacketKind.RTP or sender != self.loses or int.from_bytes(data[8:12]) != self.lossy_ssrc:
            return True
        number = int.from_bytes(data[2:4])
        if number % RATE or number in self.lost:
            return True
        self.lost.add(number)
        return False

    def _look(self, sender: Side, data: bytes) -> None:
        offset = 0
        while offset < len(data):
            record, offset = parse_record(data, offset)
            if record.epoch:
                self.closing_alerts[sender] += record.content_type == ContentType.ALERT
            elif record.content_type == ContentType.HANDSHAKE:
                fragment, _ = parse_fragment(record.fragment)
                if fragment.message_type == HandshakeType.CLIENT_HELLO:
                    self.dtls_client = sender
                elif fragment.message_type == HandshakeType.SERVER_HELLO:
                    hello = ServerHello.parse(fragment.body)
                    self.cipher_suite = SUITES[hello.cipher_suite].name
                    (profile,) = UseSrtp.decode(hello.extensions[ExtensionType.USE_SRTP]).profiles
                    self.srtp_profile = SrtpProtectionProfile(profile).name


def bind_beside(host: str, behind: str) -> trio.socket.SocketType:
    """Return a socket on `host` whose port is free on the host `behind` as well."""
    while True:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((host, 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((behind, sock.getsockname()[1]))
            except OSError:
                sock.close()
            else:
                return trio.socket.from_stdlib_socket(sock)


@asynccontextmanager
async def open_relay(before: trio.socket.SocketType, server: Address, wire: Wire) -> AsyncIterator[None]:
    """Relay between `before`, to which programs send, and `server` for the length of the block."""
    upstream: dict[tuple[str, int], trio.socket.SocketType] = {}

    async def back(behind: trio.socket.SocketType, program: tuple[str, int]) -> None:
        with behind:
            while True:
                data = await behind.recv(DATAGRAM_SIZE)
                if wire.carry("server", data):
                    await before.sendto(data, program)

    async def forth() -> None:
        while True:
            data, program = await before.recvfrom(DATAGRAM_SIZE)
            behind = upstream.get(program)
            if behind is None:
                assert len(upstream) < MAX_PORTS
                behind = upstream[program] = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                await behind.bind((before.getsockname()[0], 0))
                await behind.connect(server)
                nursery.start_soon(back, behind, program)
            if wire.carry("program", data):
                await behind.send(data)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(forth)
        yield
        nursery.cancel_scope.cancel("the call is over")
