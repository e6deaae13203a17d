"""Our end of one BUNDLEd RTCPeerConnection: offers and answers from both sides, as long as it lives.

A machine without time: descriptions go in and come out; `receivers` and `send_slots` say what was agreed.

Rules that hold for the life of a session: m-lines keep their place and mid; a slot keeps its SSRCs; a payload
type means one codec and an extension id one URI in all m-lines; if numbers clash, the client's latest win.
The session keeps what is wanted (`acquire_slot`, `release_slot`, `request_ice_restart`) apart from what is
negotiated, so that a rollback loses nothing. `needs_offer` says whether the two differ.

RFC 9429 (JSEP) for the procedures, RFC 3264 (offer/answer), RFC 9143 (BUNDLE), RFC 8842 (DTLS roles).
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum

from sfu.sdp.attributes import Msid
from sfu.sdp.capabilities import downstream_codecs
from sfu.sdp.codecs import Codec
from sfu.sdp.compose import compose
from sfu.sdp.errors import SdpError, WrongState
from sfu.sdp.grammar import token
from sfu.sdp.lines import DEFAULT_LIMITS, DescriptionLimits
from sfu.sdp.mline import MediaKind, Receiver, SendSlot
from sfu.sdp.model import Origin, SessionDescription
from sfu.sdp.numbering import ExtensionIds, PayloadTypes
from sfu.sdp.open_exchange import NOTHING_UNCONFIRMED, IceRestart, PendingOffer, Unconfirmed
from sfu.sdp.remote import read_answer, read_offer, transport_order
from sfu.sdp.sections import LocalSection, answer_section, offer_section, sendable_codecs, to_announce
from sfu.sdp.slots import Slots
from sfu.sdp.transport import (
    SETUP_OF_ROLE,
    DtlsRole,
    LocalTransport,
    RemoteTransport,
    remote_transport,
    same_association,
)

Description = str | SessionDescription


class SignalingState(Enum):
    """Where an exchange of offer and answer stands (RFC 9429 section 3.2)."""

    STABLE = "stable"
    HAVE_LOCAL_OFFER = "have-local-offer"
    HAVE_REMOTE_OFFER = "have-remote-offer"


class BundleSession:
    """One session. Methods that read a description raise `SdpError`, and then nothing has changed."""

    def __init__(
        self,
        transport: LocalTransport,
        *,
        session_id: int,
        make_ssrc: Callable[[], int],
        limits: DescriptionLimits = DEFAULT_LIMITS,
        simulcast: bool = False,
    ) -> None:
        """Start with no m-lines.

        `session_id` goes into our ``o=`` lines: 63 random bits (RFC 9429 section 5.2.1). `make_ssrc` returns
        random 32-bit numbers, and none twice: the SSRC of a slot that has ended must not come back. With
        `simulcast` the session accepts all encodings of a simulcast offer, else only the first.
        """
        self._transport = transport
        self._ice_restart: IceRestart | None = None
        self._origin = Origin("-", session_id, 0)
        self._slots = Slots(make_ssrc, limits.media)
        self._limits = limits
        self._simulcast = simulcast
        self._pending_offer: PendingOffer | None = None
        self._answers = False
        """An offer of the client has been applied and is not answered yet."""
        self._payload_types = PayloadTypes()
        self._extension_ids = ExtensionIds()
        self._remote: RemoteTransport | None = None
        self._role: DtlsRole | None = None
        self._bundle: tuple[str, ...] = ()
        self._allow_mixed = True
        self._unconfirmed = NOTHING_UNCONFIRMED
        self._remote_restarted = False

    # --- what is agreed ---

    @property
    def state(self) -> SignalingState:
        """Where the exchange of offer and answer stands."""
        if self._pending_offer is not None:
            return SignalingState.HAVE_LOCAL_OFFER
        return SignalingState.HAVE_REMOTE_OFFER if self._answers else SignalingState.STABLE

    @property
    def transport(self) -> LocalTransport:
        """Our end of the transport as last negotiated, or as the first description will offer it."""
        return self._transport

    @property
    def remote(self) -> RemoteTransport | None:
        """The client's end of the transport; None before its first description."""
        return self._remote

    @property
    def dtls_role(self) -> DtlsRole | None:
        """Our DTLS role. The first complete exchange decides it for the life of the session."""
        return self._role

    @property
    def remote_restarted(self) -> bool:
        """The pending offer restarts ICE: call `restart_ice` before `create_answer`."""
        return self._remote_restarted

    @property
    def ice_restart_requested(self) -> bool:
        """An ICE restart is wanted, and `restart_ice` has not brought its credentials yet."""
        return self._ice_restart is not None and self._ice_restart.transport is None

    @property
    def restarts_ice(self) -> bool:
        """Whether our next description brings new ICE credentials to a client that has others."""
        return self._new_transport is not None and self._remote is not None

    @property
    def receivers(self) -> Sequence[Receiver]:
        """What the client sends or has sent, one per m-line that is not stopped."""
        return self._slots.receivers

    @property
    def send_slots(self) -> Sequence[SendSlot]:
        """Our slots: those with an m-line in the order of the lines, then those that still need one."""
        return self._slots.send_slots

    @property
    def needs_offer(self) -> bool:
        """Whether what is wanted differs from what the client certainly knows."""
        if self._ice_restart is not None or self._unconfirmed.offer:
            return True
        return any(to_announce(slot) != slot.announced for slot in self._slots.send_slots)

    # --- what is wanted ---

    def acquire_slot(
        self, kind: MediaKind, stream_id: str, track_id: str, codecs: Sequence[Codec], cname: str
    ) -> SendSlot:
        """Bind a track to a slot. The next description names it.

        The session takes a free slot, else an m-line on which the client only waits to receive, else it plans a
        new m-line. `codecs` are those of the track, in the publisher's numbers. Raises `TooManyLines` when all
        m-lines are in use, `ValueError` for ids that are no tokens and for codecs of which none is forwarded.
        """
        msid = Msid(token(stream_id), token(track_id))
        wanted = tuple(downstream_codecs(kind, codecs))
        if not wanted:
            raise ValueError(f"none of these {kind} codecs is forwarded")
        return self._slots.acquire(kind, msid, wanted, token(cname))

    def release_slot(self, slot: SendSlot) -> None:
        """Free a slot: it becomes inactive in the next offer and may carry another track then."""
        slot.msid = None

    def request_ice_restart(self) -> None:
        """Note that an ICE restart is wanted; `restart_ice` comes before the next offer."""
        if self._ice_restart is None:
            self._ice_restart = IceRestart(None)

    def restart_ice(self, transport: LocalTransport) -> None:
        """Use new ICE credentials from our next offer on, or in the answer to an offer that restarts.

        The certificate stays: raises `ValueError` for another fingerprint. Raises `WrongState` while our offer
        waits for its answer.
        """
        if self._pending_offer is not None:
            raise WrongState("our offer is pending")
        if transport.fingerprint != self._transport.fingerprint:
            raise ValueError("an ICE restart keeps the certificate")
        if self._remote is None:
            self._transport, self._ice_restart = transport, None
        else:
            self._ice_restart = IceRestart(transport)

    def add_candidates(self, ufrag: str, candidates: tuple[str, ...], *, complete: bool) -> None:
        """Put these candidates into all later descriptions with the credentials of `ufrag`."""
        if self._transport.ufrag == ufrag:
            self._transport = replace(self._transport, candidates=candidates, complete=complete)
        if (new := self._new_transport) is not None and new.ufrag == ufrag:
            self._ice_restart = IceRestart(replace(new, candidates=candidates, complete=complete))

    # --- the client offers ---

    def repeats(self, offer: SessionDescription) -> bool:
        """Whether this is the offer that was answered last, and the client may still wait for that answer.

        An offer that added no m-lines does not count: the client can roll it back and answer ours instead, and
        loses nothing.
        """
        return bool(self._unconfirmed.lines) and _digest(offer) == self._unconfirmed.client_offer

    def apply_offer(self, description: Description) -> None:
        """Apply the client's offer. Raises `SdpError`, or `WrongState` unless the state is stable."""
        self._expect(SignalingState.STABLE)
        offer = self._parse(description)
        digest = _digest(offer)
        unconfirmed = self._unconfirmed
        lines, new_lines = read_offer(
            offer,
            self._slots.lines,
            simulcast=self._simulcast,
            our_offer_unconfirmed=unconfirmed.offer,
            unconfirmed=unconfirmed.lines,
            retransmitted=digest == unconfirmed.client_offer,
        )
        if self._remote is None and all(line.stopped for line in lines):
            raise SdpError("sdp-unsupported", "nothing to negotiate: no audio or video that could be forwarded")
        remote = self._remote
        if not all(line.stopped for line in lines):
            theirs = remote_transport(offer, transport_order(offer, lines), lite=self._transport.lite)
            remote = same_association(remote, theirs, self._role)

        # From here on nothing fails.
        self._remote_restarted = (
            self._remote is not None
            and remote is not None
            and (remote.ufrag, remote.pwd) != (self._remote.ufrag, self._remote.pwd)
        )
        self._remote = remote
        self._unconfirmed = Unconfirmed(lines=new_lines, client_offer=digest)
        self._payload_types.learn(offer)
        self._extension_ids.learn(offer)
        self._slots.adopt(lines)
        self._bundle = offer.bundle()
        self._allow_mixed = offer.extmap_allow_mixed
        self._answers = True

    def create_answer(self) -> str:
        """Answer the offer that was applied; the exchange is then complete.

        Raises `WrongState` without an offer, and when the offer restarts ICE and `restart_ice` was not called.
        """
        self._expect(SignalingState.HAVE_REMOTE_OFFER)
        new_transport = self._new_transport
        if self._remote_restarted and new_transport is None:
            raise WrongState("the offer restarts ICE: restart_ice() comes before the answer")
        if self._remote is not None and self._role is None:
            self._role = "client" if self._remote.setup == "passive" else "server"
        if self._remote_restarted and new_transport is not None:
            self._transport, self._ice_restart = new_transport, None
        self._remote_restarted = False
        sections = [answer_section(line) for line in self._slots.lines]
        for section in sections:
            if section.slot is not None:
                codecs = sendable_codecs(section.line, section.slot) if section.sends else ()
                section.slot.agree(section.line.mid, section.announced, codecs, section.extensions)
        self._answers = False
        return self._compose(sections, self._transport, SETUP_OF_ROLE[self._role or "server"])

    # --- we offer ---

    def create_offer(self) -> str:
        """Offer what is wanted; the exchange is open until `apply_answer` or `rollback`.

        Raises `WrongState` unless the state is stable.
        """
        self._expect(SignalingState.STABLE)
        # A client without our answer rolls back what it has stopped: these places must not carry another line.
        occupied = self._unconfirmed.lines if self._unconfirmed.answer else frozenset()
        lines = self._slots.plan(self._payload_types, occupied)
        sections = [offer_section(line, self._payload_types, self._extension_ids) for line in lines]
        placed = {section.slot for section in sections}
        unnumbered = [(slot, to_announce(slot)) for slot in self._slots.waiting if slot not in placed]
        self._pending_offer = PendingOffer(sections, unnumbered)
        self._bundle = tuple(section.line.mid for section in sections)
        self._allow_mixed = True
        return self._compose(sections, self._new_transport or self._transport, "actpass")

    def apply_answer(self, description: Description) -> None:
        """Apply the client's answer.

        Raises `SdpError`, and the offer is still pending; raises `WrongState` without a pending offer.
        """
        pending = self._expect_offer()
        answer = self._parse(description)
        answered = read_answer(answer, pending.sections)
        lines = [outcome.line for outcome in answered]
        remote, role = self._remote, self._role
        if not all(line.stopped for line in lines):
            theirs = remote_transport(answer, transport_order(answer, lines), lite=self._transport.lite)
            remote = same_association(remote, theirs, role)
            if remote.setup == "actpass":
                raise SdpError("sdp-mismatch", "an answer chooses its DTLS role, actpass does not")
            role = "client" if remote.setup == "passive" else "server"

        # From here on nothing fails.
        self._remote, self._role = remote, role
        self._unconfirmed = NOTHING_UNCONFIRMED
        if (new_transport := self._new_transport) is not None:
            self._transport, self._ice_restart = new_transport, None
        self._slots.adopt(lines)
        for outcome, section in zip(answered, pending.sections, strict=True):
            if section.slot is not None and not outcome.line.stopped:
                section.slot.agree(section.line.mid, section.announced, outcome.sent_codecs, outcome.extensions)
        for slot, announced in pending.unnumbered:
            slot.announced = announced
        self._pending_offer = None

    def rollback(self) -> None:
        """Roll our pending offer back; its content is still wanted. Raises `WrongState` without one."""
        self._expect_offer()
        self._unconfirmed = replace(self._unconfirmed, offer=True)
        self._pending_offer = None

    def note_stray_answer(self) -> None:
        """Note an answer without an offer: an earlier answer may have been applied to the wrong offer."""
        if self._remote is not None:
            self._unconfirmed = replace(self._unconfirmed, offer=True)

    def note_answer_lost(self) -> None:
        """Note that our last answer may not have reached the client."""
        self._unconfirmed = replace(self._unconfirmed, answer=True)

    # --- how ---

    @property
    def _new_transport(self) -> LocalTransport | None:
        return None if self._ice_restart is None else self._ice_restart.transport

    def _expect(self, state: SignalingState) -> None:
        if self.state is not state:
            raise WrongState(f"the session is in {self.state.value}, not in {state.value}")

    def _expect_offer(self) -> PendingOffer:
        self._expect(SignalingState.HAVE_LOCAL_OFFER)
        assert self._pending_offer is not None, "the state says so"
        return self._pending_offer

    def _parse(self, description: Description) -> SessionDescription:
        if isinstance(description, str):
            return SessionDescription.parse(description, self._limits)
        return description

    def _compose(self, sections: Sequence[LocalSection], transport: LocalTransport, setup: str) -> str:
        description = compose(
            sections,
            transport,
            setup=setup,
            origin=self._origin,
            bundle=self._bundle,
            allow_mixed=self._allow_mixed,
        )
        # Each description has a version of its own. Different descriptions must not share one.
        self._origin = self._origin._replace(version=self._origin.version + 1)
        return str(description)


def _digest(offer: SessionDescription) -> bytes:
    return hashlib.sha256(str(offer).encode()).digest()
