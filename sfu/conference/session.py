"""Sessions: what a client keeps when everything else breaks.

A session begins with a join. `TRANSITIONS` says where it goes from there; docs/sessions.md has the figure.

A session is proven by its id and a token that changes at every resume. Only hashes of tokens are kept. Should
the reply with a new token get lost, the client still holds the one before: that is good once more, until the
new one has been used or the client has shown in another way that it has the reply.
"""

import enum
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass

ID_BYTES = 16
"""128 random bits: nobody guesses a session's id."""

TOKEN_BYTES = 32
"""256 random bits."""


class SessionState(enum.Enum):
    """Where a session stands."""

    ACTIVE = "active"
    """Its client is connected."""
    SUSPENDED = "suspended"
    """Its client is away and may come back until the deadline."""
    ENDED = "ended"
    """Left, expired or replaced: it cannot be resumed."""


class SessionEvent(enum.Enum):
    """What can happen to a session."""

    LOST = "its connection is lost"
    RESUMED = "resume"
    OVER = "leave, expiry or replacement"


TRANSITIONS: Mapping[tuple[SessionState, SessionEvent], SessionState] = {
    (SessionState.ACTIVE, SessionEvent.LOST): SessionState.SUSPENDED,
    (SessionState.ACTIVE, SessionEvent.RESUMED): SessionState.ACTIVE,
    (SessionState.ACTIVE, SessionEvent.OVER): SessionState.ENDED,
    (SessionState.SUSPENDED, SessionEvent.RESUMED): SessionState.ACTIVE,
    (SessionState.SUSPENDED, SessionEvent.OVER): SessionState.ENDED,
}
"""What each event leads to; one that has no row in a state changes nothing there."""


@dataclass(frozen=True, slots=True)
class TokenHashes:
    """What is stored of a session's tokens (SHA-256 of 256 random bits needs no salt)."""

    current: bytes
    previous: bytes | None = None
    """Of the token before, while the client may not have received the current one: good once more."""


def hash_of(token: str) -> bytes:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def make_token(random: Callable[[int], bytes]) -> str:
    """Return a new token."""
    return random(TOKEN_BYTES).hex()


def rotate(tokens: TokenHashes, presented: bytes, following: bytes) -> TokenHashes | None:
    """Return what is stored after a resume by the token with the hash `presented`; None: it proves nothing.

    `following` is the hash of the next token. The token that was current stays good once more, until the next
    one has been used. Takes the same time whatever is wrong with `presented`.
    """
    matches = hmac.compare_digest(presented, tokens.current)
    # Compared in any case, against itself if need be: whether there is a previous token stays a secret.
    previous = hmac.compare_digest(presented, tokens.previous or hash_of(""))
    if tokens.previous is None:
        previous = False
    if not (matches or previous):
        return None
    return TokenHashes(following, presented if matches else None)


class Session:
    """One session, with the rules of its tokens and of its grace period."""

    __slots__ = ("deadline", "generation", "id", "state", "tokens")

    def __init__(self, session_id: str, tokens: TokenHashes, generation: int = 1) -> None:
        self.id = session_id
        self.tokens = tokens
        self.generation = generation
        """Counts the connections that the session has had: the newest one wins."""
        self.state = SessionState.ACTIVE
        self.deadline: float | None = None
        """When it expires (seconds of the machine's `now`), while suspended."""

    @classmethod
    def create(cls, random: Callable[[int], bytes]) -> tuple["Session", str]:
        """Return a new session and its first token."""
        token = make_token(random)
        return cls(random(ID_BYTES).hex(), TokenHashes(hash_of(token))), token

    def accepts(self, token: str) -> bool:
        """Return whether `token` proves the session. Takes the same time whatever is wrong with it."""
        proven = rotate(self.tokens, hash_of(token), b"") is not None
        return proven and self.state is not SessionState.ENDED

    def resume(self, token: str, random: Callable[[int], bytes]) -> str:
        """Begin a new connection of the session, proven by `token`; return the next token.

        The token that was current stays good once more, until the next one is used or `confirm` is called.

        Raises:
            PermissionError: the token does not prove the session.
        """
        following = make_token(random)
        tokens = rotate(self.tokens, hash_of(token), hash_of(following))
        if tokens is None or self.state is SessionState.ENDED:
            raise PermissionError("the token does not prove the session")
        self.adopt(tokens, self.generation + 1)
        return following

    def adopt(self, tokens: TokenHashes, generation: int) -> None:
        """Begin a new connection of the session that was proven elsewhere, where these tokens were stored.

        Raises:
            PermissionError: the session has ended.
        """
        if not self._step(SessionEvent.RESUMED):
            raise PermissionError("the session has ended")
        self.tokens = tokens
        self.generation = generation
        self.deadline = None

    def confirm(self) -> bool:
        """Note that the client has its current token: what it says on the new connection shows that.

        Returns whether this is news.
        """
        if self.tokens.previous is None:
            return False
        self.tokens = TokenHashes(self.tokens.current)
        return True

    def suspend(self, deadline: float) -> None:
        """Note that the client is away; without a resume the session expires at `deadline`."""
        if self._step(SessionEvent.LOST):
            self.deadline = deadline

    def is_expired(self, now: float) -> bool:
        """Return whether the grace period is over."""
        return self.deadline is not None and now >= self.deadline

    def end(self) -> None:
        """Make the session impossible to resume."""
        self._step(SessionEvent.OVER)
        self.deadline = None

    def _step(self, event: SessionEvent) -> bool:
        """Go where the table says; return whether it says anything."""
        following = TRANSITIONS.get((self.state, event))
        self.state = following or self.state
        return following is not None
