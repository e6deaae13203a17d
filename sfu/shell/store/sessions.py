"""Sessions between the conference and the store: proven, and saved.

The conference has the newest state of each session. The store gets each change without being waited for. Only
the resume of a session that is not on this server waits for the store: where several servers share one, the
store decides which server has the session.
"""

import os
from functools import partial

import trio

from sfu.conference.conference import Conference
from sfu.conference.messages import Join
from sfu.conference.records import Proof, resume_record
from sfu.conference.session import make_token
from sfu.shell.logs import get_logger
from sfu.shell.store.interface import Store
from sfu.state.statistics import StoreUnavailable

log = get_logger(__name__)


class Sessions:
    """Carries sessions between one conference and the store."""

    def __init__(self, conference: Conference, store: Store, ttl: float) -> None:
        """`ttl`: seconds for which a session can be resumed after its client or this process is gone."""
        self._conference = conference
        self._store = store
        self._ttl = ttl

    async def prove(self, request: Join) -> Proof | None:
        """Return the proof of the session that `request` wants to resume, or None.

        The store is not asked for a session that is here and proven. A session that is here and not proven may
        have been at another server meanwhile; the store knows. The store is not asked either if there is no
        place for the client here: the server that has the session would lose it for nothing.
        """
        await trio.lowlevel.checkpoint()
        session_id, admission = request.session_id, self._conference.admission
        if session_id is None:
            return None
        proof = admission.prove(request)
        if proof is not None or self._conference.directory.obstacle(request.room_id, request.user_id):
            return proof
        following = make_token(os.urandom)
        try:
            record = await self._store.claim(
                session_id, partial(resume_record, request=request, following=following)
            )
        except StoreUnavailable as error:
            log.info("session lookup failed", reason=str(error))
            record = None
        if record is not None:
            return Proof.of_claimed(record, following)
        # The session may have come here while the store was asked. Tried in any case, for the same time.
        return admission.prove(request)

    def save(self) -> None:
        """Hand the store what has changed since the last call. A failure is raised at the end."""
        changes = self._conference.take_changed()
        failure: Exception | None = None
        for peer in changes.changed:
            deadline = peer.session.deadline
            ttl = self._ttl if deadline is None else deadline - trio.current_time()
            try:
                self._store.put(peer.record(), ttl)
            except Exception as error:
                failure = error
        for session_id in changes.ended:
            self._store.drop(session_id)
        if failure is not None:
            raise failure
