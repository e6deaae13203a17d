"""The outgoing batch: what goes in comes out once, in order, and the batch never grows."""

import pytest
from cffi import FFI

from sfu.ice.path import Address, IcePath
from sfu.rtp.srtp import MAX_PLAINTEXT, MAX_TRAILER
from sfu.transport.egress import PACKET_BUFFER_SIZE, Egress

PATHS = [IcePath(None, Address("192.0.2.1", port)) for port in range(1, 4)]


class Wire:
    """Collects what a batch sends."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, IcePath | None]] = []
        self.batches: list[int] = []

    def send(self, egress: Egress) -> None:
        self.batches.append(egress.count)
        for index in range(egress.count):
            data = FFI().buffer(egress.memory + index * PACKET_BUFFER_SIZE, egress.lengths[index])[:]
            assert bytes(egress.buffers[index][: len(data)]) == data
            assert FFI().buffer(egress.pointers[index], len(data))[:] == data
            self.sent.append((data, egress.paths[index]))


def test_datagrams_come_out_in_order_and_full_batches_flush_themselves() -> None:
    wire = Wire()
    egress = Egress(wire.send, capacity=3)
    for number in range(7):
        egress.put(bytes([number]) * (number + 1), PATHS[number % 3])
    assert wire.batches == [3, 3]
    egress.flush()
    egress.flush()
    assert wire.batches == [3, 3, 1]
    assert wire.sent == [(bytes([n]) * (n + 1), PATHS[n % 3]) for n in range(7)]
    assert egress.paths == [None] * 3


def test_a_buffer_holds_its_size_and_not_a_byte_more() -> None:
    wire = Wire()
    egress = Egress(wire.send, capacity=2)
    egress.put(bytes(PACKET_BUFFER_SIZE), PATHS[0])
    with pytest.raises(ValueError, match="longer than a buffer"):
        egress.put(bytes(PACKET_BUFFER_SIZE + 1), PATHS[0])
    egress.flush()
    assert [len(data) for data, _ in wire.sent] == [PACKET_BUFFER_SIZE]


def test_a_buffer_has_room_for_the_longest_packet_and_what_srtp_writes_behind_it() -> None:
    assert PACKET_BUFFER_SIZE >= MAX_PLAINTEXT + MAX_TRAILER


def test_the_batch_is_empty_even_when_sending_raised() -> None:
    def broken(egress: Egress) -> None:
        raise OSError("gone")

    egress = Egress(broken)
    egress.put(b"x", PATHS[0])
    with pytest.raises(OSError, match="gone"):
        egress.flush()
    assert egress.count == 0
    assert egress.paths[0] is None
