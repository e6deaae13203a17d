"""SRTP and SRTCP as they arrive: only BadPacket escapes, and what is let through is what was sent, and once.

The input is a program for a network between a genuine sender and the receiver: packets are made, delivered
late or twice, changed, cut, lengthened and invented; streams are forgotten. The harness knows what was sent
and what came through:

* nothing comes through that was not sent, bit by bit, and no packet twice while its stream is known;
* a packet that is newer than all before it comes through, and so does a late one within the window;
* no more streams are kept than are allowed, only authentic packets make one, and of those that sent nothing but
  RTCP the one that was silent longest gives way.
"""

from collections import defaultdict, deque
from typing import NamedTuple

from sfu.errors import BadPacket
from sfu.rtp.srtp import MAX_INBOUND_SSRCS, MAX_REPORTERS, PROFILES, WINDOW, InboundSrtp, OutboundSrtp

MAX_STEPS = 300
MAX_UNDER_WAY = 64
FIRST = 65_500
"""Sequence number before the first of each stream: the counter of rounds has to follow soon."""

REASONS = frozenset(
    f"srtp-{reason}"
    for reason in ("auth", "replay", "replay-old", "malformed", "too-long", "ssrc-limit", "failed")
)


class Packet(NamedTuple):
    """A packet under way."""

    encrypted: bytes
    plain: bytes
    ssrc: int
    number: int
    """Extended sequence number, or the running number of an RTCP packet."""
    rtcp: bool


class Network:
    """A sender, a receiver, and what is under way."""

    def __init__(self, profile: str) -> None:
        row = PROFILES[profile]
        key, salt = bytes(range(row.key_length)), bytes(range(row.salt_length))
        self.sender = OutboundSrtp(profile, key, salt)
        self.receiver = InboundSrtp(profile, key, salt)
        self.overhead = row.overhead
        self.under_way: deque[Packet] = deque(maxlen=MAX_UNDER_WAY)
        self.numbers: dict[tuple[int, bool], int] = {}
        """The last number sent, by SSRC and whether it is RTCP's."""
        self.sent: set[bytes] = set()
        self.newest: dict[tuple[int, bool], int] = {}
        """The highest number that came through."""
        self.seen: defaultdict[int, set[bytes]] = defaultdict(set)
        """What came through, by SSRC: the streams that the receiver knows."""
        self.senders: set[int] = set()
        """Those of them that have sent RTP …"""
        self.reporters: dict[int, None] = {}
        """… and those that have not, the one silent longest first."""

    def step(self, what: int, detail: int, data: bytes) -> int:
        """Do one thing; return how many bytes of `data` it has used."""
        queue = self.under_way
        argument = data[0] if data else 0
        some = queue[detail % len(queue)] if queue else None
        match what % 12:
            case 0 | 1:
                self.send_rtp(detail, skip=what >> 4, first=what, payload=data[1 : 1 + argument])
                return 1 + argument
            case 2:
                self.send_rtcp(detail, data[1 : 1 + (argument & ~3)])
                return 1 + (argument & ~3)
            case 3 | 4 if queue:
                self.deliver(queue.popleft())
            case 5 if some:
                self.deliver(some)
            case 6:
                queue.rotate(detail)
            case 7 if some:
                changed = bytearray(some.encrypted)
                changed[argument * 7 % len(changed)] ^= data[1] if len(data) > 1 else 1
                self.invent(bytes(changed), rtcp=some.rtcp)
                return 2
            case 8 if some:
                self.invent(some.encrypted[:argument], rtcp=some.rtcp)
                return 1
            case 9:
                self.invent(data[:detail], rtcp=bool(what & 16))
                return detail
            case 10 if some:
                self.invent(some.encrypted + data[:16] + b"x", rtcp=some.rtcp)
                assert self.receive(some.encrypted, rtcp=not some.rtcp) is None
            case 11:
                self.forget(detail)
        return 0

    def send_rtp(self, ssrc: int, *, skip: int, first: int, payload: bytes) -> None:
        """The next packet of a stream, some numbers left out; the header may promise more than there is."""
        number = self.numbers.get((ssrc, False), FIRST) + 1 + skip
        head = bytes((0x80 | first & 0x30, 96)) + (number & 0xFFFF).to_bytes(2)
        plain = head + bytes(4) + ssrc.to_bytes(4) + payload
        try:
            encrypted = self.sender.protect(plain)
        except BadPacket:
            return  # too malformed to encrypt, so it cannot be sent
        assert len(encrypted) == len(plain) + self.overhead
        self.put(Packet(encrypted, plain, ssrc, number, rtcp=False))

    def send_rtcp(self, ssrc: int, body: bytes) -> None:
        """A compound of one packet."""
        number = self.numbers.get((ssrc, True), 0) + 1
        body += bytes(-len(body) % 4)
        plain = bytes((0x80, 200)) + (len(body) // 4 + 1).to_bytes(2) + ssrc.to_bytes(4) + body
        self.put(Packet(self.sender.protect_rtcp(plain), plain, ssrc, number, rtcp=True))

    def put(self, packet: Packet) -> None:
        """A packet leaves."""
        self.numbers[packet.ssrc, packet.rtcp] = packet.number
        self.sent.add(packet.encrypted)
        self.under_way.append(packet)

    def deliver(self, packet: Packet) -> None:
        """A packet arrives as it was sent."""
        expected = self.is_expected(packet)
        again = packet.encrypted in self.seen.get(packet.ssrc, ())
        plain = self.receive(packet.encrypted, rtcp=packet.rtcp)
        if plain is None:
            assert not expected
            return
        assert plain == packet.plain
        assert not again
        self.seen[packet.ssrc].add(packet.encrypted)
        key = packet.ssrc, packet.rtcp
        self.newest[key] = max(packet.number, self.newest.get(key, packet.number))
        if not packet.rtcp:
            self.senders.add(packet.ssrc)
            self.reporters.pop(packet.ssrc, None)
        elif packet.ssrc not in self.senders:
            self.reporters.pop(packet.ssrc, None)
            self.reporters[packet.ssrc] = None
            if len(self.reporters) > MAX_REPORTERS:
                self.gone(next(iter(self.reporters)))
        assert len(self.senders) <= MAX_INBOUND_SSRCS
        assert self.receiver.ssrc_count == len(self.seen) == len(self.senders) + len(self.reporters)

    def is_expected(self, packet: Packet) -> bool:
        """Whether a packet must come through; of those that are left some may."""
        if not packet.rtcp and packet.ssrc not in self.senders and len(self.senders) == MAX_INBOUND_SSRCS:
            return False
        if packet.encrypted in self.seen.get(packet.ssrc, ()):
            return False
        newest = self.newest.get((packet.ssrc, packet.rtcp))
        if packet.rtcp:
            # The window of RTCP is libsrtp's own; the number stands in the packet.
            return newest is None or packet.number > newest
        if newest is None:
            # Who has not heard a stream from its beginning cannot know how many rounds its numbers went.
            return packet.number < 2**16
        return packet.number > newest - WINDOW

    def invent(self, data: bytes, *, rtcp: bool) -> None:
        """A datagram arrives that is not from a sender."""
        if data not in self.sent:
            assert self.receive(data, rtcp=rtcp) is None
            assert self.receiver.ssrc_count == len(self.seen)

    def receive(self, data: bytes, *, rtcp: bool) -> bytes | None:
        """What comes through."""
        try:
            return self.receiver.unprotect_rtcp(data) if rtcp else self.receiver.unprotect(data)
        except BadPacket as error:
            assert error.reason in REASONS
            return None

    def forget(self, ssrc: int) -> None:
        """A stream ends: its windows are gone, so all of it may come once more."""
        self.receiver.forget(ssrc)
        self.gone(ssrc)
        assert self.receiver.ssrc_count == len(self.seen)

    def gone(self, ssrc: int) -> None:
        """The receiver knows a stream no more."""
        self.seen.pop(ssrc, None)
        self.senders.discard(ssrc)
        self.reporters.pop(ssrc, None)
        for rtcp in (False, True):
            self.newest.pop((ssrc, rtcp), None)

    def close(self) -> None:
        """Give the memory back."""
        self.sender.close()
        self.receiver.close()


def one_input(data: bytes) -> None:
    """Run one program."""
    network = Network(sorted(PROFILES)[(data[0] if data else 0) % len(PROFILES)])
    offset = 1
    for _ in range(MAX_STEPS):
        if offset + 2 > len(data):
            break
        what, detail = data[offset : offset + 2]
        offset += 2
        offset += network.step(what, detail, data[offset : offset + 256])
    network.close()
