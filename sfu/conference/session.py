"""Sessions: what a client keeps when everything else breaks (SPEC section 4).

    (join) ──> active ──connection lost──> suspended ──deadline──> ended
                 ^  │                          │
                 │  └──────── leave ───────────┼────────────────> ended
                 └───── resume (id, token) ────┘

A session is proven by its id and a token that changes at every resume. Only hashes of tokens are kept. Should
the reply with a new token get lost, the client still holds the one before: that is good once more, until the
new one has been used or the client has shown in another way that it has the reply.
"""

import enum
import hashlib
import hmac
from collections.abc import Callable
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


@dataclass(frozen=True, slots=True)
class TokenHashes:
    """What is stored of a session's tokens (SHA-256 of 256 random bits needs no salt)."""

    current: bytes
    previous: bytes | None = None
    """Of the token before, while the client may not have received the current one: good once more."""


def hash_of(token: str) -> bytes:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


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
        token = random(TOKEN_BYTES).hex()
        return cls(random(ID_BYTES).hex(), TokenHashes(hash_of(token))), token

    def accepts(self, token: str) -> bool:
        """Return whether `token` proves the session. Takes the same time whatever is wrong with it."""
        presented = hash_of(token)
        matches = hmac.compare_digest(presented, self.tokens.current)
        # Compared in any case, against itself if need be: whether there is a previous token stays a secret.
        previous = hmac.compare_digest(presented, self.tokens.previous or hash_of(""))
        if self.tokens.previous is None:
            previous = False
        return (matches or previous) and self.state is not SessionState.ENDED

    def resume(self, token: str, random: Callable[[int], bytes]) -> str:
        """Begin a new connection of the session, proven by `token`; return the next token.

        The token that was current stays good once more, until the next one is used or `confirm` is called.

        Raises:
            PermissionError: the token does not prove the session.
        """
        if not self.accepts(token):
            raise PermissionError("the token does not prove the session")
        following = random(TOKEN_BYTES).hex()
        presented = hash_of(token)
        again = presented if presented == self.tokens.current else None
        self.tokens = TokenHashes(hash_of(following), again)
        self.generation += 1
        self.state = SessionState.ACTIVE
        self.deadline = None
        return following

    def confirm(self) -> None:
        """Note that the client has its current token: what it says on the new connection shows that."""
        if self.tokens.previous is not None:
            self.tokens = TokenHashes(self.tokens.current)

    def suspend(self, deadline: float) -> None:
        """Note that the client is away; without a resume the session expires at `deadline`."""
        if self.state is SessionState.ACTIVE:
            self.state = SessionState.SUSPENDED
            self.deadline = deadline

    def is_expired(self, now: float) -> bool:
        """Return whether the grace period is over."""
        return self.deadline is not None and now >= self.deadline

    def end(self) -> None:
        """Make the session impossible to resume."""
        self.state = SessionState.ENDED
        self.deadline = None
