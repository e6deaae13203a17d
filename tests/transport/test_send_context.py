"""The end of a transport is one object: opened once, closed for good."""

from support.media import Subscriber

from sfu.transport.send_context import SendContext


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
