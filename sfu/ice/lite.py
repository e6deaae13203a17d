"""The ICE-lite agent of one peer (RFC 8445): it answers connectivity checks and knows where to send.

A lite agent has a public address and never sends checks. The peer, a full agent, is controlling
(section 6.1.1): it sends checks, nominates a path, keeps checking for consent (RFC 7675), and restarts on
another path when its network changes. Everything the lite agent knows comes from checks that carry our
password:

    datagram ── no or wrong password ──> dropped and counted
        └─ authenticated ──> the path is *validated* ──> with USE-CANDIDATE it is *selected*

Two limits of lite agents. A check proves that the sender knows the password and can send from an address; it
does not prove that the sender receives there (the DTLS handshake proves that once). And since a lite agent
sends no checks, consent means that the peer's checks arrive, not that our checks are answered.
"""

from collections import Counter
from typing import Any

from sfu.errors import BadPacket
from sfu.ice.agent import FAILED_AFTER, IceAgent
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
from sfu.ice.events import CredentialsAdded, CredentialsRetired, IceState, IceStatistics
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

MAX_ANSWERS = 64
"""Answers that wait to be sent. If one is lost, the peer retransmits its check."""


class IceLiteAgent(IceAgent):
    """Answers one peer's connectivity checks. The module's docstring has the picture.

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
        super().__init__(local, now=now)
        self._outgoing: list[tuple[bytes, IcePath]] = []
        self._paths = ValidatedPaths(self._events)
        self._drops: Counter[str] = Counter()

    # The five verbs

    def receive(self, data: bytes, path: IcePath, now: float) -> None:
        """Take a STUN datagram. Never raises: errors are counted in `statistics().drops`."""
        if self.state in (IceState.CLOSED, IceState.FAILED):
            self._drops[f"ice-{self.state.value}"] += 1
            return
        try:
            message = StunMessage.parse(data)
            credentials = self._authenticate(message)
        except BadPacket as error:
            # RFC 8489 section 9.1.3 answers with 400 or 401. We stay silent: a sender without the password
            # learns nothing, and a forged source address gets no packets from us. A peer whose check overtakes
            # its description sends another one within 50 to 500 ms.
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
        """Return the answers to send, each along the path of its check."""
        if not self._outgoing:
            return []
        datagrams, self._outgoing = self._outgoing, []
        return datagrams

    def next_timeout(self) -> float | None:
        """Return when `handle_timeout` has something to do; `None` if never."""
        deadline = super().next_timeout()
        return None if deadline is None else min(deadline, self._paths.next_timeout())

    def handle_timeout(self, now: float) -> None:
        """Forget old paths, and change the state if the peer has been silent for too long."""
        self._paths.forget_old(now)
        super().handle_timeout(now)

    # Called by the transport

    def set_remote(self, remote: Credentials, now: float) -> None:
        """Take the credentials of the peer's description; its checks are due within `FAILED_AFTER` seconds.

        They are only recorded: a check is authenticated by our password, and only the first half of its
        USERNAME, our fragment, has to match (section 7.3).
        """
        self.remote = remote
        if self.state is IceState.NEW:
            self._start_checking(now)

    def lose(self, path: IcePath) -> None:
        """The TCP connection that carries `path` has ended.

        Another validated path takes over, if there is one. If not, the agent is `DISCONNECTED` at once, and the
        next check on any path connects it again. A path that is not validated is ignored.
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
        """The path to send on: the first validated one until one is nominated.

        `None` before that, after a failure, and after the only path was lost.
        """
        return self._paths.selected

    def is_validated(self, path: IcePath) -> bool:
        """Return whether an authenticated check arrived on this path recently (see `FORGET_AFTER`)."""
        return path in self._paths

    def has_consent(self, path: IcePath, now: float) -> bool:
        """Return whether an authenticated check arrived on this path within the last `FAILED_AFTER` seconds."""
        return now < self._paths.checked_at(path) + FAILED_AFTER

    def ufrags(self) -> list[str]:
        """Return the fragments that route a check to this agent; none once it is closed."""
        if self.state is IceState.CLOSED:
            return []
        return [credentials.ufrag for credentials in (self.local, self.pending) if credentials]

    def close(self) -> None:
        """End: nothing is accepted or sent any more. An event retires each path and each fragment."""
        if self.state is IceState.CLOSED:
            return
        self._outgoing.clear()
        self._paths.clear()
        self._events.extend(CredentialsRetired(ufrag) for ufrag in self.ufrags())
        self._set_state(IceState.CLOSED)

    def statistics(self) -> IceStatistics:
        """Return counters for metrics."""
        return IceStatistics(
            checks=self._checks,
            drops=dict(self._drops),
            paths=len(self._paths),
            path_changes=self._paths.changes,
        )

    # One check

    def _authenticate(self, message: StunMessage) -> Credentials:
        """Return which of our credentials the message is signed with. Raises `BadPacket`."""
        if message.message_class is MessageClass.INDICATION:
            # Binding indications keep NAT bindings open; they need no answer (section 11).
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
        """Raise a `StunError` if an authenticated request has to be refused."""
        if unknown := message.unknown_required():
            raise UnknownAttributesError(unknown)
        if message.get(ICE_CONTROLLED) is not None:
            # Section 7.3.1.1 compares tie-breakers to decide which side changes its role. A lite agent cannot
            # be controlling beside a full one (6.1.1), so we always answer 487: it makes the peer controlling.
            raise RoleConflictError

    def _answer(
        self, request: StunMessage, path: IcePath, credentials: Credentials, error: StunError | None
    ) -> None:
        """Queue the response. It is about as long as the request, so it is no use for amplification attacks."""
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
        """Update paths and state after an authenticated check."""
        self._checked_at = self._alive_at = now
        nomination = (request.get(PRIORITY) or 0) if request.get(USE_CANDIDATE) else None
        is_restart = credentials is self.pending
        self._paths.checked(path, now, nomination=nomination, decisive=is_restart)
        if is_restart and nomination is not None:
            self._complete_restart()
        self._set_state(self._connected_state())

    # State changes

    def _begin_generation(self, credentials: Credentials) -> None:
        """Accept checks with these credentials too, and let the transport route them to us."""
        self._events.append(CredentialsAdded(credentials.ufrag))

    def _end_generation(self, credentials: Credentials) -> None:
        self._events.append(CredentialsRetired(credentials.ufrag))

    def _fail(self, now: float) -> None:
        self._paths.clear()
        if self.pending is not None:
            self._check_pending(now)
        else:
            self._set_state(IceState.FAILED)

    def _connected_state(self) -> IceState:
        return IceState.COMPLETED if self._paths.nominated else IceState.CONNECTED
