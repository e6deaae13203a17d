"""A session driven at random: a browser and a server offer, answer, lose answers, and change their tracks."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.browser_model import CHROMIUM, FIREFOX, Browser, local_transport, make_session, vector

from sfu.sdp import Codec, SendSlot, SessionDescription, codecs_of
from sfu.sdp.capabilities import upstream_codecs

PUBLISHED = {
    "audio": upstream_codecs(
        "audio", codecs_of(SessionDescription.parse(vector("firefox-offer-audio-video")).media[0])
    ),
    "video": upstream_codecs(
        "video", codecs_of(SessionDescription.parse(vector("firefox-offer-audio-video")).media[1])
    ),
}
KINDS = st.sampled_from(["audio", "video"])
PICK = st.integers(0, 1000)


class Call(RuleBasedStateMachine):
    """One browser and one session. `Browser` checks each description."""

    def __init__(self) -> None:
        super().__init__()
        self.session = make_session(simulcast=True)
        self.browser = Browser()
        self.held: list[SendSlot] = []
        self.ssrcs: dict[int, tuple[int, int | None]] = {}
        self.keep: list[SendSlot] = []
        self.tracks = 0
        self.peak = {"audio": 0, "video": 0}
        self.restarts = 0
        self.lines = 0
        self.offer: str | None = None

    @initialize(firefox=st.booleans())
    def choose(self, firefox: bool) -> None:
        self.browser.numbers = FIREFOX if firefox else CHROMIUM

    # --- changes ---

    @rule(kind=KINDS)
    def acquire(self, kind: str) -> None:
        codecs: list[Codec] = PUBLISHED[kind]
        self.tracks += 1
        sender = self.session.acquire_slot(
            "audio" if kind == "audio" else "video", "peer", f"t{self.tracks}", codecs, "peer"
        )
        assert sender not in self.held
        self.held.append(sender)
        self.keep.append(sender)
        assert self.ssrcs.setdefault(id(sender), (sender.ssrc, sender.rtx_ssrc)) == (
            sender.ssrc,
            sender.rtx_ssrc,
        )
        held = sum(one.kind == kind and not one.stopped for one in self.held)
        self.peak[kind] = max(self.peak[kind], held)

    @precondition(lambda self: self.held)
    @rule(pick=PICK)
    def release(self, pick: int) -> None:
        sender = self.held.pop(pick % len(self.held))
        self.session.release_slot(sender)
        assert not sender.active

    @precondition(lambda self: self.offer is None)
    @rule()
    def restart_ice(self) -> None:
        self.restarts += 1
        self.session.restart_ice(local_transport(self.restarts))

    @rule(kind=KINDS, sends=st.booleans(), receives=st.booleans())
    def browser_adds(self, kind: str, sends: bool, receives: bool) -> None:
        if len(self.browser.transceivers) < 12:
            self.browser.add(kind, sends=sends, receives=receives)

    @precondition(lambda self: self.browser.transceivers)
    @rule(pick=PICK, sends=st.booleans(), receives=st.booleans())
    def browser_turns(self, pick: int, sends: bool, receives: bool) -> None:
        transceiver = self.browser.transceivers[pick % len(self.browser.transceivers)]
        transceiver.sends, transceiver.receives = sends, receives

    @precondition(lambda self: self.browser.transceivers)
    @rule(pick=PICK)
    def browser_stops(self, pick: int) -> None:
        transceiver = self.browser.transceivers[pick % len(self.browser.transceivers)]
        transceiver.wants_stop = True

    # --- negotiation ---

    @precondition(lambda self: self.offer is None)
    @rule(restart=st.booleans())
    def browser_offers(self, restart: bool) -> None:
        self.browser.ice += restart
        offer = self.browser.offer()
        if (
            all(line.stopped or line.wants_stop for line in self.browser.pending or ())
            and not self.session.remote
        ):
            self.browser.rollback()
            return  # an offer without any line in use would be refused
        self.session.apply_offer(offer)
        if self.session.remote_restarted:
            self.restarts += 1
            self.session.restart_ice(local_transport(self.restarts))
        self.browser.receive_answer(self.session.create_answer())
        self.check_agreement()

    @precondition(lambda self: self.offer is None)
    @rule()
    def we_offer(self) -> None:
        self.offer = self.session.create_offer()

    @precondition(lambda self: self.offer is not None)
    @rule(glare=st.booleans())
    def browser_answers(self, glare: bool) -> None:
        assert self.offer is not None
        if glare:
            self.browser.offer()
        self.session.apply_answer(self.browser.answer(self.offer))
        self.offer = None
        self.check_agreement()

    @precondition(lambda self: self.offer is not None)
    @rule(applied=st.booleans())
    def answer_is_lost(self, applied: bool) -> None:
        assert self.offer is not None
        if applied:
            self.browser.answer(self.offer)
        self.offer = None
        active = [sender.active for sender in self.held]
        self.session.rollback()
        assert [sender.active for sender in self.held] == active

    def check_agreement(self) -> None:
        """After every complete exchange both sides have agreed on the same."""
        self.held = [sender for sender in self.held if not sender.stopped]
        by_mid = {line.mid: line for line in self.browser.lines if not line.stopped}
        for sender in self.session.send_slots:
            if sender.active:
                assert by_mid[sender.mid].track == str(sender.msid)
                assert sender.codecs
                assert sender.extensions
            elif sender.mid in by_mid and sender.msid is None and not self.session.needs_offer:
                assert by_mid[sender.mid].track is None
        for receiver in self.session.receivers:
            line = by_mid[receiver.mid]
            if line.agreed_to_send:
                assert receiver.active
                assert receiver.ssrcs == (line.ssrc,)

    @invariant()
    def the_number_of_lines_never_shrinks(self) -> None:
        lines = len(self.browser.lines)
        assert lines >= self.lines
        self.lines = lines

    @invariant()
    def slots_keep_their_ssrcs_which_are_unique(self) -> None:
        for sender in self.keep:
            assert self.ssrcs[id(sender)] == (sender.ssrc, sender.rtx_ssrc)
        living = [ssrc for sender in self.session.send_slots for ssrc in (sender.ssrc, sender.rtx_ssrc) if ssrc]
        assert len(set(living)) == len(living)

    def teardown(self) -> None:
        """Two complete exchanges are enough to negotiate everything that the browser is willing to receive."""
        if self.offer is not None:
            self.session.rollback()
        for _ in range(3):
            if self.session.needs_offer:
                self.session.apply_answer(self.browser.answer(self.session.create_offer()))
        assert not self.session.needs_offer
        willing = {line.mid for line in self.browser.lines if line.receives and not line.stopped}
        for sender in self.held:
            if not sender.stopped and sender.mid in willing:
                assert sender.active


Call.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestCall = Call.TestCase
