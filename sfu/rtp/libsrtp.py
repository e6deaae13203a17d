"""The one place that uses libsrtp below pylibsrtp's public interface, and why.

`pylibsrtp.Session` encrypts a copy: it takes `bytes`, allocates a length, copies the packet in and the
result out. The forwarding loop does this once per packet and receiver, where those copies cost more than
AES-GCM itself (3.2 µs against 1.4 µs for 1200 bytes). The C functions work in place, and pylibsrtp's own
compiled binding exposes them; it is not documented, so it is probed once at import. If a future pylibsrtp
has moved it, `portable_binding` gives the same functions on top of the public `Session`, only slower, and
failing for packets of more than 1356 bytes: `Session` keeps room for the longest trailer behind them.

Everything else in this project calls the four functions of `BINDING`, which all have one shape::

    status = transform(context, memory, length)      # memory: char *, length: int[1], changed in place

with status 0 for success and otherwise one of libsrtp's ``srtp_err_status_t`` numbers, a stable part of its
ABI. `context` is what `BINDING.context(session)` gave. It is a raw C pointer: it is valid only as long as
its `Session` exists, so only the owner of the session may keep it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pylibsrtp
from cffi import FFI

Transform = Callable[[Any, Any, Any], int]
"""``(context, memory, length) -> status``; see the module's text."""

STATUS_OK: Final = 0
STATUS_FAIL: Final = 1
STATUS_AUTH_FAIL: Final = 7
STATUS_REPLAY_FAIL: Final = 9
STATUS_REPLAY_OLD: Final = 10
STATUS_PARSE: Final = 21

_STATUS_BY_MESSAGE: Final = {
    "authentication failure": STATUS_AUTH_FAIL,
    "replay check failed (bad index)": STATUS_REPLAY_FAIL,
    "replay check failed (index too old)": STATUS_REPLAY_OLD,
    "error parsing data": STATUS_PARSE,
}

_ffi: Final = FFI()


@dataclass(frozen=True, slots=True)
class Binding:
    """libsrtp's four functions, and how to get their context."""

    context: Callable[[pylibsrtp.Session], Any]
    """What the functions take as `context` for a session."""
    protect: Transform
    unprotect: Transform
    protect_rtcp: Transform
    unprotect_rtcp: Transform


def direct_binding() -> Binding | None:
    """Return the C functions themselves; `None` if this version of pylibsrtp has them elsewhere."""
    try:
        from pylibsrtp._binding import lib

        pylibsrtp.Session()._srtp[0]  # a probe: raises when the attribute has moved
        return Binding(
            lambda session: session._srtp[0],
            lib.srtp_protect,
            lib.srtp_unprotect,
            lib.srtp_protect_rtcp,
            lib.srtp_unprotect_rtcp,
        )
    except (ImportError, AttributeError, TypeError):
        return None


def portable_binding() -> Binding:
    """Return the same functions, made from the public methods of `pylibsrtp.Session`."""
    return Binding(
        lambda session: session,
        _through(pylibsrtp.Session.protect),
        _through(pylibsrtp.Session.unprotect),
        _through(pylibsrtp.Session.protect_rtcp),
        _through(pylibsrtp.Session.unprotect_rtcp),
    )


def _through(method: Callable[[Any, bytes], bytes]) -> Transform:
    def transform(session: Any, memory: Any, length: Any) -> int:
        data = _ffi.buffer(memory, length[0])[:]
        try:
            result = method(session, data)
        except (pylibsrtp.Error, ValueError) as error:  # the latter for a packet too long
            return _STATUS_BY_MESSAGE.get(str(error), STATUS_FAIL)
        _ffi.buffer(memory, len(result))[:] = result
        length[0] = len(result)
        return STATUS_OK

    return transform


BINDING: Final = direct_binding() or portable_binding()
"""The binding that this process uses."""
