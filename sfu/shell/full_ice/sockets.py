"""aioice, made safe for a server: the sockets, checks and TURN allocations of one generation of credentials.

It differs from aioice as follows:

* A datagram that aioice cannot parse is dropped and counted. aioice 0.13 lets `struct.error` escape.
* A datagram that is not STUN goes straight to the peer's transport if its address is validated. aioice puts
  datagrams from any address into an unbounded queue.
* A datagram is sent by a route (`sfu.shell.full_ice.routes`), synchronously. aioice makes a task for each
datagram
  that it sends through TURN.
* Candidates are reported one by one, and several STUN and TURN servers are tried.
* A request that fails authentication gets no answer, as with the lite agent.
* A client that knows the password can neither make the agent remember more than `MAX_REMOTE` addresses, nor
make
  it repeat a check forever by claiming a role conflict.

The coroutines here belong to asyncio; `sfu.shell.aio.Loop.run` runs them. The version of aioice is pinned,
because this module uses its private attributes.
"""

import socket
from collections import Counter
from typing import Any, Final, Protocol

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
"""Most addresses of a peer, from candidates or checks (RFC 8445 section 19.5.1 suggests as many pairs)."""

MAX_PATHS: Final = 16
"""Most validated paths, as with the lite agent. The oldest one is dropped, but never the one in use."""

MAX_CONFLICTS: Final = 3
"""Role conflicts that the agent believes of an address. One change of role resolves it, but checks that are
already on their way may meet a few more."""

ROLE_CONFLICT: Final = 487
"""The error code for a role conflict (RFC 8445 section 7.3.1.1)."""

CHANNEL_REFRESH: Final = 240
"""Seconds between two renewals of a TURN channel. aioice takes 500, since a channel lasts 600; but the
permission behind it lasts 300 (RFC 8656 section 9)."""

RECEIVE_BUFFER: Final = 1 << 20
"""Kernel buffer that a peer's socket asks for, in bytes: 0.8 s of 10 Mbit/s."""

MAX_PREFERENCE: Final = 0xFFFF
"""The local preference of the first candidate of a kind (RFC 8445 section 5.1.2.1)."""

_LAST_STUN_BYTE: Final = 3  # RFC 7983 section 7


class IceSocketsOwner(Protocol):
    """Takes what the sockets receive and find out. They call it from the callbacks of their event loop."""

    def report(self, report: IceReport) -> None:
        """Take a report for the peer's transport."""

    def receive(self, data: bytes, path: IcePath) -> None:
        """Take a datagram of a validated path. `flush` follows after the last one of a batch."""

    def flush(self) -> None:
        """Send what a batch of datagrams led to."""

    def drop(self, reason: str) -> None:
        """Count a datagram that was dropped."""


class IceSocket(StunProtocol):
    """One socket, or one TURN allocation."""

    receiver: "IceSockets"
    own: socket.socket | None = None
    """The non-blocking socket; None for an allocation."""
    preference = MAX_PREFERENCE
    """The local preference (RFC 8445 section 5.1.2.1). What was opened earlier comes first."""

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        """Take a datagram and all others that wait. A wake-up costs several times as much as a read."""
        assert isinstance(data, bytes), "UDP transports pass bytes"
        self._take(data, addr)
        if self.own is not None:
            self._take_what_waits(self.own)
        self.receiver.owner.flush()

    def _take_what_waits(self, own: socket.socket) -> None:
        for _ in range(BATCH - 1):
            try:
                data, addr = own.recvfrom(DATAGRAM_SIZE)  # a longer one is cut, and then dropped as malformed
            except OSError:
                # Nothing is left, or the socket was just closed. Other errors come again, in asyncio.
                return
            self._take(data, addr)

    def _take(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Handle STUN here, and pass on the rest. Does not raise, whatever a stranger sends."""
        remote = (addr[0], addr[1])
        if data and data[0] > _LAST_STUN_BYTE:
            self.receiver.deliver(data, self, remote)
            return
        try:
            super().datagram_received(data, remote)
        except Exception:
            self.receiver.owner.drop("stun-malformed")

    async def request(
        self,
        request: stun.Message,
        addr: tuple[str, int],
        integrity_key: bytes | None = None,
        retransmissions: int | None = None,
    ) -> tuple[stun.Message, tuple[str, int]]:
        """Execute a transaction. An authenticated answer of the peer proves consent.

        aioice repeats a check at once, recursively, when it meets a role conflict. This method ends that.
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
    """The sockets and checks of one generation."""

    def __init__(self, local: Credentials, owner: IceSocketsOwner) -> None:
        super().__init__(ice_controlling=False, local_username=local.ufrag, local_password=local.pwd)
        self.owner = owner
        self._paths: dict[tuple[IceSocket, tuple[str, int]], IcePath] = {}
        self._told: CandidatePair | None = None
        self._conflicts: Counter[tuple[IceSocket, tuple[str, int]]] = Counter()
        # aioice connects only when it has gathered; here candidates may come at any time.
        self._local_candidates_end = True

    # --- our candidates ---

    async def open_host(self, loop: Loop, host: str) -> tuple[IceSocket, Candidate]:
        """Open a socket on one of our addresses. Raises `OSError`."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            sock.bind((host, 0))
            _, protocol = await loop.asyncio.create_datagram_endpoint(lambda: IceSocket(self), sock=sock)
        except BaseException:
            sock.close()
            raise
        protocol.own = sock
        return protocol, self._add(protocol, "host", sock.getsockname(), None)

    async def ask_stun(self, protocol: IceSocket, server: tuple[str, int]) -> Candidate | None:
        """Ask a STUN server for the address of a socket as it sees it; None if that is not a new one.

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
            OSError: the server cannot be reached.
        """
        transport, protocol = await turn.create_turn_endpoint(
            lambda: IceSocket(self),
            server_addr=(server.host, server.port),
            username=user,
            password=password,
            channel_refresh_time=CHANNEL_REFRESH,
            ssl=server.scheme == "turns" or None,
            transport=server.transport,
        )
        relayed = transport.get_extra_info("sockname")
        # The related address would reveal our network to clients (RFC 8839 section 5.1 lets us hide it).
        return self._add(protocol, "relay", relayed, ("::" if ":" in relayed[0] else "0.0.0.0", 9))

    def _add(
        self, protocol: IceSocket, kind: str, address: tuple[str, int], related: tuple[str, int] | None
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
        """Try to reach the peer at a candidate. `host` is its address; the candidate may have a name
        instead.
        """
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
        """Handle an authenticated check."""
        assert isinstance(protocol, IceSocket), "this class makes all of them"
        # aioice needs it for unknown addresses, and an error while it looks at early checks ends the
        # generation.
        message.attributes.setdefault("PRIORITY", 0)
        known = [c for c in self._remote_candidates if (c._network_host, c.port) == addr]
        if not known and len(self._remote_candidates) >= MAX_REMOTE:
            self.owner.drop("ice-addresses-too-many")
            return
        for candidate in known:
            pair = self._find_pair(protocol, candidate)
            if pair is not None and pair.task is not None and pair.task.done():
                # Its check was cancelled when another pair was nominated, and aioice would not check it again.
                pair.task = None
                pair.state = CandidatePair.State.WAITING
        super().check_incoming(message, addr, protocol)
        self._validate(protocol, addr, answered=False)
        self._follow_nomination()

    def check_complete(self, pair: CandidatePair) -> None:
        """Handle the end of a check of ours."""
        super().check_complete(pair)
        if pair.state is CandidatePair.State.SUCCEEDED:
            assert isinstance(pair.protocol, IceSocket), "this class makes all of them"
            self._validate(pair.protocol, pair.remote_addr, answered=True)
        self._follow_nomination()

    def answered(self, protocol: IceSocket, addr: tuple[str, int]) -> None:
        """Report that the peer answered a check, which may be one for consent."""
        path = self._paths.get((protocol, addr))
        if path is not None:
            self.owner.report(Heard(self.local_username, path))

    def believes_conflict(self, protocol: IceSocket, addr: tuple[str, int]) -> bool:
        """Count a role conflict that the peer claims; return whether to change roles and check again."""
        self._conflicts[protocol, addr] += 1
        if self._conflicts[protocol, addr] <= MAX_CONFLICTS:
            return True
        self.owner.drop("ice-role-conflict")
        return False

    def _validate(self, protocol: IceSocket, addr: tuple[str, int], *, answered: bool) -> IcePath:
        key = (protocol, addr)
        path = self._paths.get(key)
        if path is None:
            transport: Any = protocol.transport
            route = (RelayRoute if isinstance(transport, turn.TurnTransport) else HostRoute)(transport, addr)
            local = protocol.local_candidate
            path = self._paths[key] = IcePath(Address(local.host, local.port), Address(*addr), route)
            if len(self._paths) > MAX_PATHS:
                self._retire_oldest()
        self.owner.report(Validated(self.local_username, path, answered))
        return path

    def _retire_oldest(self) -> None:
        used = self._nominated.get(1)
        for (protocol, addr), path in self._paths.items():
            if used is None or (protocol, addr) != (used.protocol, used.remote_addr):
                del self._paths[protocol, addr]
                self.owner.report(Retired(self.local_username, path))
                return

    def _follow_nomination(self) -> None:
        pair = self._nominated.get(1)
        if pair is not None and pair is not self._told:
            self._told = pair
            assert isinstance(pair.protocol, IceSocket), "this class makes all of them"
            path = self._validate(pair.protocol, pair.remote_addr, answered=True)
            self.owner.report(Nominated(self.local_username, path))

    # --- datagrams ---

    def deliver(self, data: bytes, protocol: IceSocket, addr: tuple[str, int]) -> None:
        """Pass on a datagram that is not STUN, if its path is validated."""
        path = self._paths.get((protocol, addr))
        if path is None:
            self.owner.drop("unvalidated-path")
        else:
            self.owner.receive(data, path)

    def data_received(self, data: bytes, component: int) -> None:
        """Drop a datagram that looked like STUN but is not; aioice would queue it as data."""
        self.owner.drop("stun-malformed")

    def respond_error(
        self,
        request: stun.Message,
        addr: tuple[str, int],
        protocol: StunProtocol,
        error_code: tuple[int, str],
    ) -> None:
        """Answer a check with an error, but not one that fails authentication (docs/ice.md)."""
        if error_code[0] in (400, 401):
            self.owner.drop("ice-integrity")
        else:
            super().respond_error(request, addr, protocol, error_code)

    def protocol_lost(self, protocol: StunProtocol) -> None:
        """Handle the loss of a socket or an allocation. If it is in use, the generation has ended."""
        if any(pair.protocol is protocol for pair in self._nominated.values()):
            self.owner.report(Lost(self.local_username))


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
