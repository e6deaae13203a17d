"""One peer's wish to receive one track, and how far it has come."""

from dataclasses import dataclass

from sfu.conference.messages import SubscriptionInfo
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

    def info(self) -> SubscriptionInfo:
        """Describe the subscription to its own peer."""
        return SubscriptionInfo(self.track.id, self.track.publisher.id, None)
