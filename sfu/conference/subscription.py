"""A track on its way to one client, and how far it has come."""

from dataclasses import dataclass

from sfu.conference.track import Track
from sfu.sdp import Sender
from sfu.transport.sender import SendStream


@dataclass(slots=True, eq=False)
class Subscription:
    """Wished for → given a slot in the next description → negotiated, and so forwarded."""

    track: Track
    slot: Sender | None = None
    """The m-line that carries it, from the description on in which it is first named."""
    stream: SendStream | None = None
    """What forwards it, while the client agrees to the slot."""
    rejected: bool = False
    """Whether the client refused the m-line: it has none of the track's codecs, or so it seems."""
