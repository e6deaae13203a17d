r"""Transport-wide congestion control feedback: arrival times of packets.

draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1. Packets are named by the transport-wide
sequence number in their header extension, which counts over all streams of one transport. FCI::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |      base sequence number     |      packet status count      |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |              reference time, 64 ms            |  fb pkt count |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |          packet chunk         |         packet chunk ...      |  see `_chunks`
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  recv delta   | recv delta, 250 µs, 1 or 2 bytes ... | zeros  |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

A chunk gives statuses to the next packets, each a symbol: 0 not received, 1 received with a one-byte delta
(0 … 255), 2 received with a two-byte signed delta::

    |0| S |     run length (13)     |   symbol S, that many times
    |1|0|      14 one-bit symbols   |   0 or 1 only
    |1|1|     7 two-bit symbols     |
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Final, Self

from sfu.errors import BadPacket
from sfu.rtp.rtcp.feedback import join_feedback, split_feedback
from sfu.rtp.rtcp.header import TRANSPORT_FEEDBACK

TICKS_PER_SECOND: Final = 4000
"""Arrival times are in units of 250 µs …"""
TICKS_PER_REFERENCE: Final = 256
"""… and the reference time in units of 64 ms."""

_HEAD: Final = Struct(">HHI")
_CHUNK: Final = Struct(">H")
_LARGE_DELTA: Final = Struct(">h")

_SMALL: Final = 1
_LARGE: Final = 2

_MAX_RUN: Final = 0x1FFF
_REFERENCE_MASK: Final = 0xFF_FFFF
_MAX_STATUS_COUNT: Final = 0xFFFF

_MAX_BUILT_STATUSES: Final = 1000
"""Most packets that `feedback_for` reports on in one message: some 1050 bytes in the usual case (small
deltas), which leaves a datagram room for SRTCP and for other RTCP packets."""
_MAX_BUILT_DELTA_BYTES: Final = 1000


@dataclass(frozen=True, slots=True)
class TransportWideFeedback:
    """The statuses of `status_count` packets, starting with `base_sequence_number`.

    Only received packets are listed: a few bytes on the wire can announce thousands of lost ones.
    """

    PACKET_TYPE: ClassVar = TRANSPORT_FEEDBACK
    FORMAT: ClassVar = 15

    sender_ssrc: int
    """The SSRC of the receiver, which reports."""
    media_ssrc: int
    """Any stream of the transport reported on."""
    base_sequence_number: int
    """Transport-wide sequence number of the first packet reported on, 0 … 65535."""
    status_count: int
    """How many packets are reported on, received or not: 1 … 65535."""
    reference_time: int
    """Where the arrival times start, in units of 64 ms of the reporter's clock: -2**23 … 2**23 - 1, wraps."""
    feedback_count: int
    """0 … 255; increases by one with each message, so that a lost one is noticed; wraps."""
    received: tuple[tuple[int, int], ...]
    """(offset, delta) of every received packet in ascending order of offset, which counts from the base
    sequence number; delta is the arrival's distance from the previous arrival in this list, for the first
    from the reference time, in units of 250 µs: -32768 … 32767."""

    def arrivals(self) -> Iterator[tuple[int, float]]:
        """(transport-wide sequence number, arrival in seconds of the reporter's clock) of received packets."""
        ticks = self.reference_time * TICKS_PER_REFERENCE
        for offset, delta in self.received:
            ticks += delta
            yield (self.base_sequence_number + offset) & 0xFFFF, ticks / TICKS_PER_SECOND

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Parse the packet's body. Raises `BadPacket` when chunks or deltas are cut off or a symbol is
        reserved.

        Time and memory are bounded by the length of `body`, not by the numbers in it.
        """
        sender_ssrc, media_ssrc, fci = split_feedback(body, "rtcp-twcc")
        if len(fci) < 8:
            raise BadPacket("rtcp-twcc", f"{len(fci)} bytes of FCI")
        base, status_count, tail = _HEAD.unpack_from(fci)
        reference_time = tail >> 8
        if reference_time & 0x80_0000:
            reference_time -= 0x100_0000
        if not status_count:
            raise BadPacket("rtcp-twcc", "reports on no packet")
        statuses, offset = _decode_chunks(fci, 8, status_count)
        received: list[tuple[int, int]] = []
        for index, symbol in statuses:
            # The statuses say how many delta bytes follow; what is left after those is padding.
            stop = offset + symbol
            if stop > len(fci):
                raise BadPacket("rtcp-twcc", f"{len(statuses)} packets received, deltas of {len(received)}")
            delta = fci[offset] if symbol == _SMALL else _LARGE_DELTA.unpack_from(fci, offset)[0]
            received.append((index, delta))
            offset = stop
        return cls(sender_ssrc, media_ssrc, base, status_count, reference_time, tail & 0xFF, tuple(received))

    def encode(self) -> bytes:
        """Return the whole packet, in few chunks. Raises `ValueError` for fields or offsets that do not fit."""
        if not 0 < self.status_count <= _MAX_STATUS_COUNT:
            raise ValueError(f"feedback on {self.status_count} packets")
        if not -0x80_0000 <= self.reference_time <= 0x7F_FFFF or not 0 <= self.feedback_count <= 255:
            raise ValueError(f"reference time {self.reference_time}, feedback count {self.feedback_count}")
        symbols = bytearray(self.status_count)
        deltas = bytearray()
        previous = -1
        for offset, delta in self.received:
            if not previous < offset < self.status_count:
                raise ValueError(f"offset {offset} after {previous} of {self.status_count}")
            previous = offset
            if 0 <= delta <= 255:
                symbols[offset] = _SMALL
                deltas.append(delta)
            elif -0x8000 <= delta <= 0x7FFF:
                symbols[offset] = _LARGE
                deltas += _LARGE_DELTA.pack(delta)
            else:
                raise ValueError(f"delta of {delta} ticks")
        tail = (self.reference_time & _REFERENCE_MASK) << 8 | self.feedback_count
        try:
            head = _HEAD.pack(self.base_sequence_number, self.status_count, tail)
        except struct.error as error:
            raise ValueError(f"feedback: {error}") from None
        fci = head + b"".join(map(_CHUNK.pack, _chunks(symbols))) + deltas
        return join_feedback(self.PACKET_TYPE, self.FORMAT, self.sender_ssrc, self.media_ssrc, fci)


def feedback_for(
    arrivals: Iterable[tuple[int, float]], *, first: int, sender_ssrc: int, media_ssrc: int, feedback_count: int
) -> list[TransportWideFeedback]:
    """Messages that report these arrivals, each small enough for one datagram.

    `arrivals` are (unwrapped transport-wide sequence number, arrival time in seconds) in strictly ascending
    order of the number. Reports start at `first`, an unwrapped number too: one more than the last that was
    reported before. Numbers left out are reported as lost, except in a gap wider than a message: the sender
    has long given up on those. `feedback_count` is that of the first message made here.
    """
    messages: list[TransportWideFeedback] = []
    received: list[tuple[int, int]] = []
    base = first
    reference = ticks = size = 0

    def finish(status_count: int) -> None:
        count = (feedback_count + len(messages)) & 0xFF
        wrapped = (reference + 0x80_0000 & _REFERENCE_MASK) - 0x80_0000
        messages.append(
            TransportWideFeedback(
                sender_ssrc, media_ssrc, base & 0xFFFF, status_count, wrapped, count, tuple(received)
            )
        )

    for number, arrival in arrivals:
        at = round(arrival * TICKS_PER_SECOND)
        delta = at - ticks
        offset = number - base
        if received and (
            offset >= _MAX_BUILT_STATUSES or size >= _MAX_BUILT_DELTA_BYTES or not -0x8000 <= delta <= 0x7FFF
        ):
            last = received[-1][0]
            finish(last + 1)
            # The next message starts right after this one, so that losses in between are reported.
            base += last + 1
            received = []
        if not received:
            if number - base >= _MAX_BUILT_STATUSES:
                base = number
            offset = number - base
            reference = at // TICKS_PER_REFERENCE
            delta = at - reference * TICKS_PER_REFERENCE
            size = 0
        received.append((offset, delta))
        size += 1 if 0 <= delta <= 255 else 2
        ticks = at
    if received:
        finish(received[-1][0] + 1)
    return messages


def _decode_chunks(fci: bytes, offset: int, status_count: int) -> tuple[list[tuple[int, int]], int]:
    """((index, symbol) of every received packet, where the deltas start)."""
    statuses: list[tuple[int, int]] = []
    # Every received packet costs at least one byte of deltas; beyond that the rest cannot be right, and
    # stopping there keeps a run of 8191 packets in two bytes from costing anything.
    most = len(fci) - offset
    index = 0
    while index < status_count:
        if offset + 2 > len(fci):
            raise BadPacket("rtcp-twcc", f"chunks for {index} of {status_count} packets")
        (chunk,) = _CHUNK.unpack_from(fci, offset)
        offset += 2
        if chunk < 0x8000:
            symbol = chunk >> 13
            length = min(chunk & _MAX_RUN, status_count - index)
            if symbol > _LARGE or (symbol and len(statuses) + length > most):
                raise BadPacket("rtcp-twcc", f"a run of {length} symbols {symbol}")
            if symbol:
                statuses.extend((at, symbol) for at in range(index, index + length))
            index += length
        else:
            # The last vector may have room for more packets than there are; what it says of those is void.
            bits, width = (1, 14) if chunk < 0xC000 else (2, 7)
            for position in range(min(width, status_count - index)):
                symbol = chunk >> bits * (width - 1 - position) & (1 << bits) - 1
                if symbol > _LARGE:
                    raise BadPacket("rtcp-twcc", "reserved symbol 3")
                if symbol:
                    statuses.append((index + position, symbol))
            index += width
    return statuses, offset


def _chunks(symbols: bytearray) -> Iterator[int]:
    """Chunks for these symbols: at each place the kind that covers most of what is left."""
    index = 0
    end = len(symbols)
    while index < end:
        symbol = symbols[index]
        run = 1
        while run < _MAX_RUN and index + run < end and symbols[index + run] == symbol:
            run += 1
        vector = symbols[index : index + 14]
        if run >= len(vector):
            yield symbol << 13 | run
            index += run
        elif _LARGE not in vector:
            yield 0x8000 | _pack_symbols(vector, 1, 14)
            index += 14
        elif run >= 7:
            yield symbol << 13 | run
            index += run
        else:
            yield 0xC000 | _pack_symbols(vector[:7], 2, 7)
            index += 7


def _pack_symbols(symbols: bytearray, bits: int, width: int) -> int:
    packed = 0
    for symbol in symbols:
        packed = packed << bits | symbol
    return packed << bits * (width - len(symbols))
