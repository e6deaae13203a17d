"""Who may offer when: the impolite side of perfect negotiation (docs/negotiation.md).

The machine says when to offer and which descriptions to take; the descriptions themselves are
`sfu.sdp`'s. A change of what should be negotiated is `request()`ed; all that comes together while an offer is
out is folded into the one that follows.

The server is in a negotiation from the moment it starts to make an offer until it has applied the answer, and
while it applies a description. Making and applying are each one step here, in which nothing can arrive: so
whether an offer is out is all there is to know, and `TRANSITIONS` is the whole machine.

An impolite peer that waited for an answer for ever would ignore offers for ever. So an offer has a deadline,
after which it is taken back and made anew.

One offer of the client wins even against ours: one that brought m-lines, was answered, and comes again. Then
our answer got lost with the signaling connection, and the client still waits for it. Our offer names these
m-lines, but the client knows them only from its own, and rolling that back would lose them. So a polite client
does not give way to an offer that names m-lines of which only its own pending offer can have told.

The first offer is left to the client for a moment: nearly every client has something to publish, its offer
spares a glare, tells its payload types and extension ids before any of ours could clash with them, and may
bring m-lines on which others can be sent to it in the very answer.
"""

import enum
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

ANSWER_TIMEOUT = 10.0
"""Seconds until an unanswered offer is taken back. A browser answers within 100 ms even on a slow machine; the
rest is the network's and a busy page's."""

FIRST_OFFER_WAIT = 1.0
"""Seconds that a new connection leaves to its client for the first offer. Longer than a browser needs to open
a camera that it already has, shorter than anybody who only listens should wait."""


class NegotiationState(enum.Enum):
    """JSEP's signaling states as far as the server knows them: remote offers are answered at once."""

    STABLE = "stable"
    HAVE_LOCAL_OFFER = "have-local-offer"


class NegotiationEvent(enum.Enum):
    """What can happen to a negotiation."""

    OFFER_SENT = "we offer"
    OFFER_RECEIVED = "the client offers"
    OFFER_REPEATED = "the client offers again what we answered"
    ANSWER_RECEIVED = "the client answers"
    ANSWER_OVERDUE = "no answer in time"
    BEGUN_ANEW = "we begin anew"
    """The signaling connection is a new one, or what we have offered is not what should be negotiated now."""


@dataclass(frozen=True, slots=True)
class NegotiationTransition:
    """A row of the table."""

    next_state: NegotiationState
    takes: bool = True
    """Whether what came is to be acted on; else it is ignored."""
    offer_again: bool = False
    """An offer of ours was taken back: what it was to bring is still wanted."""
    counted: str | None = None
    """The field of `NegotiationStatistics` that counts it."""


_STABLE, _OFFERED = NegotiationState.STABLE, NegotiationState.HAVE_LOCAL_OFFER
_Event = NegotiationEvent

TRANSITIONS: Mapping[tuple[NegotiationState, NegotiationEvent], NegotiationTransition] = {
    (_STABLE, _Event.OFFER_SENT): NegotiationTransition(_OFFERED, counted="offers_sent"),
    (_STABLE, _Event.OFFER_RECEIVED): NegotiationTransition(_STABLE),
    (_STABLE, _Event.ANSWER_RECEIVED): NegotiationTransition(_STABLE, takes=False, counted="answers_ignored"),
    (_STABLE, _Event.BEGUN_ANEW): NegotiationTransition(_STABLE, takes=False),
    (_OFFERED, _Event.OFFER_RECEIVED): NegotiationTransition(_OFFERED, takes=False, counted="offers_ignored"),
    (_OFFERED, _Event.OFFER_REPEATED): NegotiationTransition(
        _STABLE, offer_again=True, counted="offers_repeated"
    ),
    (_OFFERED, _Event.ANSWER_RECEIVED): NegotiationTransition(_STABLE),
    (_OFFERED, _Event.ANSWER_OVERDUE): NegotiationTransition(
        _STABLE, offer_again=True, counted="answers_missed"
    ),
    (_OFFERED, _Event.BEGUN_ANEW): NegotiationTransition(_STABLE, offer_again=True),
}
"""What each event means in each state. An event without a row there is a mistake of ours."""


@dataclass(frozen=True, slots=True)
class NegotiationStatistics:
    """Counts since the connection began."""

    offers_sent: int
    offers_ignored: int
    """The client's offers that crossed one of ours."""
    offers_repeated: int
    """The client's offers that won against one of ours, because our answer to them had got lost."""
    answers_ignored: int
    """Answers to an offer that was no longer, or never, ours."""
    answers_missed: int
    """Our offers that were taken back without an answer."""


class Negotiation:
    """One connection's negotiation. Every method is immediate; time comes in as `now` in seconds."""

    def __init__(self, now: float) -> None:
        self._state = NegotiationState.STABLE
        self._hold_until: float | None = now + FIRST_OFFER_WAIT
        self._wanted = False
        self._deadline: float | None = None
        self._counts: Counter[str] = Counter()

    @property
    def state(self) -> NegotiationState:
        """Whether an offer of ours waits for its answer."""
        return self._state

    def request(self) -> None:
        """Note that an offer is needed, now or when the running negotiation has ended."""
        self._wanted = True

    def is_offer_due(self, now: float) -> bool:
        """Return whether an offer is needed and may be made."""
        if not self._wanted or self._state is not NegotiationState.STABLE:
            return False
        return self._hold_until is None or now >= self._hold_until

    def offer_not_needed(self) -> None:
        """Note that what was requested is already negotiated."""
        self._wanted = False

    def offer_sent(self, now: float) -> None:
        """Note that an offer left at `now`: until its answer or its deadline, the client's offers lose."""
        if not self.is_offer_due(now):
            raise RuntimeError("an offer that is not due was sent")
        self._hold_until = None
        self._wanted = False
        self._step(NegotiationEvent.OFFER_SENT)
        self._deadline = now + ANSWER_TIMEOUT

    def receive_offer(self, *, repeated: bool = False) -> bool:
        """Return whether to apply and answer the client's offer; False means that it lost against ours.

        `repeated`: it crosses an offer of ours, but brought m-lines, was answered, and nothing has been agreed
        since. It wins: ours is the caller's to take back, and the next is due after the answer.
        """
        event = NegotiationEvent.OFFER_REPEATED if repeated else NegotiationEvent.OFFER_RECEIVED
        if not self._step(event):
            return False
        self._hold_until = None
        return True

    def receive_answer(self) -> bool:
        """Return whether to apply the client's answer; False means that no offer of ours waits for one."""
        return self._step(NegotiationEvent.ANSWER_RECEIVED)

    def answer_refused(self, now: float) -> None:
        """Note that the answer that was received does not fit: the offer was taken back, and is made again.

        Not at once, though: a client that answers wrongly may well do so again.
        """
        self._hold_until = now + ANSWER_TIMEOUT
        self._wanted = True

    def abandon_offer(self) -> bool:
        """Return whether an offer of ours is out: the caller takes it back, and the next is due at once."""
        return self._step(NegotiationEvent.BEGUN_ANEW)

    def next_timeout(self) -> float | None:
        """Return when `handle_timeout` and `is_offer_due` want to be asked again, or None."""
        return self._hold_until if self._hold_until is not None and self._wanted else self._deadline

    def handle_timeout(self, now: float) -> bool:
        """Return whether our offer is overdue: the caller takes it back, and the next is due at once."""
        if self._hold_until is not None and now >= self._hold_until:
            # Over, though nobody may be there to be sent the offer: it must not be due again and again.
            self._hold_until = None
        if self._deadline is None or now < self._deadline:
            return False
        return self._step(NegotiationEvent.ANSWER_OVERDUE)

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

    def _step(self, event: NegotiationEvent) -> bool:
        """Go where the table says; return whether what came is to be acted on."""
        row = TRANSITIONS[self._state, event]
        self._state = row.next_state
        if row.next_state is NegotiationState.STABLE:
            self._deadline = None
        if row.offer_again:
            self._wanted = True
        if row.counted is not None:
            self._counts[row.counted] += 1
        return row.takes
