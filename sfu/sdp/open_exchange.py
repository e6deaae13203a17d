"""What is open between descriptions: an unanswered offer, and what the other end may not have received."""

from dataclasses import dataclass

from sfu.sdp.mline import Announced, SendSlot
from sfu.sdp.sections import LocalSection
from sfu.sdp.transport import LocalTransport


@dataclass(frozen=True, slots=True)
class PendingOffer:
    """Our offer that waits for its answer."""

    sections: list[LocalSection]
    unnumbered: list[tuple[SendSlot, Announced]]
    """Slots that the offer leaves out: the client's numbering has no payload type left for their tracks.
    Another offer would leave them out again."""


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """What the client may take for agreed although the server does not, or the reverse.

    Descriptions get lost together with the signaling connection. The client's next description shows what it
    knows, and then nothing is unconfirmed but what that description brings.
    """

    offer: bool = False
    """The client may have applied an offer of ours that was rolled back, or whose answer was taken for that to
    another. The next complete exchange decides it."""
    answer: bool = False
    """Our last answer may not have reached the client. By itself this is no reason to offer."""
    lines: frozenset[int] = frozenset()
    """Places of the m-lines that the client added or stopped with its last offer, as long as it has not shown
    that it got our answer. Without that answer it may roll back, and bring the line with another mid, not at
    all, or alive."""
    client_offer: bytes | None = None
    """Digest of that offer, to recognise it when it comes again."""


NOTHING_UNCONFIRMED = Unconfirmed()


@dataclass(frozen=True, slots=True)
class IceRestart:
    """An ICE restart of ours that the client has not agreed to yet."""

    transport: LocalTransport | None
    """Our transport with the new credentials; None before they have been made."""
