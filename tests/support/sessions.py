"""What a session's tokens prove."""

from sfu.conference.session import Session


def accepts(session: Session, token: str) -> bool:
    """Return whether a token proves a session; the session does not change."""
    return session.prove(token, "following") is not None
