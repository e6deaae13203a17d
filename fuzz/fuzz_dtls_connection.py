"""A DTLS client and server under any sequence of datagrams and ticks: nothing raises, nothing grows, both end.

The input is a program for the network between two genuine ends: deliver, drop, duplicate, change or swap their
datagrams, cut them into records, inject bytes, let time pass, send data, close. Afterwards the network works
again. Then each end must end its handshake: connected or failed. Only a server without a whole ClientHello may
still wait. Connected ends have the same keys, and data arrives as it was sent.
"""

import random
from collections import deque
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache

from sfu.dtls import ApplicationData, Certificate, ConnectionState, DtlsConfiguration, DtlsConnection
from sfu.dtls.fragments import MAX_BUFFERED
from sfu.dtls.record import parse_record
from sfu.dtls.record_layer import MAX_EARLY_RECORDS
from sfu.errors import BadPacket

MAX_STEPS = 200
PATIENCE = 4000.0
"""Seconds: longer than all retransmissions together."""


@cache
def certificate(seed: int) -> Certificate:
    """The same certificate in every run."""
    return Certificate.generate(datetime(2026, 1, 1, tzinfo=UTC), random.Random(seed).randbytes)


class Network:
    """Two ends, the datagrams in flight in each direction, and a clock."""

    def __init__(self, mtu: int, cookie_exchange: bool) -> None:
        self.now = 0.0
        ours = DtlsConfiguration(certificate(1), random.Random(1).randbytes, mtu=mtu)
        theirs = replace(
            ours, certificate=certificate(2), random=random.Random(2).randbytes, cookie_exchange=cookie_exchange
        )
        self.client, self.server = DtlsConnection("client", ours), DtlsConnection("server", theirs)
        self.ends = (self.client, self.server)
        self.under_way: tuple[deque[bytes], deque[bytes]] = (deque(), deque())
        self.sent: tuple[set[bytes], set[bytes]] = (set(), set())
        self.client.start(0.0)
        self.collect()

    def collect(self) -> None:
        """Fetch the datagrams and events of both ends, and check that nothing has grown."""
        for index, end in enumerate(self.ends):
            datagrams = end.outgoing(self.now)
            assert sum(map(len, datagrams)) < 100_000
            self.under_way[index].extend(datagrams)
            for event in end.events():
                if isinstance(event, ApplicationData):
                    assert event.data in self.sent[1 - index]
            assert end._layer.waiting <= MAX_EARLY_RECORDS
            assert end._handshake.buffered <= MAX_BUFFERED

    def deliver(self, sender: int, datagram: bytes) -> None:
        """Give a datagram to the other end."""
        self.ends[1 - sender].receive(datagram, self.now)
        self.collect()

    def tick(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        for end in self.ends:
            end.handle_timeout(self.now)
            due = end.next_timeout()
            assert due is None or due > self.now, "a timer that is due again at once would spin"
        self.collect()

    def step(self, operation: int, argument: int, rest: bytes) -> int:
        """Carry out one instruction; return how many bytes of `rest` it has used."""
        sender = operation & 1
        queue = self.under_way[sender]
        match operation >> 1 & 15:
            case 0 | 1 | 2 | 3 if queue:
                self.deliver(sender, queue.popleft())
            case 4 if queue:
                queue.popleft()
            case 5 if queue:
                self.deliver(sender, queue[0])
            case 6 if queue:
                queue.rotate(argument)
            case 7 if queue:
                for record in records(queue.popleft()):
                    self.deliver(sender, record)
            case 8 if queue and rest:
                changed = bytearray(queue.popleft())
                changed[argument * 257 % len(changed)] ^= rest[0]
                self.deliver(sender, bytes(changed))
                return 1
            case 9 if queue:
                datagram = queue.popleft()
                self.deliver(sender, datagram[: argument % (len(datagram) + 1)])
            case 10:
                self.deliver(sender, rest[:argument])
                return argument
            case 11:
                self.tick(argument / 64)
            case 12:
                self.tick(float(argument))
            case 13 if self.ends[sender].state is ConnectionState.CONNECTED:
                self.sent[sender].add(rest[:argument])
                self.ends[sender].send(rest[:argument], self.now)
                self.collect()
                return argument
            case 14 if argument == 0:
                self.ends[sender].close(self.now)
                self.collect()
        return 0

    def heal(self) -> None:
        """Deliver everything and let all timers expire."""
        end = self.now + PATIENCE
        while self.now < end:
            for index, queue in enumerate(self.under_way):
                while queue:
                    self.deliver(index, queue.popleft())
            if any(self.under_way):
                continue
            deadlines = [time for end in self.ends if (time := end.next_timeout()) is not None]
            if not deadlines:
                return
            self.tick(max(0.0, min(deadlines) - self.now))
        raise AssertionError("two ends that never come to an end")


def records(datagram: bytes) -> list[bytes]:
    """Split a datagram into its records, in reverse order."""
    found, offset = [], 0
    while offset < len(datagram):
        try:
            _, end = parse_record(datagram, offset)
        except BadPacket:
            break
        found.append(datagram[offset:end])
        offset = end
    return found[::-1]


def one_input(data: bytes) -> None:
    """Check the invariants on one program."""
    if not data:
        return
    network = Network(mtu=256 + 16 * (data[0] >> 1), cookie_exchange=bool(data[0] & 1))
    position = 1
    for _ in range(MAX_STEPS):
        if position + 2 > len(data):
            break
        operation, argument = data[position], data[position + 1]
        position += 2 + network.step(operation, argument, data[position + 2 :])
    network.heal()
    client, server = network.ends
    assert client.state is not ConnectionState.HANDSHAKING
    assert server.state is not ConnectionState.HANDSHAKING or server.next_timeout() is None
    if client.state is server.state is ConnectionState.CONNECTED:
        assert client.export_keying_material(b"fuzz", 16) == server.export_keying_material(b"fuzz", 16)
        assert client.srtp_keys().local_key == server.srtp_keys().remote_key
