"""Who may offer when: the impolite side of perfect negotiation (docs/negotiation.md).

`Negotiation` decides when to offer and which descriptions to apply. `sfu.sdp.BundleSession` reads and writes
the descriptions; whether an offer of ours is out is its signaling state, and only `Negotiation` rolls one back.
A change that has to be negotiated is `request()`ed. All changes during an exchange go into the one offer that
follows.

The server is negotiating from the moment it starts to make an offer until it has applied the answer, and while
it applies a description. Making an offer is one step here, and so is applying a description; no message arrives
in between. So `TRANSITIONS` needs only two states.

An impolite peer that waited forever for an answer would ignore offers forever. So an offer has a deadline.
After it the server rolls the offer back and makes it again.

One offer of the client wins even against ours: an offer that added m-lines, was answered, and comes again. Then
our answer got lost with the signaling connection, and the client still waits for it. Our own offer names those
m-lines, but the client knows them only from its pending offer, and a rollback would lose them. So a polite
client does not give way to an offer with m-lines that the server can know only from the client's pending offer.

The server leaves the first offer to the client for a moment. Nearly every client has something to publish. Its
offer avoids glare, tells its payload types and extension ids before any of ours could clash with them, and may
bring m-lines on which the answer can already send.
"""

import enum
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from sfu.sdp import SignalingState

ANSWER_TIMEOUT = 10.0
"""Seconds until an unanswered offer is rolled back. A browser answers within 100 ms even on a slow machine; the
rest is for the network and a busy page."""

FIRST_OFFER_WAIT = 1.0
"""Seconds that a new connection leaves to its client for the first offer. A browser opens a camera that it
already has in less time; a client that only listens should not wait longer."""


class OfferState(Protocol):
    """What `Negotiation` needs of a `sfu.sdp.BundleSession`."""

    @property
    def state(self) -> SignalingState:
        """Where the exchange of offer and answer stands."""

    def rollback(self) -> None:
        """Roll our pending offer back; its content is still wanted."""


class NegotiationEvent(enum.Enum):
    """What can happen to a negotiation."""

    OFFER_RECEIVED = "the client offers"
    OFFER_RETRANSMITTED = "the client sends its answered offer again"
    ANSWER_RECEIVED = "the client answers"
    ANSWER_OVERDUE = "no answer in time"
    RESTARTED = "signaling reconnects, or the connection is replaced"


@dataclass(frozen=True, slots=True)
class NegotiationTransition:
    """A row of the table."""

    applies: bool = True
    """Whether the caller acts on the event; otherwise the server ignores it."""
    rolls_back: bool = False
    """Our offer is rolled back, and its content is offered again."""
    counted: str | None = None
    """The field of `NegotiationStatistics` that counts it."""


_STABLE, _OFFERED = SignalingState.STABLE, SignalingState.HAVE_LOCAL_OFFER
_Event, _Row = NegotiationEvent, NegotiationTransition

TRANSITIONS: Mapping[tuple[SignalingState, NegotiationEvent], NegotiationTransition] = {
    (_STABLE, _Event.OFFER_RECEIVED): _Row(),
    (_STABLE, _Event.ANSWER_RECEIVED): _Row(applies=False, counted="answers_ignored"),
    (_STABLE, _Event.RESTARTED): _Row(applies=False),
    (_OFFERED, _Event.OFFER_RECEIVED): _Row(applies=False, counted="offers_ignored"),
    (_OFFERED, _Event.OFFER_RETRANSMITTED): _Row(rolls_back=True, counted="offers_repeated"),
    (_OFFERED, _Event.ANSWER_RECEIVED): _Row(),
    (_OFFERED, _Event.ANSWER_OVERDUE): _Row(rolls_back=True, counted="answers_missed"),
    (_OFFERED, _Event.RESTARTED): _Row(rolls_back=True),
}
"""What each event means in each state. An event without a row there is an error of ours. An exchange that is
applied, and one that is rolled back, both end in ``stable``; the others leave the state as it is."""


@dataclass(frozen=True, slots=True)
class NegotiationStatistics:
    """Counts since the connection began."""

    offers_sent: int
    offers_ignored: int
    """The client's offers that crossed one of ours."""
    offers_repeated: int
    """The client's offers that came again and won against one of ours, because our answer to them had got lost.
    """
    answers_ignored: int
    """Answers without a pending offer of ours."""
    answers_missed: int
    """Our offers that were rolled back without an answer."""


class Negotiation:
    """One connection's negotiation. Every method is immediate; `now` is in seconds."""

    def __init__(self, session: OfferState, now: float) -> None:
        """`session` has the signaling state."""
        self._session = session
        self._hold_until: float | None = now + FIRST_OFFER_WAIT
        self._wanted = False
        self._deadline = 0.0
        self._counts: Counter[str] = Counter()

    @property
    def _is_offer_pending(self) -> bool:
        return self._session.state is SignalingState.HAVE_LOCAL_OFFER

    def request(self) -> None:
        """Note that an offer is needed, now or when the running negotiation has ended."""
        self._wanted = True

    def is_offer_due(self, now: float) -> bool:
        """Return whether an offer is needed and may be made."""
        if not self._wanted or self._is_offer_pending:
            return False
        return self._hold_until is None or now >= self._hold_until

    def offer_not_needed(self) -> None:
        """Note that what was requested is already negotiated."""
        self._wanted = False

    def offer_sent(self, now: float) -> None:
        """Note that the session has made an offer, at `now`: the client's offers lose until it is answered."""
        if not self._is_offer_pending:
            raise RuntimeError("the session has no pending offer")
        self._hold_until = None
        self._wanted = False
        self._counts["offers_sent"] += 1
        self._deadline = now + ANSWER_TIMEOUT

    def receive_offer(self, *, retransmitted: bool = False) -> bool:
        """Return whether to apply and answer the client's offer; False means that it lost against ours.

        `retransmitted`: the offer crosses ours, but it added m-lines, was answered, and nothing has been agreed
        since. It wins: ours is rolled back, and follows after the answer.
        """
        event = NegotiationEvent.OFFER_RETRANSMITTED if retransmitted else NegotiationEvent.OFFER_RECEIVED
        if not self._handle(event):
            return False
        self._hold_until = None
        return True

    def receive_answer(self) -> bool:
        """Return whether to apply the client's answer; False means that no offer of ours waits for one."""
        return self._handle(NegotiationEvent.ANSWER_RECEIVED)

    def refuse_answer(self, now: float) -> None:
        """Roll our offer back, because the client's answer does not fit. The next offer waits.

        A client that answers wrongly may well do so again.
        """
        self._session.rollback()
        self._hold_until = now + ANSWER_TIMEOUT
        self._wanted = True

    def restart(self) -> None:
        """Roll a pending offer back; its content is offered again at once."""
        self._handle(NegotiationEvent.RESTARTED)

    def next_timeout(self) -> float | None:
        """Return when `handle_timeout` and `is_offer_due` are to be asked again, or None."""
        if self._hold_until is not None and self._wanted:
            return self._hold_until
        return self._deadline if self._is_offer_pending else None

    def handle_timeout(self, now: float) -> None:
        """Do what is due at `now`: end a wait, roll an overdue offer back."""
        if self._hold_until is not None and now >= self._hold_until:
            # Over, even if no client is there to be sent the offer: it must not be due again and again.
            self._hold_until = None
        if self._is_offer_pending and now >= self._deadline:
            self._handle(NegotiationEvent.ANSWER_OVERDUE)

    def statistics(self) -> NegotiationStatistics:
        """Return the counts so far."""
        counts = self._counts
        return NegotiationStatistics(
            offers_sent=counts["offers_sent"],
            offers_ignored=counts["offers_ignored"],
            offers_repeated=counts["offers_repeated"],
            answers_ignored=counts["answers_ignored"],
            answers_missed=counts["answers_missed"],
        )

    def _handle(self, event: NegotiationEvent) -> bool:
        """Do what the table says; return whether the caller acts on the event."""
        row = TRANSITIONS[self._session.state, event]
        if row.rolls_back:
            self._session.rollback()
            self._wanted = True
        if row.counted is not None:
            self._counts[row.counted] += 1
        return row.applies
