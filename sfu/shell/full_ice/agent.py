"""The full ICE agents of one peer, for servers behind a NAT that are reached by STUN or TURN.

    Gather, Connect, … (`sfu.ice.full_messages`) ──> FullIce ──> a generation: one task, one `IceSockets`
    candidates, paths, consent, datagrams <────────────────────────┘ (direct calls, no task or queue between)

All generations of a peer run in one asyncio loop, which belongs to the peer's task. If the loop fails, the
peer's transport is told that its paths are lost, and asks for an ICE restart, which opens a new loop. Peers
share nothing.
"""

import socket
from collections.abc import Callable, Sequence
from typing import Any, Final

import trio
from aioice import stun

from sfu.conference.peer import Peer
from sfu.ice.candidate import Candidate
from sfu.ice.credentials import Credentials
from sfu.ice.full_messages import (
    Connect,
    Gather,
    Gathered,
    IceReport,
    IceRequest,
    Lost,
    Release,
    TryCandidate,
)
from sfu.ice.path import Address, IcePath
from sfu.shell.aio import Loop, LoopError, open_loop
from sfu.shell.config.settings import Settings
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS, Timeouts
from sfu.shell.dispatcher import Dispatcher
from sfu.shell.full_ice.mdns import is_mdns_hostname, resolve
from sfu.shell.full_ice.sockets import IceSocket, IceSockets
from sfu.shell.logs import get_logger
from sfu.shell.media.turn import OWN_USER, turn_credentials

MAX_RESOLVING: Final = 8
"""Most candidates of one generation whose mDNS names are being resolved; more are dropped."""

log = get_logger(__name__)


class FullIce:
    """Runs the agents of one peer. `carry_out` takes requests; what the agents find is reported at once."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        peer: Peer,
        settings: Settings,
        hosts: Sequence[str],
        count: Callable[[bytes], None],
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        """`hosts` are our addresses for sockets. `count` counts each received datagram that is not STUN."""
        self.settings = settings
        self.hosts = () if settings.ice_policy == "relay" else hosts
        """Our addresses to open sockets on."""
        self.timeouts = timeouts
        self._dispatcher = dispatcher
        self._peer = peer
        self._count = count
        self._requests: list[IceRequest] = []
        self._wanted = trio.Event()
        self._generations: dict[str, _Generation] = {}

    def carry_out(self, requests: Sequence[IceRequest]) -> None:
        """Queue requests for the agents."""
        if requests:
            self._requests += requests
            self._wanted.set()

    async def run(self) -> None:
        """Work until cancelled. At the end sockets are closed and allocations are released, or expire."""
        while True:
            await self._wanted.wait()  # a recovered session may never make a request
            try:
                async with open_loop(self._failed) as loop, trio.open_nursery() as nursery:
                    await self._carry_out_all(loop, nursery)
            except* Exception as group:
                log.error("ICE agent failed", peer=self._peer.id, exc_info=group)
            lost, self._generations = tuple(self._generations), {}
            self._dispatcher.report_ice(self._peer, *map(Lost, lost))
            await trio.sleep(self.timeouts.ice_retry)

    async def _carry_out_all(self, loop: Loop, nursery: trio.Nursery) -> None:
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            requests, self._requests = self._requests, []
            for request in requests:
                match request:
                    case Gather(local):
                        generation = _Generation(self, loop, local)
                        self._generations[local.ufrag] = generation
                        nursery.start_soon(self._run_generation, generation)
                    case Connect(ufrag) | TryCandidate(ufrag) | Release(ufrag):
                        known = self._generations.get(ufrag)
                        if known is not None:  # else it has ended, and has reported that
                            known.carry_out(request)

    async def _run_generation(self, generation: "_Generation") -> None:
        ufrag = generation.local.ufrag
        try:
            await generation.run()
        except* (OSError, LoopError, stun.TransactionError) as group:
            log.info("ICE generation failed", peer=self._peer.id, ufrag=ufrag, reason=str(group.exceptions[0]))
        # Any other failure ends all generations, and `run` reports it.
        self._generations.pop(ufrag, None)
        self.report(Lost(ufrag))

    # --- for the generations and their sockets ---

    def report(self, report: IceReport) -> None:
        """Pass a report to the peer's transport."""
        self._dispatcher.report_ice(self._peer, report)

    def receive(self, data: bytes, path: IcePath) -> None:
        """Pass a datagram to the peer's transport. `flush` follows after the last one of a batch."""
        self._count(data)
        self._dispatcher.receive_datagram(self._peer, data, path)

    def flush(self) -> None:
        """Send what a batch of datagrams led to."""
        self._dispatcher.flush(trio.current_time())

    def drop(self, reason: str) -> None:
        """Count a datagram that was dropped."""
        self._peer.connection.count_ice_drop(reason)

    def warn(self, event: str, **details: Any) -> None:
        """Log a failure that an operator should know about."""
        log.warning(event, peer=self._peer.id, **details)

    def _failed(self, error: BaseException) -> None:
        """Count the failure of a callback or forgotten task of the loop. The loop goes on."""
        log.debug("error in an ICE loop", peer=self._peer.id, error=repr(error))
        self.drop("ice-loop-error")


class _Generation:
    """One generation of credentials, from its first socket to the release of its last."""

    def __init__(self, agent: FullIce, loop: Loop, local: Credentials) -> None:
        self.local = local
        self._agent = agent
        self._loop = loop
        self._sockets = IceSockets(local, agent)
        self._scope = trio.CancelScope()
        self._described = trio.Event()
        self._names: set[Address] = set()
        """Addresses whose names are being resolved."""
        self._unresolved: list[Candidate] = []
        """Candidates whose names still have to be resolved."""
        self._named = trio.Event()

    def carry_out(self, request: Connect | TryCandidate | Release) -> None:
        """Carry out a request, without waiting."""
        match request:
            case Connect(_, remote, controlling, lite):
                self._sockets.remote_username, self._sockets.remote_password = remote
                self._sockets.ice_controlling = controlling
                self._sockets.remote_is_lite = lite
                self._described.set()
            case TryCandidate(_, candidate):
                self._try(candidate)
            case Release():
                self._scope.cancel("released")

    async def run(self) -> None:
        """Gather, connect, and keep consent fresh, until released, lost or cancelled."""
        with self._scope:
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._gather)
                    nursery.start_soon(self._resolve_names)
                    await self._described.wait()
                    await self._loop.run(self._sockets.connect)
                    await self._loop.run(self._sockets.get_event)  # it has closed: consent has expired
                    nursery.cancel_scope.cancel("consent has expired")
            finally:
                # Releasing an allocation takes a request to the TURN server, which may be what has failed.
                deadline = trio.current_time() + self._agent.timeouts.ice_release
                with trio.CancelScope(deadline=deadline, shield=True):
                    await self._loop.run(self._sockets.close)

    # --- our candidates ---

    async def _gather(self) -> None:
        settings = self._agent.settings
        async with trio.open_nursery() as nursery:
            for host in self._agent.hosts:
                try:
                    protocol, candidate = await self._loop.run(self._sockets.open_host, self._loop, host)
                except OSError as error:
                    self._agent.warn("no socket on a local address", host=host, reason=str(error))
                    continue
                self._found(candidate.to_sdp())
                if settings.stun_urls:
                    nursery.start_soon(self._ask_stun, protocol, host)
            if settings.turn_urls:
                nursery.start_soon(self._open_relay)
        self._agent.report(Gathered(self.local.ufrag, None))

    async def _ask_stun(self, protocol: IceSocket, host: str) -> None:
        """Ask the STUN servers one after the other, until one answers."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        for url in self._agent.settings.stun_urls:
            try:
                with trio.fail_after(self._agent.timeouts.ice_server):
                    found = await trio.socket.getaddrinfo(url.host, url.port, family, socket.SOCK_DGRAM)
                    address = str(found[0][4][0]), url.port
                    candidate = await self._loop.run(self._sockets.ask_stun, protocol, address)
            except (OSError, LoopError, stun.TransactionError, trio.TooSlowError) as error:
                log.info("STUN server not usable", url=str(url), host=host, reason=_reason(error))
                continue
            if candidate is not None:
                self._found(candidate.to_sdp())
            return

    async def _open_relay(self) -> None:
        """Ask the TURN servers one after the other, until one allocates an address."""
        settings = self._agent.settings
        user, password = turn_credentials(settings, OWN_USER)
        for url in settings.turn_urls:
            try:
                with trio.fail_after(self._agent.timeouts.ice_server):
                    candidate = await self._loop.run(self._sockets.open_relay, url, user, password)
            except (OSError, LoopError, stun.TransactionError, trio.TooSlowError) as error:
                self._agent.warn("TURN server not usable", url=str(url), reason=_reason(error))
                continue
            self._found(candidate.to_sdp())
            return

    def _found(self, candidate: str) -> None:
        self._agent.report(Gathered(self.local.ufrag, f"candidate:{candidate}"))

    # --- the peer's candidates ---

    def _try(self, candidate: Candidate) -> None:
        address = candidate.address
        if not is_mdns_hostname(address.host):
            # `try_candidate` refuses any other name: clients cannot make the server ask the DNS.
            self._sockets.try_candidate(candidate, address.host)
        elif address in self._names:
            return
        elif len(self._names) < MAX_RESOLVING:
            self._names.add(address)
            self._unresolved.append(candidate)
            self._named.set()
        else:
            self._agent.drop("ice-names-too-many")

    async def _resolve_names(self) -> None:
        """Resolve all names at once: a browser has several, and one without an answer takes seconds."""
        async with trio.open_nursery() as nursery:
            while True:
                await self._named.wait()
                self._named = trio.Event()
                while self._unresolved:
                    nursery.start_soon(self._resolve, self._unresolved.pop(0))

    async def _resolve(self, candidate: Candidate) -> None:
        name = candidate.address.host
        try:
            host = await self._loop.run(resolve, name)
        except (OSError, LoopError) as error:
            log.info("mDNS not available", reason=_reason(error))
            host = None
        self._names.discard(candidate.address)
        if host is None:
            self._agent.drop("ice-name-unknown")
        else:
            log.debug("mDNS name resolved", name=name, host=host)
            self._sockets.try_candidate(candidate, host)


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
