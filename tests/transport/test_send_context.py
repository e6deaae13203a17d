"""The end of a transport is one object: opened once, closed for good."""

from support.media import Subscriber

from sfu.transport.send_context import SendContext


def test_open_and_close() -> None:
    outlet = SendContext()
    outlet.close()
    assert outlet.path is None
    subscriber = Subscriber()
    outlet, srtp = subscriber.outlet, subscriber.outlet.srtp
    assert srtp is not None
    assert outlet.path == subscriber.path
    outlet.close()
    assert outlet.srtp is None
    assert outlet.path is None
    assert srtp.context is None
