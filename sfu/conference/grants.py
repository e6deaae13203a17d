"""What a client may do in its room. `sfu.shell.auth.tokens` reads the grants from a join token."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sfu.conference.messages import Join, Source
from sfu.sdp.mline import MediaKind

PublishGrant = Literal["audio", "video", "screen"]

EVERYTHING: frozenset[PublishGrant] = frozenset({"audio", "video", "screen"})
"""All that can be published."""


@dataclass(frozen=True, slots=True)
class Grants:
    """Rights in one room. They last as long as the session: it proves by its own token what was proven once."""

    publish: frozenset[PublishGrant] = EVERYTHING
    """What may be published: ``screen`` is a shared screen with its sound, the others are all but that."""
    subscribe: bool = True
    """Whether others' tracks may be received."""
    admin: bool = False
    """Whether others' presence may be managed."""

    def may_publish(self, kind: MediaKind, source: Source) -> bool:
        """Return whether a track of this kind and source may be published."""
        return ("screen" if source == "screen" else kind) in self.publish


Authenticate = Callable[[Join], Grants]
"""Returns what the sender of a join may do; raises `Unauthorized` (who is it?) or `Forbidden` (not there)."""


def let_anybody_in(_request: Join) -> Grants:
    """Grant everything but administration to everybody: a server without authentication."""
    return Grants()
