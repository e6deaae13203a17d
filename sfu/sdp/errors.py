"""What goes wrong with session descriptions: theirs (`SdpError`) and ours (`WrongState`, `TooManyLines`)."""

from typing import Literal

from sfu.errors import BadPacket

Reason = Literal["sdp-too-large", "sdp-syntax", "sdp-unsupported", "sdp-mismatch"]


class SdpError(BadPacket):
    """A remote description that breaks a rule; nothing of it has been applied.

    `reason` is one of four constants: ``"sdp-too-large"`` (a limit on size or count), ``"sdp-syntax"``
    (RFC 8866 or the grammar of a known attribute), ``"sdp-unsupported"`` (legal, but needs what this end does
    not do: no BUNDLE, no rtcp-mux, no DTLS fingerprint, both ends ICE-lite ...), ``"sdp-mismatch"`` (does not
    fit what was agreed before: m-lines gone or swapped, a changed certificate, an answer to another offer).

    `line` is the number of the offending line, counted from 1, or None where no single line is to blame.
    """

    def __init__(self, reason: Reason, detail: str, line: int | None = None) -> None:
        super().__init__(reason, detail if line is None else f"line {line}: {detail}")
        self.line = line


class WrongState(RuntimeError):
    """A verb of `BundleSession` was called when it makes no sense, such as a second offer before the answer."""


class TooManyLines(RuntimeError):
    """No m-line is free and the session has as many as its limits allow."""
