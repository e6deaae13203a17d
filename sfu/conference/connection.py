"""The server's side of one RTCPeerConnection.

It joins the descriptions (`sfu.sdp`), the rules of who offers when (`negotiation`) and the media
(`sfu.transport`). A peer has one connection at a time and may go through several.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sfu.conference.downstream import Downstream, Subscription
from sfu.conference.messages import IceCandidate
from sfu.conference.negotiation import Negotiation, NegotiationStatistics
from sfu.conference.trickle import Trickle
from sfu.deadlines import earliest
from sfu.dtls.certificate import Certificate
from sfu.errors import BadPacket
from sfu.ice.candidate import Candidate, parse_trickled
from sfu.ice.credentials import Credentials, make_credentials
from sfu.ice.events import IceState
from sfu.ice.full import FullIceAgent
from sfu.ice.full_messages import Gathered, IceReport, IceRequest
from sfu.ice.path import IcePath
from sfu.rtp.history import DEPTH
from sfu.sdp import BundleSession, LocalTransport, SessionDescription, SignalingState
from sfu.transport.peer import PeerTransport, TransportStatistics


@dataclass(frozen=True, slots=True)
class ConnectionStatistics:
    """Counts since the connection was made."""

    transport: TransportStatistics
    negotiation: NegotiationStatistics
    ice_restarts: int
    """New ICE credentials, at either side's request."""
    subscribed: int
    """Subscriptions made."""
    unsubscribed: int
    """Subscriptions ended, including those that end with the connection."""
    subscriptions: int
    """Those that are forwarded now."""


class Connection:
    """One RTCPeerConnection that publishes and receives, over one bundled transport."""

    def __init__(
        self,
        certificate: Certificate,
        candidates: tuple[str, ...],
        random: Callable[[int], bytes],
        now: float,
        *,
        history_depth: int = DEPTH,
        full_ice: bool = False,
    ) -> None:
        """`candidates` are ours in SDP's syntax. Our descriptions have the fingerprint of `certificate`.

        `history_depth` is how many packets of each published video are kept for retransmission. With
        `full_ice` there are no candidates yet: `take_ice_requests` asks for them, and `report_ice` takes them.
        """
        self._certificate = certificate
        self._candidates = candidates
        self._random = random
        credentials = make_credentials(random)
        self._full_ice = FullIceAgent(credentials, now=now) if full_ice else None
        self._trickle = Trickle()
        if full_ice:
            self._trickle.begin(credentials.ufrag)
        self.transport = PeerTransport(
            credentials=credentials,
            ice=self._full_ice,
            certificate=certificate,
            random=random,
            now=now,
            history_depth=history_depth,
        )
        self.sdp = BundleSession(
            self._describe(credentials),
            session_id=int.from_bytes(random(8), "big") >> 1,
            make_ssrc=self.transport.make_ssrc,
        )
        self.negotiation = Negotiation(self.sdp, now)
        self.downstream = Downstream(self.sdp, self.transport, random, self.negotiation.request)
        """What the client receives."""
        self.known = False
        """Whether the client has shown that it knows this connection; only then can a resume keep it."""
        self.closed = False
        """Whether `close` was called: nothing is forwarded or negotiated, and the counts no longer change.

        `PeerTransport.ended` may be true before that, between the end of DTLS or ICE and `close`."""
        self.handshake: str | None = None
        """How the DTLS handshake has ended: ``ok``, or the reason why it failed."""
        self._ice_restarts = 0

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """What the client receives, or will."""
        return self.downstream.subscriptions

    # --- descriptions ---

    def answer_offer(self, offer: SessionDescription, now: float) -> str | None:
        """Apply the client's offer and return our answer, or None if the offer lost against ours.

        Raises:
            sfu.sdp.SdpError: the offer cannot be used. Nothing has changed.
        """
        crosses = self.sdp.state is SignalingState.HAVE_LOCAL_OFFER
        if not self.negotiation.receive_offer(retransmitted=crosses and self.sdp.repeats(offer)):
            return None
        if self.sdp.ice_restart_requested and self.sdp.remote is None:
            self._restart_ice(now)  # the sockets have failed before the client was told of them
        self.sdp.apply_offer(offer)
        if self.sdp.remote_restarted:
            self._restart_ice(now)
        self.downstream.reconsider_rejected(offer)
        self.downstream.give_slots()
        answer = self.sdp.create_answer()
        self._describing(answer)
        if self.sdp.needs_offer:
            self.negotiation.request()
        self._negotiated(now)
        return answer

    def apply_answer(self, text: str, now: float) -> bool:
        """Apply the client's answer; False means that no offer of ours waits for one.

        An answer does not name its offer. An answer without an offer shows that an earlier one, to an offer
        that was rolled back, may have been applied to the next offer. Then the server offers once more.

        Raises:
            sfu.sdp.SdpError: the answer does not fit our offer, which is rolled back.
        """
        if not self.negotiation.receive_answer():
            self.sdp.note_stray_answer()
            self.negotiation.request()
            return False
        try:
            self.sdp.apply_answer(text)
        except ValueError:
            self.negotiation.refuse_answer(now)
            raise
        self.downstream.note_rejections()
        self._negotiated(now)
        return True

    def make_offer(self, now: float) -> str | None:
        """Return an offer to send, if one is due."""
        if self.closed or not self.negotiation.is_offer_due(now):
            return None
        if self.sdp.ice_restart_requested:
            self._restart_ice(now)
        self.downstream.give_slots()
        if not self.sdp.needs_offer:
            self.negotiation.offer_not_needed()
            return None
        offer = self.sdp.create_offer()
        self._describing(offer)
        self.negotiation.offer_sent(now)
        return offer

    def retransmit_signaling(self) -> None:
        """Send again what may be lost: a pending offer of ours, and our candidates."""
        self.negotiation.restart()
        self.sdp.note_answer_lost()
        self._trickle.retransmit()

    def restart_ice(self) -> None:
        """Put new ICE credentials into the next offer; media continues on the old path meanwhile.

        Before the first description of the client there is nothing to restart, unless our sockets have failed.
        A pending offer is not rolled back: its answer would be taken for the answer to the next offer.
        """
        if self.sdp.remote is not None or self.transport.state is IceState.FAILED:
            self.sdp.request_ice_restart()
            self.negotiation.request()

    # --- full ICE ---

    def add_candidate(self, candidate: Candidate) -> None:
        """Add an address of the client; a lite agent ignores it."""
        if self._full_ice is not None:
            self._full_ice.add_candidate(candidate)

    def take_candidates(self) -> list[IceCandidate]:
        """Return the messages about our candidates that are due."""
        return self._trickle.take()

    def take_ice_requests(self) -> list[IceRequest]:
        """Return what the shell, which has the sockets of a full agent, has to do."""
        return [] if self._full_ice is None else self._full_ice.requests()

    def report_ice(self, report: IceReport, now: float) -> None:
        """Take a report about those sockets. Raises `RuntimeError` for a lite agent."""
        if self._full_ice is None:
            raise RuntimeError("a lite agent takes no reports")
        if isinstance(report, Gathered):
            found = self._trickle.found(report.ufrag, report.candidate)
            if found is not None:
                self.sdp.add_candidates(report.ufrag, found[0], complete=found[1])
        else:
            self._full_ice.report(report, now)
            self.transport.follow_ice(now)

    def count_ice_drop(self, reason: str) -> None:
        """Count a datagram that those sockets dropped."""
        if self._full_ice is not None:
            self._full_ice.drops[reason] += 1

    # --- time and packets ---

    def next_timeout(self) -> float | None:
        """Return when `handle_timeout` is due, or None."""
        return earliest(self.transport.next_timeout(), self.negotiation.next_timeout())

    def handle_timeout(self, now: float) -> None:
        """Do what is due at `now`."""
        self.transport.handle_timeout(now)
        self.negotiation.handle_timeout(now)

    def outgoing(self, now: float) -> list[tuple[bytes, IcePath]]:
        """Return the datagrams to send that are not forwarded media."""
        return self.transport.outgoing(now)

    def close(self, now: float) -> None:
        """End the connection: stop forwarding and negotiating, and let the transport say goodbye."""
        self.negotiation.restart()
        self.downstream.close(now)
        self.transport.close(now)
        self.closed = True

    def statistics(self) -> ConnectionStatistics:
        """Return the counts so far."""
        return ConnectionStatistics(
            transport=self.transport.statistics(),
            negotiation=self.negotiation.statistics(),
            ice_restarts=self._ice_restarts,
            subscribed=self.downstream.subscribed,
            unsubscribed=self.downstream.unsubscribed,
            subscriptions=self.downstream.forwarded,
        )

    def _restart_ice(self, now: float) -> None:
        self._ice_restarts += 1
        credentials = make_credentials(self._random)
        if self._full_ice is not None:
            self._trickle.begin(credentials.ufrag)
        self.sdp.restart_ice(self._describe(credentials))
        self.transport.restart_ice(credentials, now)

    def _describe(self, credentials: Credentials) -> LocalTransport:
        lite = self._full_ice is None
        fingerprint = self._certificate.fingerprint()
        return LocalTransport(*credentials, fingerprint, self._candidates, complete=lite, lite=lite)

    def _describing(self, text: str) -> None:
        if self._full_ice is not None:
            self._trickle.described(text)

    def _negotiated(self, now: float) -> None:
        """Apply what is now agreed to the transport and the streams."""
        if self.sdp.remote is not None:
            if self._full_ice is not None and self._full_ice.remote is None:
                # The side that makes the first offer is controlling, unless it is lite (RFC 8445 section
                # 6.1.1). Only offers leave the DTLS role open (RFC 8842 section 5.2).
                self._full_ice.remote_is_lite = self.sdp.remote.lite
                self._full_ice.controlling = self.sdp.remote.lite or self.sdp.remote.setup != "actpass"
            self.transport.set_remote(self.sdp.remote, now)
            for text in self.sdp.remote.candidates if self._full_ice is not None else ():
                try:
                    candidate = parse_trickled(f"candidate:{text}")
                except BadPacket as error:
                    self.count_ice_drop(error.reason)
                else:
                    if candidate is not None:
                        self.add_candidate(candidate)
        self.transport.set_receivers(self.sdp.receivers, now)
        self.downstream.update_streams(now)
