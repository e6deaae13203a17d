from sfu.rtp.rtcp import (
    GenericNack,
    PictureLossIndication,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SdesItem,
    SenderReport,
    SourceDescription,
    feedback_for,
    parse_compound,
)
from sfu.rtp.srtp import MAX_RTCP_PLAINTEXT
from sfu.transport.rtcp_datagrams import MAX_COMPOUND, feedback_datagrams, report_datagrams


def block(ssrc: int) -> ReportBlock:
    return ReportBlock(ssrc, 0, 0, 0, 0, 0, 0)


def sender_report(ssrc: int) -> SenderReport:
    return SenderReport(ssrc, 1, 2, 3, 4)


def test_nothing_to_report_makes_no_datagram() -> None:
    assert report_datagrams([], [], 1, "us") == []
    assert feedback_datagrams([], 1, "us") == []


def test_reports_of_senders_and_blocks_share_a_datagram() -> None:
    [data] = report_datagrams([(sender_report(7), "them")], [block(9)], 1, "us")
    first, second, description = parse_compound(data)
    assert first == sender_report(7)
    assert second == ReceiverReport(1, (block(9),))
    assert isinstance(description, SourceDescription)
    names = {chunk.ssrc: chunk.item(SdesItem.CNAME) for chunk in description.chunks}
    assert names == {7: b"them", 1: b"us"}


def test_many_reports_are_several_whole_compounds() -> None:
    senders = [(sender_report(ssrc), "a name of some length") for ssrc in range(100, 160)]
    blocks = [block(ssrc) for ssrc in range(200, 300)]
    datagrams = report_datagrams(senders, blocks, 1, "us")
    seen: list[SenderReport] = []
    blocks_seen: list[ReportBlock] = []
    for data in datagrams:
        assert len(data) <= MAX_COMPOUND
        *head, description = parse_compound(data)
        assert isinstance(description, SourceDescription)
        named = [chunk.ssrc for chunk in description.chunks]
        for report in head:
            assert isinstance(report, SenderReport | ReceiverReport)
            assert report.ssrc in named
            blocks_seen += report.reports
            if isinstance(report, SenderReport):
                seen.append(report)
    assert seen == [report for report, _ in senders]
    assert blocks_seen == blocks


def test_source_descriptions_are_within_their_count() -> None:
    datagrams = report_datagrams([(sender_report(ssrc), "") for ssrc in range(40)], [], 1, "us")
    assert sum(len(parse_compound(data)) - 1 for data in datagrams) == 40


def test_feedback_follows_a_report_and_the_cname() -> None:
    asked: list[RtcpPacket] = [GenericNack(1, 7, (3, 4)), PictureLossIndication(1, 7)]
    [data] = feedback_datagrams(asked, 1, "us")
    report, description, *rest = parse_compound(data)
    assert report == ReceiverReport(1)
    assert isinstance(description, SourceDescription)
    assert rest == asked


def test_long_feedback_is_split_between_packets() -> None:
    asked = [GenericNack(1, ssrc, tuple(range(0, 1000, 20))) for ssrc in range(20)]
    datagrams = feedback_datagrams(asked, 1, "us")
    assert len(datagrams) > 1
    assert all(len(data) <= MAX_COMPOUND for data in datagrams)
    assert [packet for data in datagrams for packet in parse_compound(data)[2:]] == asked


def test_nack_of_scattered_losses_is_several_nacks() -> None:
    nack = GenericNack(1, 7, tuple(range(0, 500 * 17, 17)))
    datagrams = feedback_datagrams([nack], 1, "us")
    assert all(len(data) <= MAX_COMPOUND for data in datagrams)
    nacks = [packet for data in datagrams for packet in parse_compound(data)[2:]]
    assert {type(packet) for packet in nacks} == {GenericNack}
    assert [number for packet in nacks if isinstance(packet, GenericNack) for number in packet.lost] == [
        *nack.lost
    ]


def test_longest_transport_wide_feedback_fits() -> None:
    # 500 packets, every other lost, whose arrivals are too far apart for one byte each.
    arrivals = [(number, number * 0.05) for number in range(0, 1000, 2)]
    messages = feedback_for(arrivals, first=0, sender_ssrc=1, media_ssrc=2, feedback_count=0)
    datagrams = feedback_datagrams(messages, 1, "a name of 16 byte")
    assert max(map(len, datagrams)) <= MAX_RTCP_PLAINTEXT
