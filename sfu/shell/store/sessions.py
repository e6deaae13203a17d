"""Sessions beyond this process: what is kept of them at the state store, and how they come back from there.

The conference has the newest state of each session; the store gets what changes, without being waited for. Only
the resume of a session that is not here waits for it: where several servers share a store, it has the last word
on whose a session is.
"""

import os

import trio

from sfu.conference.conference import Conference
from sfu.conference.messages import Join
from sfu.conference.peer import Peer
from sfu.conference.records import Claimed, SessionRecord, succeed
from sfu.conference.session import make_token
from sfu.shell.logs import get_logger
from sfu.shell.store.interface import Store
from sfu.state.statistics import StoreUnavailable

log = get_logger(__name__)


class Sessions:
    """Carries sessions between one conference and the store."""

    def __init__(self, conference: Conference, store: Store, ttl: float) -> None:
        """`ttl`: seconds that a session can be resumed after its client, or this process, has gone."""
        self._conference = conference
        self._store = store
        self._ttl = ttl

    async def claim(self, request: Join) -> Claimed | None:
        """Ask the store for the session that `request` wants to resume.

        None: nobody was asked, since the session is here or there is no place for it; or nobody answers.

        A session that is here and that the request does not prove may have been elsewhere meanwhile: then the
        store says so.
        """
        session_id = request.session_id
        if session_id is None or self._conference.proves(request) or not self._conference.has_place(request):
            await trio.lowlevel.checkpoint()
            return None
        token = make_token(os.urandom)
        try:
            record = await self._store.claim(session_id, lambda record: succeed(record, request, token))
        except StoreUnavailable as error:
            log.info("session not asked for", reason=str(error))
            return None
        if record is None and self._conference.find_session(session_id) is not None:
            return None  # it is here, or has come meanwhile
        return Claimed(record, token)

    def save(self) -> None:
        """Hand the store what has changed since the last call."""
        changes = self._conference.take_changed()
        for peer in changes.changed:
            deadline = peer.session.deadline
            self._store.put(peer.record(), self._ttl if deadline is None else deadline - trio.current_time())
        for session_id in changes.ended:
            self._store.drop(session_id)

    def restore(self, found: list[tuple[SessionRecord, float]]) -> list[Peer]:
        """Put back sessions, each with the seconds that remain to it; return the peers that there are now."""
        now = trio.current_time()
        restored = [self._conference.restore(record, now + remaining, now) for record, remaining in found]
        peers = [peer for peer in restored if peer is not None]
        log.info("sessions restored", found=len(found), restored=len(peers))
        return peers
