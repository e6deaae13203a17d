"""Which stream a packet belongs to: RFC 9143 section 9.2, case by case."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.rtp import extensions
from sfu.rtp.packet import RtpPacket
from sfu.sdp.codecs import Codec
from sfu.sdp.mline import Receiver
from sfu.transport.events import SsrcReleased
from sfu.transport.stream_table import MAX_IDLE, MAX_RETIRED, REPLACE_AFTER, StreamTable

MID, RID, REPAIRED = 1, 2, 3
IDS = {MID: extensions.MID.uri, RID: extensions.RID.uri, REPAIRED: extensions.REPAIRED_RID.uri}
VP8 = Codec(96, "VP8", 90000, feedback=frozenset({"nack", "nack pli"}), rtx_payload_type=97)
OPUS = Codec(111, "opus", 48000, 2)
AUDIO = Receiver("0", "audio", active=True, codecs=(OPUS,), extensions=IDS)
VIDEO = Receiver("1", "video", active=True, codecs=(VP8,), extensions=IDS)
SCREEN = Receiver("2", "video", active=True, codecs=(VP8,), extensions=IDS)


def packet(ssrc: int, payload_type: int = 96, **names: str) -> RtpPacket:
    ids = {"mid": MID, "rid": RID, "rrid": REPAIRED}
    elements = tuple((ids[name], value.encode()) for name, value in names.items())
    return RtpPacket(payload_type, False, 1, 2, ssrc, (), elements, b"x")


class Table:
    """A table with what its owner takes from it."""

    def __init__(self, *receivers: Receiver) -> None:
        self.drops: Counter[str] = Counter()
        self.table = StreamTable(local_ssrc=1, drops=self.drops, history_depth=4)
        self._events: list[tuple[str, int]] = []
        self._released: list[int] = []
        self.negotiate(*receivers)

    def negotiate(self, *receivers: Receiver, now: float = 0.0) -> None:
        self.table.set_receivers(receivers, now)

    def associate(self, packet: RtpPacket, now: float = 10.0) -> bool:
        """Whether the packet's SSRC is associated now, or was before."""
        known = packet.ssrc in self.table.media or packet.ssrc in self.table.repairs
        return known or self.table.associate(packet, now)

    def streams(self) -> list[tuple[int, str | None, str | None, int | None]]:
        return [(s.ssrc, s.mid, s.rid, s.rtx_ssrc) for s in self.table.streams()]

    def released(self) -> list[int]:
        self._take()
        released, self._released = self._released, []
        return released

    def events(self) -> list[tuple[str, int]]:
        self._take()
        events, self._events = self._events, []
        return events

    def _take(self) -> None:
        for event in self.table.events():
            if isinstance(event, SsrcReleased):
                self._released.append(event.ssrc)
            else:
                self._events.append((type(event).__name__, event.stream.ssrc))


def test_announced_ssrc_needs_no_extension() -> None:
    table = Table(replace(VIDEO, ssrcs=(10,), rtx_ssrcs={10: 11}), replace(SCREEN, ssrcs=(20,)))
    assert table.associate(packet(10))
    assert table.associate(packet(20))
    assert table.streams() == [(10, "1", None, 11), (20, "2", None, None)]
    assert table.events() == [("StreamStarted", 10), ("StreamStarted", 20)]
    [first, _] = table.table.streams()
    assert first.local_ssrc == 1
    assert first.codecs == (VP8,)


def test_announced_rtx_makes_its_stream_known() -> None:
    table = Table(replace(VIDEO, ssrcs=(10,), rtx_ssrcs={10: 11}))
    assert table.associate(packet(11, 97))
    assert table.streams() == [(10, "1", None, 11)]
    assert table.table.repairs[11] is table.table.media[10]


def test_the_mid_names_the_m_line() -> None:
    table = Table(AUDIO, VIDEO, SCREEN)
    assert table.associate(packet(20, mid="2"))
    assert table.associate(packet(10, mid="1"))
    assert table.associate(packet(11, 97, mid="1"))
    assert table.streams() == [(20, "2", None, None), (10, "1", None, 11)]


def test_a_payload_type_identifies_the_m_line_if_only_one_has_it() -> None:
    table = Table(AUDIO, VIDEO, SCREEN)
    assert table.associate(packet(30, 111))
    assert not table.associate(packet(10, 96))
    assert not table.associate(packet(10, 50))
    assert table.streams() == [(30, "0", None, None)]
    assert table.drops == {"rtp-unknown-ssrc": 2}
    assert table.released() == [10, 10]


def test_simulcast_encodings_are_told_apart_by_rid() -> None:
    table = Table(replace(VIDEO, rids=("h", "l")))
    assert table.associate(packet(10, mid="1", rid="h"))
    assert not table.associate(packet(22, 97, mid="1", rrid="l"))
    assert table.associate(packet(20, mid="1", rid="l"))
    assert table.associate(packet(21, 97, mid="1", rrid="l"))
    assert not table.associate(packet(30, mid="1", rid="m"))
    assert not table.associate(packet(30, mid="1"))
    assert table.streams() == [(10, "1", "h", None), (20, "1", "l", 21)]
    assert table.drops == {"rtp-unknown-rtx": 1, "rtp-unknown-rid": 2}


def test_unknown_and_inactive_m_lines() -> None:
    table = Table(VIDEO, replace(SCREEN, active=False))
    assert not table.associate(packet(10, mid="7"))
    assert not table.associate(packet(10, mid="2"))
    assert table.drops == {"rtp-unknown-mid": 1, "rtp-inactive-mid": 1}


def test_packets_for_an_m_line_without_codecs_are_dropped() -> None:
    table = Table(replace(VIDEO, codecs=()))
    assert not table.associate(packet(10, mid="1"))
    assert table.drops == {"rtp-unknown-ssrc": 1}


def test_malformed_mid_is_counted() -> None:
    table = Table(VIDEO)
    bad = RtpPacket(96, False, 1, 2, 10, (), ((MID, b"\xff"),), b"x")
    assert not table.associate(bad)
    assert table.drops == {"rtp-ext-text": 1}


# Changes


def test_second_ssrc_takes_over_only_from_a_silent_stream() -> None:
    table = Table(VIDEO)
    table.associate(packet(10, mid="1"))
    table.associate(packet(11, 97, mid="1"))
    table.table.media[10].newest_arrival = 10.0
    table.events()
    assert not table.associate(packet(20, mid="1"), now=10.0 + REPLACE_AFTER - 0.1)
    assert table.drops == {"rtp-second-ssrc": 1}
    assert table.released() == [20]
    assert table.associate(packet(20, mid="1"), now=10.0 + REPLACE_AFTER)
    assert table.streams() == [(20, "1", None, None)]
    assert table.events() == [("StreamEnded", 10), ("StreamStarted", 20)]
    assert table.released() == [10, 11]
    assert not table.associate(packet(10, mid="1"), now=100.0)
    assert table.drops["rtp-retired-ssrc"] == 1
    assert table.released() == [10]


def test_new_rtx_ssrc_replaces_the_old() -> None:
    table = Table(VIDEO)
    table.associate(packet(10, mid="1"))
    table.associate(packet(11, 97, mid="1"))
    assert table.associate(packet(12, 97, mid="1"))
    assert table.table.media[10].rtx_ssrc == 12
    assert set(table.table.repairs) == {12}
    assert table.released() == [11]


def test_renegotiated_codecs_reach_the_stream() -> None:
    table = Table(VIDEO)
    table.associate(packet(10, mid="1"))
    [stream] = table.table.streams()
    other = replace(VP8, payload_type=100)
    table.negotiate(replace(VIDEO, codecs=(other, VP8)))
    assert stream.codecs == (other, VP8)
    table.negotiate(replace(VIDEO, codecs=(other,), extensions={5: extensions.MID.uri}))
    assert stream.extensions == {5: extensions.MID.uri}
    assert table.streams() == [(10, "1", None, None)]
    assert table.released() == []


def test_an_inactive_m_line_ends_the_stream_and_keeps_its_decryption_state() -> None:
    announced = replace(VIDEO, ssrcs=(10,), rtx_ssrcs={10: 11})
    table = Table(announced)
    table.associate(packet(10))
    table.events()
    table.negotiate(replace(announced, active=False))
    assert table.events() == [("StreamEnded", 10)]
    assert table.streams() == []
    assert table.released() == []
    table.negotiate(announced)
    assert table.associate(packet(10))
    assert table.streams() == [(10, "1", None, 11)]


def test_after_a_pause_packets_need_no_mid() -> None:
    """Once a report about an SSRC has come, browsers leave MID and RID out, and do not send them again."""
    simulcast = replace(VIDEO, rids=("h", "l"))
    table = Table(simulcast, SCREEN)
    for first in (packet(10, mid="1", rid="h"), packet(11, 97, mid="1", rrid="h"), packet(20, mid="2")):
        assert table.associate(first)
    table.negotiate(replace(simulcast, active=False), replace(SCREEN, active=False))
    assert not table.associate(packet(10))
    assert table.drops == {"rtp-inactive-mid": 1}
    table.negotiate(simulcast, SCREEN)
    assert table.associate(packet(10))
    assert table.associate(packet(11, 97))
    assert table.associate(packet(20))
    assert table.streams() == [(10, "1", "h", 11), (20, "2", None, None)]
    assert table.released() == []


def test_unannounced_rtx_goes_on_after_a_negotiation() -> None:
    table = Table(replace(VIDEO, ssrcs=(10,)), SCREEN)
    table.associate(packet(10))
    table.associate(packet(11, 97, mid="1"))
    table.negotiate(replace(VIDEO, ssrcs=(10,)), SCREEN)
    assert table.released() == []
    assert table.streams() == [(10, "1", None, 11)]
    assert table.associate(packet(12, 97, mid="1"))
    assert table.released() == [11]
    assert table.streams() == [(10, "1", None, 12)]
    # It is something else if that is what the next description says.
    table.negotiate(replace(VIDEO, ssrcs=(10,)), replace(SCREEN, ssrcs=(12,)))
    assert table.streams() == [(10, "1", None, None)]
    assert table.released() == [12]
    assert table.associate(packet(12))
    table.negotiate(replace(VIDEO, ssrcs=(10, 20), rtx_ssrcs={10: 21}))
    table.associate(packet(21, 97))
    table.negotiate(replace(VIDEO, ssrcs=(10, 20), rtx_ssrcs={20: 21}))
    table.associate(packet(20))
    assert table.streams() == [(10, "1", None, None), (20, "1", None, 21)]


@pytest.mark.parametrize("rtx_ssrcs", [{10: 10}, {10: 11, 11: 12}])
def test_an_ssrc_for_a_stream_and_its_rtx_ends_once(rtx_ssrcs: dict[int, int]) -> None:
    table = Table(replace(VIDEO, ssrcs=(10,), rtx_ssrcs=rtx_ssrcs))
    for ssrc in (12, 11, 10):
        table.associate(packet(ssrc, mid="1"))
    assert table.associate(packet(30, mid="1"), now=100.0)
    assert table.streams() == [(30, "1", None, None)]
    released = table.released()
    assert len(released) == len(set(released))


def test_m_line_that_is_gone_releases_everything() -> None:
    table = Table(replace(VIDEO, ssrcs=(10,), rtx_ssrcs={10: 11}))
    table.associate(packet(10))
    table.negotiate(AUDIO)
    assert table.streams() == []
    assert sorted(table.released()) == [10, 11]


def test_other_ssrcs_in_a_description_replace_the_old() -> None:
    table = Table(replace(VIDEO, ssrcs=(10,), rtx_ssrcs={10: 11}))
    table.associate(packet(10))
    table.negotiate(replace(VIDEO, ssrcs=(20,), rtx_ssrcs={20: 21}))
    assert sorted(table.released()) == [10, 11]
    assert not table.associate(packet(10, mid="1"))
    assert table.drops == {"rtp-retired-ssrc": 1}
    assert table.associate(packet(20))
    # Announced again it may come back: the description is authentic.
    table.negotiate(replace(VIDEO, ssrcs=(10,)))
    assert table.associate(packet(10))


def test_ssrc_that_moves_to_another_m_line_is_another_stream() -> None:
    table = Table(replace(VIDEO, ssrcs=(10,)), SCREEN)
    table.associate(packet(10))
    table.negotiate(VIDEO, replace(SCREEN, ssrcs=(10,)))
    assert table.streams() == []
    table.associate(packet(10))
    assert table.streams() == [(10, "2", None, None)]


def test_encodings_that_change_end_their_streams() -> None:
    table = Table(replace(VIDEO, rids=("h", "l")))
    table.associate(packet(10, mid="1", rid="h"))
    table.associate(packet(20, mid="1", rid="l"))
    table.negotiate(replace(VIDEO, rids=("h",)))
    assert table.streams() == [(10, "1", "h", None)]
    table.negotiate(VIDEO)
    assert table.streams() == []
    table.associate(packet(30, mid="1"))
    table.negotiate(replace(VIDEO, rids=("h",)))
    assert table.streams() == []


def test_close_ends_all() -> None:
    table = Table(AUDIO, VIDEO)
    table.associate(packet(10, mid="1"))
    table.associate(packet(30, 111))
    table.events()
    table.table.close(20.0)
    assert table.events() == [("StreamEnded", 10), ("StreamEnded", 30)]
    assert table.table.repairs == {}


# Bounds


def test_thousands_of_ssrcs_leave_no_trace() -> None:
    table = Table(AUDIO, VIDEO)
    for ssrc in range(100, 5000):
        table.associate(packet(ssrc, mid="1"), now=10.0 * ssrc)
    assert len(table.table.media) == 1
    assert len(table.table._associated) == 1
    assert len(table.table._retired) == MAX_RETIRED


def test_unannounced_ssrcs_over_many_pauses_are_bounded() -> None:
    table = Table(VIDEO)
    for ssrc in range(100, 200):
        table.negotiate(replace(VIDEO, active=False))
        table.negotiate(VIDEO)
        assert table.associate(packet(ssrc, mid="1"))
    assert len(table.table._associated) == MAX_IDLE + 1
    assert len(table.released()) == 99 - MAX_IDLE


receivers = st.builds(
    replace,
    st.sampled_from([AUDIO, VIDEO, SCREEN]),
    active=st.booleans(),
    ssrcs=st.sampled_from([(), (10,), (20,), (10, 20)]),
    rtx_ssrcs=st.sampled_from([{}, {10: 11}, {20: 21}, {10: 10}, {10: 11, 11: 20}]),
    rids=st.sampled_from([(), ("h", "l"), ("h",)]),
)
names = st.fixed_dictionaries(
    {}, optional={"mid": st.sampled_from("012"), "rid": st.sampled_from("hl"), "rrid": st.sampled_from("hl")}
)
packets = st.builds(
    lambda ssrc, payload_type, names: packet(ssrc, payload_type, **names),
    st.sampled_from([10, 11, 20, 21, 30, 31]),
    st.sampled_from([96, 97, 111]),
    names,
)


@given(st.lists(st.lists(receivers, max_size=3, unique_by=lambda r: r.mid) | packets, max_size=40))
def test_the_tables_agree_after_any_packets(steps: list[list[Receiver] | RtpPacket]) -> None:
    table = Table()
    open_streams: set[int] = set()
    held: set[int] = set()
    for now, step in enumerate(steps):
        if isinstance(step, list):
            table.negotiate(*step, now=float(now))
        else:
            held.add(step.ssrc)
            assert table.associate(step, now=float(now)) == (
                step.ssrc in table.table.media or step.ssrc in table.table.repairs
            )
        for name, ssrc in table.events():
            if name == "StreamStarted":
                assert ssrc not in open_streams
                open_streams.add(ssrc)
            else:
                open_streams.remove(ssrc)
        held -= set(table.released())
        assert open_streams == set(table.table.media)
        for ssrc, stream in table.table.media.items():
            assert stream.ssrc == ssrc
            assert stream.rtx_ssrc is None or table.table.repairs[stream.rtx_ssrc] is stream
        for ssrc, stream in table.table.repairs.items():
            assert stream.rtx_ssrc == ssrc
            assert table.table.media[stream.ssrc] is stream
        # What decrypts an SSRC is kept exactly for those that may still be used.
        assert held <= set(table.table._associated)


@pytest.mark.parametrize("receiver", [VIDEO, AUDIO])
def test_kind_is_the_m_lines(receiver: Receiver) -> None:
    table = Table(receiver)
    table.associate(packet(10, receiver.codecs[0].payload_type))
    [stream] = table.table.streams()
    assert stream.kind == receiver.kind
