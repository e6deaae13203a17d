"""A transport's send context is opened and closed for all streams at once; its SSRCs are each given once."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from support.media import Subscriber

from sfu.transport.send_context import SendContext, SsrcSequence


def test_open_and_close() -> None:
    send_context = SendContext()
    send_context.close()
    assert send_context.path is None
    subscriber = Subscriber()
    send_context, srtp = subscriber.send_context, subscriber.send_context.srtp
    assert srtp is not None
    assert send_context.path == subscriber.path
    send_context.close()
    assert send_context.srtp is None
    assert send_context.path is None
    assert srtp.context is None


@given(st.integers(0, 2**64))
def test_no_ssrc_comes_twice_and_none_is_zero(seed: int) -> None:
    make_ssrc = SsrcSequence(Random(seed).randbytes)
    made = [make_ssrc() for _ in range(2000)]
    assert len(set(made)) == len(made)
    assert all(0 < ssrc < 2**32 for ssrc in made)


def test_two_transports_have_others() -> None:
    parts = iter([b"\0\0\0\1", b"\0\0\0\2", b"\0\0\0\1", b"\1\0\0\2"])
    one, other = (SsrcSequence(lambda _: next(parts)) for _ in range(2))
    assert [one(), one(), one()] == [4, 7, 10]
    assert [other(), other()] == [0x0100_0004, 0x0200_0007]


def test_zero_is_passed_over() -> None:
    parts = iter([b"\xff\xff\xff\xfd", b"\0\0\0\3"])
    assert SsrcSequence(lambda _: next(parts))() == 3
