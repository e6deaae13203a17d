import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.dtls.flights import (
    MAX_RETRANSMISSIONS,
    REPEAT_INTERVAL,
    ChangeCipherSpec,
    DatagramPacker,
    Flight,
    Retransmission,
)
from sfu.dtls.fragments import HandshakeMessage, Reassembler, parse_fragment
from sfu.dtls.record import DTLS_1_2, ContentType, Record, parse_record

OVERHEAD = 24


def seal(content_type: ContentType, epoch: int, plaintext: bytes) -> Record:
    return Record(content_type, DTLS_1_2, epoch << 48, plaintext + bytes(OVERHEAD * epoch))


def packed(flight: Flight, mtu: int) -> list[bytes]:
    packer = DatagramPacker(mtu, seal, lambda epoch: OVERHEAD * epoch)
    packer.add_flight(flight)
    return packer.finish()


@given(
    st.lists(st.binary(max_size=3000), max_size=4),
    st.lists(st.binary(max_size=3000), max_size=2),
    st.integers(256, 1500),
)
def test_any_flight_fits_any_mtu_and_is_reassembled(before: list[bytes], after: list[bytes], mtu: int) -> None:
    bodies = before + after
    messages = [HandshakeMessage(20, seq, body) for seq, body in enumerate(bodies)]
    flight = Flight([*messages[: len(before)], ChangeCipherSpec(), *messages[len(before) :]])
    reassembler = Reassembler()
    found = []
    epoch = 0
    for datagram in packed(flight, mtu):
        assert 0 < len(datagram) <= mtu
        offset = 0
        while offset < len(datagram):
            record, offset = parse_record(datagram, offset)
            assert record.epoch >= epoch
            if record.content_type == ContentType.CHANGE_CIPHER_SPEC:
                assert (record.fragment, record.epoch) == (b"\1", 0)
                epoch = 1
                continue
            assert record.epoch == epoch
            plaintext = record.fragment[: len(record.fragment) - OVERHEAD * epoch]
            fragment, end = parse_fragment(plaintext)
            assert end == len(plaintext)
            reassembler.add(fragment)
            while message := reassembler.pop():
                found.append(message)
    assert found == messages


def test_small_messages_share_a_datagram() -> None:
    flight = Flight([HandshakeMessage(1, seq, bytes(100)) for seq in range(5)])
    assert len(packed(flight, 1200)) == 1


def test_a_change_cipher_spec_that_no_longer_fits() -> None:
    flight = Flight([HandshakeMessage(1, 0, bytes(256 - 13 - 12 - 5)), ChangeCipherSpec()])
    assert [len(datagram) for datagram in packed(flight, 256)] == [251, 14]


def test_nothing_to_send() -> None:
    assert packed(Flight([]), 1200) == []


def started(*, awaits_reply: bool = True, answered: int = 1) -> Retransmission:
    retransmission = Retransmission(1.0, 60.0)
    retransmission.begin(Flight([], awaits_reply), answered=answered, now=100.0)
    return retransmission


def test_the_timer_doubles_up_to_a_minute() -> None:
    retransmission = started()
    now = 100.0
    waits = []
    for _ in range(8):
        assert retransmission.deadline is not None
        waits.append(retransmission.deadline - now)
        now = retransmission.deadline
        assert not retransmission.due(now - 0.001)
        assert retransmission.due(now)
        assert retransmission.repeat_by_timer(now)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert retransmission.count == 8


def test_a_new_flight_resets_the_timer() -> None:
    retransmission = started()
    retransmission.repeat_by_timer(101.0)
    retransmission.begin(Flight([]), answered=2, now=102.0)
    assert retransmission.deadline == 103.0


def test_giving_up() -> None:
    retransmission = started()
    for _ in range(MAX_RETRANSMISSIONS):
        assert retransmission.repeat_by_timer(200.0)
    assert not retransmission.repeat_by_timer(200.0)
    assert retransmission.deadline is None


def test_no_timer_for_the_last_flight_and_after_stopping() -> None:
    assert started(awaits_reply=False).deadline is None
    retransmission = started()
    retransmission.stop()
    assert not retransmission.due(1e9)


def test_retransmission_because_the_peer_retransmits() -> None:
    retransmission = started(answered=2)
    assert not retransmission.repeat_by_peer(0, 100.0 + REPEAT_INTERVAL / 2)
    assert not retransmission.repeat_by_peer(2, 101.0)
    assert retransmission.repeat_by_peer(1, 101.0)
    assert not retransmission.repeat_by_peer(0, 101.0)
    assert retransmission.repeat_by_peer(0, 101.0 + 2 * REPEAT_INTERVAL)
    assert retransmission.count == 2


@pytest.mark.parametrize("message_seq", [0, 1])
def test_without_a_flight_nothing_is_retransmitted(message_seq: int) -> None:
    assert not Retransmission(1.0, 60.0).repeat_by_peer(message_seq, 100.0)
