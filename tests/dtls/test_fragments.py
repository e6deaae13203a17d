import random
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.dtls.fragments import (
    MAX_AHEAD,
    MAX_BUFFERED,
    MAX_MESSAGE,
    Fragment,
    HandshakeMessage,
    Reassembler,
    parse_fragment,
)
from sfu.errors import BadPacket

FRAGMENT = Fragment(11, 0x203, 7, 1, b"body")
RAW = bytes.fromhex("0b 000203 0007 000001 000004") + b"body"


def refusal(reassembler: Reassembler, fragment: Fragment) -> str:
    with pytest.raises(BadPacket) as caught:
        reassembler.add(fragment)
    return caught.value.reason


def test_whole() -> None:
    assert FRAGMENT.serialize() == RAW
    assert parse_fragment(RAW) == (FRAGMENT, len(RAW))


@pytest.mark.parametrize("size", range(len(RAW)))
def test_cut(size: int) -> None:
    with pytest.raises(BadPacket) as caught:
        parse_fragment(RAW[:size])
    assert caught.value.reason == "dtls-fragment-truncated"


def test_bytes_after_the_fragment_are_left() -> None:
    assert parse_fragment(RAW + b"x") == (FRAGMENT, len(RAW))
    assert parse_fragment(b"x" + RAW, 1) == (FRAGMENT, 1 + len(RAW))


@pytest.mark.parametrize(
    ("length", "offset", "size", "reason"),
    [
        (3, 0, 4, "dtls-fragment-range"),
        (4, 1, 4, "dtls-fragment-range"),
        (4, 0xFFFFFF, 4, "dtls-fragment-range"),
        (MAX_MESSAGE + 1, 0, 4, "dtls-message-length"),
    ],
)
def test_impossible_lengths(length: int, offset: int, size: int, reason: str) -> None:
    with pytest.raises(BadPacket) as caught:
        parse_fragment(Fragment(1, length, 0, offset, bytes(size)).serialize())
    assert caught.value.reason == reason


@given(
    st.binary(max_size=300),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=20),
    st.integers(1, 300),
    st.randoms(),
)
def test_any_cuts_in_any_order_give_the_message(
    body: bytes, extra: list[tuple[int, int]], step: int, draw: random.Random
) -> None:
    message = HandshakeMessage(1, 0, body)
    pieces = [message.fragment(offset, step) for offset in range(0, max(1, len(body)), step)]
    pieces += [message.fragment(offset, size) for offset, size in extra if offset <= len(body)]
    draw.shuffle(pieces)
    reassembler = Reassembler()
    popped = None
    for piece in pieces:
        if popped is None:
            reassembler.add(parse_fragment(piece.serialize())[0])
            popped = reassembler.pop()
        else:
            assert refusal(reassembler, piece) == "dtls-message-repeated"
    assert popped == message
    assert reassembler.buffered == 0


def test_messages_come_out_in_order() -> None:
    reassembler = Reassembler()
    messages = [HandshakeMessage(seq, seq, bytes([seq]) * seq) for seq in range(MAX_AHEAD)]
    for message in reversed(messages):
        reassembler.add(message.fragment(0, len(message.body)))
    assert [reassembler.pop() for _ in messages] == messages
    assert reassembler.pop() is None


def test_incomplete_is_not_popped() -> None:
    reassembler = Reassembler()
    message = HandshakeMessage(1, 0, b"0123456789")
    reassembler.add(message.fragment(0, 6))
    reassembler.add(message.fragment(2, 6))
    assert reassembler.pop() is None
    reassembler.add(message.fragment(9, 1))
    assert reassembler.pop() is None
    reassembler.add(message.fragment(8, 1))
    assert reassembler.pop() == message


def test_a_message_that_was_already_returned() -> None:
    reassembler = Reassembler()
    reassembler.add(Fragment(1, 0, 0, 0, b""))
    assert reassembler.pop() is not None
    assert refusal(reassembler, Fragment(1, 0, 0, 0, b"")) == "dtls-message-repeated"


def test_too_far_ahead() -> None:
    assert refusal(Reassembler(), Fragment(1, 0, MAX_AHEAD, 0, b"")) == "dtls-message-ahead"


def test_contradicting_fragments() -> None:
    reassembler = Reassembler()
    reassembler.add(Fragment(1, 10, 0, 0, b"01234"))
    assert refusal(reassembler, Fragment(1, 11, 0, 5, b"56789")) == "dtls-fragment-mismatch"
    assert refusal(reassembler, Fragment(2, 10, 0, 5, b"56789")) == "dtls-fragment-mismatch"
    reassembler.add(Fragment(1, 10, 0, 5, b"56789"))
    assert reassembler.pop() == HandshakeMessage(1, 0, b"0123456789")


def test_early_messages_are_dropped_in_favor_of_the_next_one() -> None:
    reassembler = Reassembler()
    for seq in (3, 2):
        reassembler.add(Fragment(1, MAX_MESSAGE, seq, 0, b"x"))
    assert refusal(reassembler, Fragment(1, MAX_MESSAGE, 4, 0, b"x")) == "dtls-message-ahead"
    reassembler.add(HandshakeMessage(1, 0, bytes(MAX_MESSAGE)).fragment(0, MAX_MESSAGE))
    assert reassembler.buffered == MAX_BUFFERED
    assert reassembler.pop() is not None


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10), st.integers(0, MAX_MESSAGE), st.integers(0, MAX_MESSAGE), st.integers(0, 2000)
        )
    )
)
def test_memory_is_bounded(fragments: list[tuple[int, int, int, int]]) -> None:
    reassembler = Reassembler()
    for seq, length, offset, size in fragments:
        raw = Fragment(1, length, seq, offset, bytes(size)).serialize()
        with suppress(BadPacket):
            reassembler.add(parse_fragment(raw)[0])
        reassembler.pop()
        assert reassembler.buffered <= MAX_BUFFERED


def test_discard() -> None:
    reassembler = Reassembler()
    reassembler.add(Fragment(1, 1, 0, 0, b"x"))
    reassembler.discard()
    assert reassembler.pop() is None
