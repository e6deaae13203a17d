"""Sessions: what a client keeps when its connections break.

A session begins with a join. `TRANSITIONS` says what can happen to it; docs/sessions.md shows the figure.

A client proves its session with the session's id and a token. Every resume replaces the token, and only hashes
of tokens are stored. If the reply with the new token is lost, the client still holds the previous one. That one
is valid one more time, until the client uses the new token or shows in another way that it has the reply.
"""

import enum
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass

ID_BYTES = 16
"""128 random bits, so that a session id cannot be guessed."""

TOKEN_BYTES = 32
"""256 random bits."""


class SessionState(enum.Enum):
    """The state of a session."""

    ACTIVE = "active"
    """Its client is connected."""
    SUSPENDED = "suspended"
    """Its client is disconnected and may come back until the deadline."""
    ENDED = "ended"
    """It cannot be resumed on this server any more."""


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
"""The state after each event. An event without a row changes nothing in that state."""


class Departure(enum.Enum):
    """What becomes of the session of a peer that leaves its room."""

    LEFT = "the session has ended everywhere"
    MOVED = "the session goes on at another server, or at this one after a restart"


@dataclass(frozen=True, slots=True)
class TokenHashes:
    """What is stored of a session's tokens (SHA-256 of 256 random bits needs no salt)."""

    current: bytes
    previous: bytes | None = None
    """Of the previous token, which is valid one more time; None once the client has shown the current one."""


def hash_of(token: str) -> bytes:
    """Return the hash that is stored of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def make_token(random: Callable[[int], bytes]) -> str:
    """Return a new token."""
    return random(TOKEN_BYTES).hex()


def rotate(tokens: TokenHashes, presented: str, following: str) -> TokenHashes | None:
    """Return the tokens of a session after a resume with the token `presented`; None if that is not valid.

    `following` is the next token. The token that was current stays valid one more time, until the client uses
    the next one. An invalid token takes the same time whatever is wrong with it.
    """
    presented_hash, following_hash = hash_of(presented), hash_of(following)
    is_current = hmac.compare_digest(presented_hash, tokens.current)
    # Compared in any case, so that the time does not tell whether there is a previous token.
    is_previous = hmac.compare_digest(presented_hash, tokens.previous or bytes(len(presented_hash)))
    if is_current:
        return TokenHashes(following_hash, presented_hash)
    return TokenHashes(following_hash) if is_previous and tokens.previous is not None else None


class Session:
    """One session: its tokens, its state, and its deadline while the client is disconnected."""

    __slots__ = ("deadline", "end_reason", "generation", "id", "state", "tokens")

    def __init__(self, session_id: str, tokens: TokenHashes, generation: int = 1) -> None:
        self.id = session_id
        self.tokens = tokens
        self.generation = generation
        """Counts the signaling connections that the session has had. The newest one wins."""
        self.state = SessionState.ACTIVE
        self.deadline: float | None = None
        """When it expires (seconds of the machine's `now`), while suspended."""
        self.end_reason: str | None = None
        """Why it has ended here, once it has."""

    @classmethod
    def create(cls, random: Callable[[int], bytes]) -> tuple["Session", str]:
        """Return a new session and its first token."""
        token = make_token(random)
        return cls(random(ID_BYTES).hex(), TokenHashes(hash_of(token))), token

    def prove(self, token: str, following: str) -> TokenHashes | None:
        """Return the tokens after a resume with `token`, or None if it does not prove the session.

        `following` is the next token. Nothing changes before `resume`. An invalid token takes the same time
        whatever is wrong with it.
        """
        tokens = rotate(self.tokens, token, following)
        return None if self.state is SessionState.ENDED else tokens

    def resume(self, tokens: TokenHashes, generation: int) -> None:
        """Begin a new signaling connection of the session, which has been proven.

        Raises:
            PermissionError: the session has ended.
        """
        if not self._step(SessionEvent.RESUMED):
            raise PermissionError("the session has ended")
        self.tokens = tokens
        self.generation = generation
        self.deadline = None

    def confirm(self) -> bool:
        """Note that the client has its current token: a message on the new connection shows that.

        Return True if the previous token was dropped.
        """
        if self.tokens.previous is None:
            return False
        self.tokens = TokenHashes(self.tokens.current)
        return True

    def suspend(self, deadline: float) -> None:
        """Note that the client is disconnected; without a resume the session expires at `deadline`."""
        if self._step(SessionEvent.LOST):
            self.deadline = deadline

    def is_expired(self, now: float) -> bool:
        """Return whether the deadline of a suspended session has passed."""
        return self.deadline is not None and now >= self.deadline

    def end(self, reason: str) -> None:
        """Make the session impossible to resume here."""
        if self._step(SessionEvent.OVER):
            self.end_reason = reason
        self.deadline = None

    def _step(self, event: SessionEvent) -> bool:
        """Go to the next state by the table; return whether it has a row for this."""
        following = TRANSITIONS.get((self.state, event))
        self.state = following or self.state
        return following is not None
