"""Sixteen times the input takes a parser about sixteen times as long, whatever the input is made of.

Here are the parsers of input without a small maximum length; payload descriptors and the like end by
themselves.

Processor time is compared, the best of three, and a factor of four is allowed on top: quadratic time would
take sixteen times as long again.
"""

import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from sfu.dtls.extensions import decode_u16_list
from sfu.dtls.messages import CertificateChain, ClientHello
from sfu.errors import BadPacket
from sfu.ice import StunMessage
from sfu.rtp import RtpPacket, parse_compound, parse_red
from sfu.rtp.codecs import av1, h264
from sfu.sdp import BundleSession, LocalTransport, SessionDescription
from sfu.sdp.attribute_table import MAX_SESSION_REPEATS

GROWTH = 16
ALLOWANCE = 4
LEAST = 0.002
"""Seconds below which a time says nothing."""

Parser = Callable[[int], object]
"""Parses something of about so many bytes."""


def rtp(size: int) -> object:
    """A packet of one-byte extension elements."""
    words = min(size // 4, 0xFFFF)
    return RtpPacket.parse(b"\x90" + bytes(11) + b"\xbe\xde" + words.to_bytes(2) + b"\x10\x00" * 2 * words)


def rtp_padding(size: int) -> object:
    """An extension block of nothing but padding."""
    words = min(size // 4, 0xFFFF)
    return RtpPacket.parse(b"\x90" + bytes(11) + b"\x10\x00" + words.to_bytes(2) + bytes(4 * words))


def receiver_reports(size: int) -> object:
    """A compound of the shortest packets."""
    return parse_compound(bytes.fromhex("80c90001 00000001") * (size // 8))


def nack(size: int) -> object:
    """One NACK that asks for 17 packets with every four bytes."""
    return parse_compound(
        b"\x81\xcd" + (size // 4 + 2).to_bytes(2) + bytes(8) + b"\x00\x00\xff\xff" * (size // 4)
    )


def chunks(size: int) -> object:
    """SDES packets of 31 chunks each."""
    packet = b"\x9f\xca\x00\x3e" + (bytes(4) + b"\x01\x01a\x00") * 31
    return parse_compound(packet * (size // len(packet) + 1))


def feedback(size: int) -> object:
    """Transport-wide feedback of vectors of seven packets, none of which came."""
    count = min(size // 4 * 14, 0xFFFF // 14 * 14)
    body = bytes(10) + count.to_bytes(2) + bytes(4) + b"\xc0\x00" * (count // 7)
    return parse_compound(b"\x8f\xcd" + (len(body) // 4).to_bytes(2) + body)


def stun(size: int) -> object:
    """Attributes without a value."""
    body = b"\x80\x55\x00\x00" * (size // 4)
    return StunMessage.parse(b"\x00\x01" + len(body).to_bytes(2) + b"\x21\x12\xa4\x42" + bytes(12) + body)


def hello(size: int) -> object:
    """Extensions without content, each of a type of its own."""
    extensions = b"".join(number.to_bytes(2) + b"\x00\x00" for number in range(size // 4))
    start = b"\xfe\xfd" + bytes(32) + b"\x00\x00\x00\x02\xc0\x2b\x01\x00"
    return ClientHello.parse(start + len(extensions).to_bytes(2) + extensions)


def certificates(size: int) -> object:
    """A chain of the shortest certificates."""
    chain = b"\x00\x00\x01x" * (size // 4)
    return CertificateChain.parse(len(chain).to_bytes(3) + chain)


def groups(size: int) -> object:
    """A list of numbers."""
    return decode_u16_list((size & ~1).to_bytes(2) + bytes(size & ~1))


def description(lines: str) -> Parser:
    """A parser of descriptions that go on with `lines`, over and over."""

    def parse(size: int) -> object:
        head = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
        return SessionDescription.parse(head + lines * (size // len(lines)))

    return parse


def answer(size: int) -> object:
    """Answer an offer with the maximum number of m-lines and attributes."""
    lines = range(min(size // 96, 512))
    head = f"v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE {' '.join(map(str, lines))}\n"
    head += f"a=ice-ufrag:name\na=ice-pwd:{'p' * 22}\na=fingerprint:sha-256 AB\na=setup:actpass\n"
    head += "a=extmap:1 urn:x\n" * MAX_SESSION_REPEATS
    media = "m=video 9 UDP/TLS/RTP/SAVPF 96\na=mid:{}\na=sendrecv\na=rtcp-mux\na=rtpmap:96 VP8/90000\n"
    ours = LocalTransport("name", "p" * 22, "sha-256 AB")
    session = BundleSession(ours, session_id=1, make_ssrc=iter(range(1)).__next__)
    session.apply_offer(head + "".join(map(media.format, lines)))
    return session.create_answer()


PARSERS: dict[str, Parser] = {
    "rtp": rtp,
    "rtp-padding": rtp_padding,
    "red": lambda size: parse_red(b"\xef\x00\x00\x00" * (size // 4) + b"\x6f"),
    "av1": lambda size: av1.Av1Payload.parse(b"\x00" + b"\x01\x08" * (size // 2)).starting_obus(),
    "h264": lambda size: h264.starting_units(b"\x18" + b"\x00\x01\x05" * (size // 3)),
    "receiver-reports": receiver_reports,
    "nack": nack,
    "sdes": chunks,
    "transport-feedback": feedback,
    "stun": stun,
    "client-hello": hello,
    "certificates": certificates,
    "groups": groups,
    "sdp-attributes": description("a=x:y\r\n"),
    "sdp-media": description("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:a\r\na=rtpmap:111 opus/48000/2\r\n"),
    "sdp-formats": description("a=rtpmap:96 VP8/90000\r\na=fmtp:96 a=b;c=d\r\na=rtcp-fb:96 nack pli\r\n"),
    "sdp-ssrcs": description("a=ssrc:1 cname:c\r\na=ssrc-group:FID 1 2\r\n"),
    "sdp-answer": answer,
    "sdp-candidates": description("a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"),
}


def seconds(parse: Parser, size: int) -> float:
    """The best time of three."""
    best = float("inf")
    for _ in range(3):
        begin = time.process_time()
        with suppress(BadPacket):
            parse(size)
        best = min(best, time.process_time() - begin)
    return best


@pytest.mark.parametrize("name", PARSERS)
def test_time_grows_as_the_input_does(name: str) -> None:
    parse = PARSERS[name]
    short, long = seconds(parse, 4096 - 64), seconds(parse, GROWTH * (4096 - 64))
    assert long < max(LEAST, short * GROWTH * ALLOWANCE)
