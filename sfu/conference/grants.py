"""What a client may do in its room. `sfu.shell.auth.tokens` reads the grants from a join token."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sfu.conference.messages import Join, Source
from sfu.sdp.mline import MediaKind

PublishGrant = Literal["audio", "video", "screen"]

EVERYTHING: frozenset[PublishGrant] = frozenset({"audio", "video", "screen"})
"""Everything that can be published."""


@dataclass(frozen=True, slots=True)
class Grants:
    """Rights in one room. They last as long as the session: its token proves what the join token proved."""

    publish: frozenset[PublishGrant] = EVERYTHING
    """What may be published. ``screen`` is a shared screen with its sound; the others are everything else."""
    subscribe: bool = True
    """Whether tracks of others may be received."""
    admin: bool = False
    """Whether other peers may be managed. Nothing asks for this yet."""

    def may_publish(self, kind: MediaKind, source: Source) -> bool:
        """Return whether a track of this kind and source may be published."""
        return ("screen" if source == "screen" else kind) in self.publish


Authenticate = Callable[[Join], Grants]
"""Returns what the sender of a join may do. Raises `Unauthorized` if it has not proven who it is, and
`Forbidden` if it may not enter this room."""


def allow_everyone(_request: Join) -> Grants:
    """Grant everything except administration to every client. This is a server without authentication."""
    return Grants()
