"""Who may offer when: the impolite side of perfect negotiation (SPEC section 3).

The machine says when to offer and which descriptions to take; the descriptions themselves are
`sfu.sdp`'s. A change of what should be negotiated is `request()`ed; all that comes together while an offer is
out is folded into the one that follows.

An impolite peer that waited for an answer for ever would ignore offers for ever. So an offer has a deadline,
after which it is taken back and made anew.

The first offer is left to the client for a moment: nearly every client has something to publish, its offer
spares a glare, tells its payload types and extension ids before any of ours could clash with them, and may
bring m-lines on which others can be sent to it in the very answer.
"""

import enum
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


@dataclass(frozen=True, slots=True)
class NegotiationStatistics:
    """Counts since the connection began."""

    offers_sent: int
    offers_ignored: int
    """The client's offers that crossed one of ours."""
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
        self._offers_sent = 0
        self._offers_ignored = 0
        self._answers_ignored = 0
        self._answers_missed = 0

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
        self._state = NegotiationState.HAVE_LOCAL_OFFER
        self._deadline = now + ANSWER_TIMEOUT
        self._offers_sent += 1

    def receive_offer(self) -> bool:
        """Return whether to apply and answer the client's offer; False means that it lost against ours."""
        if self._state is NegotiationState.HAVE_LOCAL_OFFER:
            self._offers_ignored += 1
            return False
        self._hold_until = None
        return True

    def receive_answer(self) -> bool:
        """Return whether to apply the client's answer; False means that no offer of ours waits for one."""
        if self._state is not NegotiationState.HAVE_LOCAL_OFFER:
            self._answers_ignored += 1
            return False
        self._end_offer()
        return True

    def answer_refused(self, now: float) -> None:
        """Note that the answer that was received does not fit: the offer was taken back, and is made again.

        Not at once, though: a client that answers wrongly may well do so again.
        """
        self._hold_until = now + ANSWER_TIMEOUT
        self._wanted = True

    def abandon_offer(self) -> bool:
        """Return whether an offer of ours is out: the caller takes it back, and the next is due at once."""
        if self._state is NegotiationState.STABLE:
            return False
        self._end_offer()
        self._wanted = True
        return True

    def next_timeout(self) -> float | None:
        """Return when `handle_timeout` and `is_offer_due` want to be asked again, or None."""
        return self._hold_until if self._hold_until is not None and self._wanted else self._deadline

    def handle_timeout(self, now: float) -> bool:
        """Return whether our offer is overdue: the caller takes it back, and the next is due at once."""
        if self._deadline is None or now < self._deadline:
            return False
        self._answers_missed += 1
        return self.abandon_offer()

    def statistics(self) -> NegotiationStatistics:
        """Return the counts so far."""
        return NegotiationStatistics(
            self._offers_sent, self._offers_ignored, self._answers_ignored, self._answers_missed
        )

    def _end_offer(self) -> None:
        self._state = NegotiationState.STABLE
        self._deadline = None
