"""Our end of one BUNDLEd RTCPeerConnection: offers and answers from both sides, for as long as it lives.

A machine without time: descriptions go in and come out, `receivers` and `senders` say what they came to.

Rules that hold for the life of a session: m-lines keep their place and mid; a slot keeps its SSRCs; a payload
type means one codec and an extension id one URI in all m-lines; what the client said last wins where numbers
clash. What is wanted (`acquire_sender`, `release_sender`, `restart_ice`) is kept apart from what is negotiated,
so that taking back an offer loses no wish, and `needs_offer` is the difference of the two.

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
from sfu.sdp.mline import MediaKind, Receiver, Sender, Told
from sfu.sdp.model import Origin, SessionDescription
from sfu.sdp.numbering import ExtensionIds, PayloadTypes
from sfu.sdp.remote import read_answer, read_offer, transport_order
from sfu.sdp.sections import LocalSection, answer_section, offer_section, sendable_codecs, wish
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
    """One session. Methods that read the client raise `SdpError`, and then nothing has changed."""

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

        `session_id` goes into our ``o=`` lines: 63 random bits (RFC 9429 section 5.2.1). `make_ssrc` gives
        random 32-bit numbers, and none twice: the SSRC of a slot that has ended must not come back. With
        `simulcast` all encodings of a simulcast offer are accepted, else the first.
        """
        self._transport = transport
        self._next_transport: LocalTransport | None = None
        self._origin = Origin("-", session_id, 0)
        self._slots = Slots(make_ssrc, limits.media)
        self._limits = limits
        self._simulcast = simulcast
        self._state = SignalingState.STABLE
        self._payload_types = PayloadTypes()
        self._extension_ids = ExtensionIds()
        self._remote: RemoteTransport | None = None
        self._role: DtlsRole | None = None
        self._offered: list[LocalSection] = []
        self._left_out: list[tuple[Sender, Told]] = []
        """Slots for whose tracks the client's numbering leaves no payload type: to offer again is no help."""
        self._bundle: tuple[str, ...] = ()
        self._allow_mixed = True
        self._in_doubt = False
        self._answer_lost = False
        """What the client holds to be agreed may not be what we do: an offer was taken back that it may have
        applied, or it has answered what nobody asked. Its next description shows."""
        self._remote_restarted = False
        self._last_offer: bytes | None = None
        """Hash of the client's last offer."""

    # --- what it came to ---

    @property
    def state(self) -> SignalingState:
        """Where the exchange of offer and answer stands."""
        return self._state

    @property
    def transport(self) -> LocalTransport:
        """Our end of the transport as last negotiated, or as it will be first offered."""
        return self._transport

    @property
    def remote(self) -> RemoteTransport | None:
        """The client's end of the transport; None before its first description."""
        return self._remote

    @property
    def dtls_role(self) -> DtlsRole | None:
        """Our DTLS role, settled by the first complete exchange and never changed."""
        return self._role

    @property
    def remote_restarted(self) -> bool:
        """The pending offer restarts ICE: call `restart_ice` before `create_answer`."""
        return self._remote_restarted

    @property
    def restarts_ice(self) -> bool:
        """Whether our next description brings new ICE credentials to a client that has others."""
        return self._next_transport is not None and self._remote is not None

    @property
    def receivers(self) -> Sequence[Receiver]:
        """What the client sends or has sent, one per m-line that is not stopped."""
        return self._slots.receivers

    @property
    def senders(self) -> Sequence[Sender]:
        """Our slots: those with an m-line in the order of the lines, then those that wait for one."""
        return self._slots.senders

    @property
    def needs_offer(self) -> bool:
        """Whether what is wanted differs from what the client has been told, or may have been."""
        if self._next_transport is not None or self._in_doubt:
            return True
        return any(wish(sender) != sender.told for sender in self._slots.senders)

    # --- what is wanted ---

    def acquire_sender(
        self, kind: MediaKind, stream_id: str, track_id: str, codecs: Sequence[Codec], cname: str
    ) -> Sender:
        """Bind a track to a slot, to be named in the next description.

        A free slot is taken again, else an m-line on which the client only waits to receive, else a new m-line
        is planned. `codecs` are those of the track, in the publisher's numbers. Raises `TooManyLines` when no
        line is to be had, `ValueError` for ids that are no tokens and for codecs of which none is forwarded.
        """
        msid = Msid(token(stream_id), token(track_id))
        wanted = tuple(downstream_codecs(kind, codecs))
        if not wanted:
            raise ValueError(f"none of these {kind} codecs is forwarded")
        return self._slots.acquire(kind, msid, wanted, token(cname))

    def release_sender(self, sender: Sender) -> None:
        """Free a slot: it becomes inactive in the next offer and may carry another track then."""
        sender.msid = None

    def restart_ice(self, transport: LocalTransport) -> None:
        """Use new ICE credentials from our next offer on, or in the answer to an offer that restarts.

        The certificate stays: raises `ValueError` for another fingerprint. Raises `WrongState` while our offer
        waits for its answer.
        """
        if self._state is SignalingState.HAVE_LOCAL_OFFER:
            raise WrongState("our offer is pending")
        if transport.fingerprint != self._transport.fingerprint:
            raise ValueError("an ICE restart keeps the certificate")
        if self._remote is None:
            self._transport = transport
        else:
            self._next_transport = transport

    def add_candidates(self, ufrag: str, candidates: tuple[str, ...], *, complete: bool) -> None:
        """Let descriptions with the credentials of `ufrag` have these candidates from now on."""
        if self._transport.ufrag == ufrag:
            self._transport = replace(self._transport, candidates=candidates, complete=complete)
        if self._next_transport is not None and self._next_transport.ufrag == ufrag:
            self._next_transport = replace(self._next_transport, candidates=candidates, complete=complete)

    # --- the client offers ---

    def repeats(self, offer: SessionDescription) -> bool:
        """Whether this is the offer that was answered last, and the client may wait for that answer still.

        It is not if nothing hangs on it: where the offer brought no m-lines, the client can take it back and
        answer ours instead, with nothing lost.
        """
        return any(line.provisional for line in self._slots.lines) and _digest(offer) == self._last_offer

    def apply_offer(self, description: Description) -> None:
        """Take the client's offer. Raises `SdpError`, or `WrongState` unless the state is stable."""
        self._expect(SignalingState.STABLE)
        offer = self._parse(description)
        digest = _digest(offer)
        lines = read_offer(
            offer,
            self._slots.lines,
            simulcast=self._simulcast,
            in_doubt=self._in_doubt,
            repeated=digest == self._last_offer,
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
        self._last_offer = digest
        self._in_doubt = self._answer_lost = False
        self._payload_types.learn(offer)
        self._extension_ids.learn(offer)
        self._slots.adopt(lines)
        self._bundle = offer.bundle()
        self._allow_mixed = offer.extmap_allow_mixed
        self._state = SignalingState.HAVE_REMOTE_OFFER

    def create_answer(self) -> str:
        """Answer the offer that was applied; the exchange is then complete.

        Raises `WrongState` without an offer, and when the offer restarts ICE and `restart_ice` was not called.
        """
        self._expect(SignalingState.HAVE_REMOTE_OFFER)
        if self._remote_restarted and self._next_transport is None:
            raise WrongState("the offer restarts ICE: restart_ice() comes before the answer")
        if self._remote is not None and self._role is None:
            self._role = "client" if self._remote.setup == "passive" else "server"
        if self._remote_restarted and self._next_transport is not None:
            self._transport, self._next_transport = self._next_transport, None
        self._remote_restarted = False
        sections = [answer_section(line) for line in self._slots.lines]
        for section in sections:
            if section.sender is not None:
                codecs = sendable_codecs(section.line, section.sender) if section.sends else ()
                section.sender.settle(section.line.mid, section.told, codecs, section.extensions)
        self._state = SignalingState.STABLE
        return self._compose(sections, self._transport, SETUP_OF_ROLE[self._role or "server"])

    # --- we offer ---

    def create_offer(self) -> str:
        """Offer what is wanted; the exchange is open until `apply_answer` or `rollback`.

        Raises `WrongState` unless the state is stable.
        """
        self._expect(SignalingState.STABLE)
        lines = self._slots.plan(self._payload_types, answer_lost=self._answer_lost)
        self._offered = [offer_section(line, self._payload_types, self._extension_ids) for line in lines]
        placed = {section.sender for section in self._offered}
        self._left_out = [(sender, wish(sender)) for sender in self._slots.waiting if sender not in placed]
        self._bundle = tuple(section.line.mid for section in self._offered)
        self._allow_mixed = True
        self._state = SignalingState.HAVE_LOCAL_OFFER
        return self._compose(self._offered, self._next_transport or self._transport, "actpass")

    def apply_answer(self, description: Description) -> None:
        """Take the client's answer.

        Raises `SdpError`, with the offer still pending, and `WrongState` without a pending offer.
        """
        self._expect(SignalingState.HAVE_LOCAL_OFFER)
        answer = self._parse(description)
        answered = read_answer(answer, self._offered)
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
        self._in_doubt = self._answer_lost = False
        if self._next_transport is not None:
            self._transport, self._next_transport = self._next_transport, None
        self._slots.adopt(lines)
        for outcome, section in zip(answered, self._offered, strict=True):
            if section.sender is not None and not outcome.line.stopped:
                section.sender.settle(section.line.mid, section.told, outcome.sent_codecs, outcome.extensions)
        for sender, told in self._left_out:
            sender.told = told
        self._offered = []
        self._state = SignalingState.STABLE

    def rollback(self) -> None:
        """Take back our pending offer; what it was to bring is still wanted. May raise `WrongState`."""
        self._expect(SignalingState.HAVE_LOCAL_OFFER)
        self._in_doubt = True
        self._offered = []
        self._state = SignalingState.STABLE

    def doubt(self) -> None:
        """Note that the client may hold something else to be agreed than we do: to offer again settles it."""
        if self._remote is not None:
            self._in_doubt = True

    def lose_answer(self) -> None:
        """Note that our last answer may have got lost, which by itself is no reason to offer."""
        self._answer_lost = True

    # --- how ---

    def _expect(self, state: SignalingState) -> None:
        if self._state is not state:
            raise WrongState(f"the session is in {self._state.value}, not in {state.value}")

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
        # Counts every description of ours: two that are equal may differ in version, never the other way round.
        self._origin = self._origin._replace(version=self._origin.version + 1)
        return str(description)


def _digest(offer: SessionDescription) -> bytes:
    return hashlib.sha256(str(offer).encode()).digest()
