"""Session descriptions: only SdpError escapes, printing is stable, and a session answers what it accepts.

Whatever parses prints to text that parses to the same. A session that refuses an offer or answer is as
before; one that accepts it answers and offers descriptions that parse, one m-line for each of the client's.
"""

import itertools

from sfu.sdp import BundleSession, Codec, LocalTransport, SdpError, SessionDescription

MAX_INPUT = 16 * 1024
"""Bytes: an offer of a browser for a handful of tracks."""

TRANSPORT = LocalTransport(
    "fuzz", "x" * 22, "sha-256 " + ":".join(["AB"] * 32), ("1 1 udp 1 192.0.2.2 9 typ host",)
)
TRACKS = (Codec(111, "opus", 48000, 2), Codec(96, "VP8", 90000, rtx_payload_type=97))


def one_input(data: bytes) -> None:
    """Check the invariants on one text, in every role that a description can have."""
    text = data.decode("utf-8", "replace")
    try:
        description = SessionDescription.parse(text)
    except SdpError:
        return
    assert SessionDescription.parse(str(description)) == description
    ssrcs = itertools.count(1)
    session = BundleSession(TRANSPORT, session_id=1, make_ssrc=lambda: next(ssrcs))
    _offer_it(session, description)
    _answer_with_it(session, description)
    _offer_it(session, description)


def _offer_it(session: BundleSession, description: SessionDescription) -> None:
    before = (session.receivers, session.remote)
    try:
        session.apply_offer(description)
    except SdpError:
        assert (session.receivers, session.remote) == before
        return
    for kind, codec in zip(("audio", "video"), TRACKS, strict=True):
        session.acquire_slot("audio" if kind == "audio" else "video", "peer", "track", [codec], "peer")
    if session.remote_restarted:
        session.restart_ice(TRANSPORT)
    answer = SessionDescription.parse(session.create_answer())
    assert len(answer.media) == len(description.media)


def _answer_with_it(session: BundleSession, description: SessionDescription) -> None:
    session.acquire_slot("video", "peer", "track", [TRACKS[1]], "peer")
    offer = SessionDescription.parse(session.create_offer())
    for media in (media for media in offer.media if not media.stopped):
        assert len(set(media.formats)) == len(media.formats) >= 1
        assert len({entry.id for entry in media.extensions}) == len(media.extensions)
    try:
        session.apply_answer(description)
    except SdpError:
        session.rollback()
