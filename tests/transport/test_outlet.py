"""The end of a transport is one object: opened once, moved, closed for good."""

from support.media import Subscriber

from sfu.ice.path import Address, Path
from sfu.transport.outlet import Outlet


def test_open_move_close() -> None:
    other = Path(None, Address("192.0.2.9", 9))
    outlet = Outlet()
    outlet.move(other)
    outlet.close()
    assert outlet.path is None
    subscriber = Subscriber()
    outlet, srtp = subscriber.outlet, subscriber.outlet.srtp
    assert srtp is not None
    assert outlet.path == subscriber.path
    outlet.move(other)
    assert outlet.path is other
    outlet.close()
    assert outlet.srtp is None
    assert outlet.path is None
    assert srtp.context is None
