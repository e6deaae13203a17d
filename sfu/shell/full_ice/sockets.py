"""aioice, made safe for a server: the sockets, checks and TURN allocations of one generation of credentials.

What is different from aioice as it comes:

* A datagram that it cannot digest (0.13 lets `struct.error` escape) is dropped and counted.
* What is no STUN goes straight to the peer's transport, from validated addresses alone, instead of into a queue
  without end that takes everybody's.
* What is sent leaves by a route (`sfu.shell.full_ice.routes`), synchronously: through TURN too, where aioice
  makes a task of each datagram.
* Candidates are reported one by one, and several STUN and TURN servers are tried.
* Who cannot authenticate gets no answer, as with the lite agent.
* A client that knows the password cannot make it remember more than `MAX_REMOTE` addresses, nor repeat a check
  for ever by always claiming a role conflict.

Coroutines here are asyncio's: they are run through `sfu.shell.aio.Loop.run`. The version of aioice is pinned,
since this reaches into it.
"""

import socket
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from aioice import Candidate, Connection, stun, turn
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import CandidatePair, StunProtocol

from sfu.ice.candidate import Candidate as PeerCandidate
from sfu.ice.credentials import Credentials
from sfu.ice.full_messages import Heard, IceReport, Lost, Nominated, Retired, Validated
from sfu.ice.path import Address, IcePath
from sfu.shell.aio import Loop
from sfu.shell.config.values import IceUrl
from sfu.shell.full_ice.routes import HostRoute, RelayRoute
from sfu.shell.media.udp import BATCH, DATAGRAM_SIZE

MAX_REMOTE: Final = 100
"""Addresses of a peer that are remembered, named or seen (RFC 8445 section 19.5.1 suggests as many pairs)."""

MAX_PATHS: Final = 16
"""Validated paths, as with the lite agent: the oldest goes, never the one in use."""

MAX_CONFLICTS: Final = 3
"""Role conflicts believed of an address. One change resolves one; checks already on their way may meet more."""

ROLE_CONFLICT: Final = 487
"""The error code by which a peer claims one (RFC 8445 section 7.3.1.1)."""

CHANNEL_REFRESH: Final = 240
"""Seconds. aioice takes 500, by a channel's life; the permission behind it lasts 300 (RFC 8656 section 9)."""

RECEIVE_BUFFER: Final = 1 << 20
"""Asked-for kernel buffer of a peer's socket, in bytes: 0.8 s of 10 Mbit/s."""

MAX_PREFERENCE: Final = 0xFFFF
"""The local preference of the first candidate of a kind (RFC 8445 section 5.1.2.1)."""

_LAST_STUN_BYTE: Final = 3  # RFC 7983 section 7


class Protocol(StunProtocol):
    """One socket, or one TURN allocation."""

    receiver: "IceSockets"
    own: socket.socket | None = None
    """Its socket, which does not block; an allocation has none."""
    preference = MAX_PREFERENCE
    """Among sockets and allocations (RFC 8445 section 5.1.2.1): those opened earlier come first."""

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        """Take a datagram, and what else waits: to be woken costs several times as much as to read."""
        assert isinstance(data, bytes), "asyncio says str for nobody's sake"
        self._take(data, addr)
        if self.own is not None:
            self._take_what_waits(self.own)
        self.receiver.settle()

    def _take_what_waits(self, own: socket.socket) -> None:
        for _ in range(BATCH - 1):
            try:
                data, addr = own.recvfrom(DATAGRAM_SIZE)  # what is longer is cut, and then refused
            except OSError:
                # Nothing is left, or it has just been closed; other errors come again, and to asyncio.
                return
            self._take(data, addr)

    def _take(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Keep STUN here and hand on the rest. Never raises for what a stranger sends."""
        remote = (addr[0], addr[1])
        if data and data[0] > _LAST_STUN_BYTE:
            self.receiver.deliver(data, self, remote)
            return
        try:
            super().datagram_received(data, remote)
        except Exception:
            self.receiver.drop("stun-malformed")

    async def request(
        self,
        request: stun.Message,
        addr: tuple[str, int],
        integrity_key: bytes | None = None,
        retransmissions: int | None = None,
    ) -> tuple[stun.Message, tuple[str, int]]:
        """Execute a transaction; what a peer answers authentically is a sign of consent.

        A check that met a role conflict is repeated by aioice at once, from within itself: to that is an end.
        """
        try:
            answer = await super().request(request, addr, integrity_key, retransmissions)
        except stun.TransactionFailed as error:
            code, _ = error.response.attributes.get("ERROR-CODE", (0, ""))
            if code == ROLE_CONFLICT and not self.receiver.believes_conflict(self, addr):
                raise stun.TransactionTimeout from error
            raise
        if integrity_key is not None:
            self.receiver.answered(self, addr)
        return answer


class IceSockets(Connection):
    """The agent of one generation. `report`, `receive` and `settle` are called from its loop's callbacks."""

    def __init__(
        self,
        local: Credentials,
        *,
        report: Callable[[IceReport], None],
        receive: Callable[[bytes, IcePath], None],
        settle: Callable[[], None],
        drop: Callable[[str], None],
    ) -> None:
        super().__init__(ice_controlling=False, local_username=local.ufrag, local_password=local.pwd)
        self.settle = settle
        """Called at the end of each batch of datagrams."""
        self.drop = drop
        """Counts what is dropped, by reason."""
        self._report = report
        self._receive = receive
        self._paths: dict[tuple[Protocol, tuple[str, int]], IcePath] = {}
        self._told: CandidatePair | None = None
        self._conflicts: Counter[tuple[Protocol, tuple[str, int]]] = Counter()
        # aioice wants to have gathered before it connects; here candidates may come at any time.
        self._local_candidates_end = True

    # --- our candidates ---

    async def open_host(self, loop: Loop, host: str) -> tuple[Protocol, Candidate]:
        """Open a socket on one of our addresses. Raises `OSError`."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            sock.bind((host, 0))
            _, protocol = await loop.asyncio.create_datagram_endpoint(lambda: Protocol(self), sock=sock)
        except BaseException:
            sock.close()
            raise
        protocol.own = sock
        return protocol, self._add(protocol, "host", sock.getsockname(), None)

    async def ask_stun(self, protocol: Protocol, server: tuple[str, int]) -> Candidate | None:
        """Ask a STUN server how it sees a socket; `None` when it sees nothing new.

        Raises:
            aioice.stun.TransactionError: no answer, or a refusal.
        """
        request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        response, _ = await protocol.request(request, server)
        mapped: tuple[str, int] | None = response.attributes.get("XOR-MAPPED-ADDRESS")
        base = protocol.local_candidate
        if mapped is None or mapped == (base.host, base.port):
            return None
        return _candidate("srflx", mapped, (base.host, base.port), protocol.preference)

    async def open_relay(self, server: IceUrl, user: str, password: str) -> Candidate:
        """Allocate an address at a TURN server.

        Raises:
            aioice.stun.TransactionError: no answer, or a refusal (wrong password).
            OSError: it cannot be reached.
        """
        transport, protocol = await turn.create_turn_endpoint(
            lambda: Protocol(self),
            server_addr=(server.host, server.port),
            username=user,
            password=password,
            channel_refresh_time=CHANNEL_REFRESH,
            ssl=server.scheme == "turns" or None,
            transport=server.transport,
        )
        relayed = transport.get_extra_info("sockname")
        # The related address would tell clients about our network (RFC 8839 section 5.1 allows to hide it).
        return self._add(protocol, "relay", relayed, ("::" if ":" in relayed[0] else "0.0.0.0", 9))

    def _add(
        self, protocol: Protocol, kind: str, address: tuple[str, int], related: tuple[str, int] | None
    ) -> Candidate:
        protocol.preference = MAX_PREFERENCE - len(self._protocols)
        protocol.local_candidate = _candidate(kind, (address[0], address[1]), related, protocol.preference)
        self._protocols.append(protocol)
        for candidate in self._remote_candidates:
            self._pair_remote_candidate(candidate)
        self.sort_check_list()
        return protocol.local_candidate

    # --- the peer's candidates ---

    def try_candidate(self, candidate: PeerCandidate, host: str) -> None:
        """The peer may be reached at a candidate whose address, which may be a name, is that of `host`."""
        if not self._closing and len(self._remote_candidates) < MAX_REMOTE:
            theirs = Candidate(
                foundation=candidate.foundation,
                component=candidate.component,
                transport=candidate.transport,
                priority=candidate.priority,
                host=candidate.address.host,
                port=candidate.address.port,
                type=candidate.type,
            )
            self._add_remote_candidate(theirs, host)

    def check_incoming(self, message: stun.Message, addr: tuple[str, int], protocol: StunProtocol) -> None:
        """An authentic check came."""
        assert isinstance(protocol, Protocol), "all are made here"
        # aioice wants it of whom it does not know, and looks into early checks where errors end the generation.
        message.attributes.setdefault("PRIORITY", 0)
        known = [c for c in self._remote_candidates if (c._network_host, c.port) == addr]
        if not known and len(self._remote_candidates) >= MAX_REMOTE:
            self.drop("ice-addresses-too-many")
            return
        for candidate in known:
            pair = self._find_pair(protocol, candidate)
            if pair is not None and pair.task is not None and pair.task.done():
                # It was cancelled when another pair was nominated, which aioice does not come back to.
                pair.task = None
                pair.state = CandidatePair.State.WAITING
        super().check_incoming(message, addr, protocol)
        self._validate(protocol, addr, answered=False)
        self._follow_nomination()

    def check_complete(self, pair: CandidatePair) -> None:
        """A check of ours has ended."""
        super().check_complete(pair)
        if pair.state is CandidatePair.State.SUCCEEDED:
            assert isinstance(pair.protocol, Protocol), "all are made here"
            self._validate(pair.protocol, pair.remote_addr, answered=True)
        self._follow_nomination()

    def answered(self, protocol: Protocol, addr: tuple[str, int]) -> None:
        """The peer answered a check, of consent perhaps."""
        path = self._paths.get((protocol, addr))
        if path is not None:
            self._report(Heard(self.local_username, path))

    def believes_conflict(self, protocol: Protocol, addr: tuple[str, int]) -> bool:
        """Count a role conflict that the peer claims at an address; whether to change roles and check again."""
        self._conflicts[protocol, addr] += 1
        if self._conflicts[protocol, addr] <= MAX_CONFLICTS:
            return True
        self.drop("ice-role-conflict")
        return False

    def _validate(self, protocol: Protocol, addr: tuple[str, int], *, answered: bool) -> IcePath:
        key = (protocol, addr)
        path = self._paths.get(key)
        if path is None:
            transport: Any = protocol.transport
            route = (RelayRoute if isinstance(transport, turn.TurnTransport) else HostRoute)(transport, addr)
            local = protocol.local_candidate
            path = self._paths[key] = IcePath(Address(local.host, local.port), Address(*addr), route)
            if len(self._paths) > MAX_PATHS:
                self._retire_oldest()
        self._report(Validated(self.local_username, path, answered))
        return path

    def _retire_oldest(self) -> None:
        used = self._nominated.get(1)
        for (protocol, addr), path in self._paths.items():
            if used is None or (protocol, addr) != (used.protocol, used.remote_addr):
                del self._paths[protocol, addr]
                self._report(Retired(self.local_username, path))
                return

    def _follow_nomination(self) -> None:
        pair = self._nominated.get(1)
        if pair is not None and pair is not self._told:
            self._told = pair
            assert isinstance(pair.protocol, Protocol), "all are made here"
            path = self._validate(pair.protocol, pair.remote_addr, answered=True)
            self._report(Nominated(self.local_username, path))

    # --- datagrams ---

    def deliver(self, data: bytes, protocol: Protocol, addr: tuple[str, int]) -> None:
        """Something that is no STUN came."""
        path = self._paths.get((protocol, addr))
        if path is None:
            self.drop("unvalidated-path")
        else:
            self._receive(data, path)

    def data_received(self, data: bytes, component: int) -> None:
        """Drop what looked like STUN and is none; aioice would queue it as data."""
        self.drop("stun-malformed")

    def respond_error(
        self,
        request: stun.Message,
        addr: tuple[str, int],
        protocol: StunProtocol,
        error_code: tuple[int, str],
    ) -> None:
        """Answer a check with an error; but who cannot authenticate gets silence (docs/ice.md)."""
        if error_code[0] in (400, 401):
            self.drop("ice-integrity")
        else:
            super().respond_error(request, addr, protocol, error_code)

    def protocol_lost(self, protocol: StunProtocol) -> None:
        """A socket or an allocation is gone: if it is in use, the generation has ended."""
        if any(pair.protocol is protocol for pair in self._nominated.values()):
            self._report(Lost(self.local_username))


def _candidate(
    kind: str, address: tuple[str, int], related: tuple[str, int] | None, preference: int
) -> Candidate:
    host, port = address
    return Candidate(
        foundation=candidate_foundation(kind, "udp", host),
        component=1,
        transport="udp",
        priority=candidate_priority(1, kind, preference),
        host=host,
        port=port,
        type=kind,
        related_address=None if related is None else related[0],
        related_port=None if related is None else related[1],
    )
