"""The ICE-lite agent of one peer (RFC 8445): it answers connectivity checks and knows where to send.

A lite agent has a public address and never checks by itself. The peer, a full agent, is controlling
(section 6.1.1): it checks, nominates, keeps checking for consent (RFC 7675), and starts again elsewhere when
its network changes. So all that is learned here is learned from checks that carry our password:

    datagram ── no or wrong password ──> dropped and counted
        └─ authenticated ──> the path is *validated* ──> with USE-CANDIDATE it is *selected*

Two limits of lite agents to know about: that somebody who has the password sends from an address does not
prove that he receives there (the DTLS handshake proves it once); and a check is never sent, so
consent is the peer's checks arriving, not our checks being answered.
"""

from collections import Counter
from typing import Any

from sfu.errors import BadPacket
from sfu.ice.attributes import (
    ERROR_CODE,
    ICE_CONTROLLED,
    PRIORITY,
    UNKNOWN_ATTRIBUTES,
    USE_CANDIDATE,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    Attribute,
    ErrorCode,
)
from sfu.ice.credentials import Credentials
from sfu.ice.events import (
    CredentialsAdded,
    CredentialsRetired,
    IceEvent,
    IceState,
    IceStatistics,
    StateChanged,
)
from sfu.ice.path import IcePath
from sfu.ice.stun import (
    BINDING,
    MessageClass,
    RoleConflictError,
    StunError,
    StunMessage,
    UnknownAttributesError,
)
from sfu.ice.validated_paths import ValidatedPaths

DISCONNECTED_AFTER = 7.0
"""Seconds without a sign of life. RFC 7675 section 5.1 spaces consent checks by up to 6 s (5 s ± 20 %;
Firefox does so, Chromium checks every 2.5 s), so less would flicker in every quiet call."""

FAILED_AFTER = 30.0
"""Seconds without an authenticated check until consent is gone (RFC 7675 section 5.1)."""

MAX_ANSWERS = 64
"""Answers that wait to be sent; a check whose answer is lost is repeated."""


class IceLiteAgent:
    """Answers one peer's connectivity checks. See the module for the picture; verbs as everywhere.

    >>> from sfu.ice.path import Address
    >>> path = IcePath(None, Address("192.0.2.7", 5000))
    >>> agent = IceLiteAgent(Credentials("ours", "a password of some length"), now=0.0)
    >>> check = StunMessage(MessageClass.REQUEST, b"transaction!", ((USERNAME, "ours:theirs"),))
    >>> agent.receive(check.serialize(b"a password of some length"), path, now=0.1)
    >>> [(answer, towards)] = agent.outgoing(now=0.1)
    >>> StunMessage.parse(answer).message_class, str(agent.selected)
    (<MessageClass.SUCCESS: 2>, '*<->192.0.2.7:5000')
    """

    def __init__(self, local: Credentials, *, now: float) -> None:
        self.local = local
        """The credentials of the current generation."""
        self.pending: Credentials | None = None
        """Those of a restart that has not been completed."""
        self.remote: Credentials | None = None
        """The peer's, once its description is known. A lite agent needs them for nothing but this record: a
        check is authenticated by our password, and its USERNAME is valid by its first half (section 7.3)."""
        self.state = IceState.NEW
        self._checked_at = now
        self._alive_at = now
        # Both are drained after every batch of datagrams; a datagram adds one answer and a handful of events.
        self._outgoing: list[tuple[bytes, IcePath]] = []
        self._events: list[IceEvent] = []
        self._paths = ValidatedPaths(self._events)
        self._checks = 0
        self._drops: Counter[str] = Counter()

    # The five verbs

    def receive(self, data: bytes, path: IcePath, now: float) -> None:
        """Take a STUN datagram. Never raises: what is wrong with it shows in `statistics().drops`."""
        if self.state in (IceState.CLOSED, IceState.FAILED):
            self._drops[f"ice-{self.state.value}"] += 1
            return
        try:
            message = StunMessage.parse(data)
            credentials = self._authenticate(message)
        except BadPacket as error:
            # Silence, where RFC 8489 section 9.1.3 would have 400 and 401: whoever lacks the password learns
            # nothing, and a public port that answers nobody's forged source address is no reflector. A peer
            # whose check crossed with its description checks again within 50 to 500 ms anyway.
            self._drops[error.reason] += 1
            return
        try:
            self._check_request(message)
        except StunError as error:
            self._drops[error.reason] += 1
            self._answer(message, path, credentials, error)
            return
        self._checks += 1
        self._answer(message, path, credentials, None)
        self._learn(message, path, credentials, now)

    def outgoing(self, now: float) -> list[tuple[bytes, IcePath]]:
        """Answers to send, each along the path of its check."""
        if not self._outgoing:
            return []
        datagrams, self._outgoing = self._outgoing, []
        return datagrams

    def next_timeout(self) -> float | None:
        """When `handle_timeout` has something to do; `None` if never."""
        if self.state in (IceState.NEW, IceState.FAILED, IceState.CLOSED):
            return None
        if self.state is IceState.CHECKING:
            return self._checked_at + FAILED_AFTER
        deadline = min(self._checked_at + FAILED_AFTER, self._paths.next_timeout())
        if self.state is not IceState.DISCONNECTED:
            deadline = min(deadline, self._alive_at + DISCONNECTED_AFTER)
        return deadline

    def handle_timeout(self, now: float) -> None:
        """Do what is due at `now`: forget old paths, notice silence."""
        if self.state in (IceState.NEW, IceState.FAILED, IceState.CLOSED):
            return
        if now >= self._checked_at + FAILED_AFTER:
            self._paths.clear()
            if self.pending:
                self._check_anew(self.pending, now)
            else:
                self._set_state(IceState.FAILED)
            return
        if self.state is IceState.CHECKING:
            return
        self._paths.forget_old(now)
        if now >= self._alive_at + DISCONNECTED_AFTER:
            self._set_state(IceState.DISCONNECTED)

    def events(self) -> list[IceEvent]:
        """What happened since the last call, in order."""
        if not self._events:
            return []
        events = self._events.copy()
        self._events.clear()
        return events

    # What the transport tells and asks

    def set_remote(self, remote: Credentials, now: float) -> None:
        """The peer's description is known, so its checks are due within `FAILED_AFTER` seconds."""
        self.remote = remote
        if self.state is IceState.NEW:
            self._checked_at = now
            self._set_state(IceState.CHECKING)

    def restart(self, credentials: Credentials, now: float) -> None:
        """Begin an ICE restart (section 9): from now on both the old and these credentials are accepted.

        Sending stays on the old path until the peer nominates one with the new credentials; then the old ones
        are retired. A restart that is not yet through is replaced by this one. An agent that has failed, or
        does so before the restart is through, has nothing to keep: it goes on with the new credentials alone,
        back in `CHECKING`. Raises `RuntimeError` on a closed agent.
        """
        if self.state is IceState.CLOSED:
            raise RuntimeError("ICE restart on a closed agent")
        if self.pending:
            self._events.append(CredentialsRetired(self.pending.ufrag))
        self.pending = credentials
        self._events.append(CredentialsAdded(credentials.ufrag))
        if self.state is IceState.FAILED:
            self._check_anew(credentials, now)

    def alive(self, path: IcePath, now: float) -> None:
        """An authenticated packet that is no check (SRTCP, say) came along `path`.

        A sign of life, which puts off `DISCONNECTED`; consent comes from checks alone (RFC 7675 section 5.1).
        """
        if path in self._paths:
            self._alive_at = now
            if self.state is IceState.DISCONNECTED:
                self._set_state(self._connected_state())

    def lose(self, path: IcePath) -> None:
        """The connection that carries `path` has ended (TCP): nothing can come or go along it any more.

        Another validated path takes over, if there is one. If not, the agent is `DISCONNECTED` at once, and the
        next check, along whatever path, connects it again. A path that is not validated is no concern.
        """
        if path not in self._paths:
            return
        self._paths.lose(path)
        if self.selected is None:
            self._set_state(IceState.DISCONNECTED)
        elif self.state is not IceState.DISCONNECTED:
            self._set_state(self._connected_state())

    @property
    def selected(self) -> IcePath | None:
        """Where to send: the first validated path until one is nominated.

        `None` before, once failed, and while the only path there was has been lost.
        """
        return self._paths.selected

    def is_validated(self, path: IcePath) -> bool:
        """Whether an authenticated check came along this path, not too long ago."""
        return path in self._paths

    def ufrags(self) -> list[str]:
        """The fragments that route a check to this agent now; none once it is closed."""
        if self.state is IceState.CLOSED:
            return []
        return [credentials.ufrag for credentials in (self.local, self.pending) if credentials]

    def close(self) -> None:
        """End: nothing is accepted or sent any more, and every route is retired by an event."""
        if self.state is IceState.CLOSED:
            return
        self._outgoing.clear()
        self._paths.clear()
        self._events.extend(CredentialsRetired(ufrag) for ufrag in self.ufrags())
        self._set_state(IceState.CLOSED)

    def statistics(self) -> IceStatistics:
        """Counters for metrics."""
        return IceStatistics(
            checks=self._checks,
            drops=dict(self._drops),
            paths=len(self._paths),
            path_changes=self._paths.changes,
        )

    # One check

    def _authenticate(self, message: StunMessage) -> Credentials:
        """Which of our credentials the message is signed with. Raises `BadPacket`."""
        if message.message_class is MessageClass.INDICATION:
            # Keep-alives (section 11) do their work in the boxes on the way.
            raise BadPacket("stun-indication")
        if message.message_class is not MessageClass.REQUEST:
            raise BadPacket("stun-unexpected-response")
        if message.method != BINDING:
            raise BadPacket("stun-method", f"{message.method:#05x}")
        ufrag = (message.get(USERNAME) or "").partition(":")[0]
        for credentials in (self.local, self.pending):
            if credentials and credentials.ufrag == ufrag:
                if message.has_integrity(credentials.pwd.encode()):
                    return credentials
                raise BadPacket("ice-integrity")
        raise BadPacket("ice-ufrag", ufrag)

    def _check_request(self, message: StunMessage) -> None:
        """Raise the `StunError` that an authenticated request deserves, if any."""
        if unknown := message.unknown_required():
            raise UnknownAttributesError(unknown)
        if message.get(ICE_CONTROLLED) is not None:
            # By the tie-breakers one of us would have to change roles (section 7.3.1.1), but a lite agent
            # cannot be controlling beside a full one (6.1.1), so ours wins: 487 makes the peer controlling.
            raise RoleConflictError

    def _answer(
        self, request: StunMessage, path: IcePath, credentials: Credentials, error: StunError | None
    ) -> None:
        """Queue the response. It is about as long as the request, so it amplifies nothing."""
        attributes: list[tuple[Attribute[Any], Any]]
        if error is None:
            message_class = MessageClass.SUCCESS
            attributes = [(XOR_MAPPED_ADDRESS, path.remote)]
        else:
            message_class = MessageClass.ERROR
            attributes = [(ERROR_CODE, ErrorCode(error.code, error.phrase))]
            if isinstance(error, UnknownAttributesError):
                attributes.append((UNKNOWN_ATTRIBUTES, error.types))
        response = StunMessage(message_class, request.transaction_id, tuple(attributes))
        if len(self._outgoing) == MAX_ANSWERS:
            del self._outgoing[0]
        self._outgoing.append((response.serialize(credentials.pwd.encode()), path))

    def _learn(self, request: StunMessage, path: IcePath, credentials: Credentials, now: float) -> None:
        """Draw the conclusions from an authenticated check."""
        self._checked_at = self._alive_at = now
        nomination = (request.get(PRIORITY) or 0) if request.get(USE_CANDIDATE) else None
        restarts = credentials is self.pending
        self._paths.checked(path, now, nomination=nomination, decisive=restarts)
        if restarts and nomination is not None:
            self._complete_restart(credentials)
        self._set_state(self._connected_state())

    # Changes

    def _connected_state(self) -> IceState:
        return IceState.COMPLETED if self._paths.nominated else IceState.CONNECTED

    def _set_state(self, state: IceState) -> None:
        if state is not self.state:
            self.state = state
            self._events.append(StateChanged(state))

    def _check_anew(self, credentials: Credentials, now: float) -> None:
        self._complete_restart(credentials)
        self._checked_at = now
        self._set_state(IceState.CHECKING)

    def _complete_restart(self, credentials: Credentials) -> None:
        self._events.append(CredentialsRetired(self.local.ufrag))
        self.local, self.pending = credentials, None
