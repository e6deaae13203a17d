"""The scripted client against a session and a transport: a publisher that is described by SDP alone."""

from dataclasses import replace
from itertools import count

from support.browser_model import CHROMIUM, FINGERPRINT, Browser
from support.client import ScriptedClient, description_of
from support.media import KEY_FRAME
from support.transport_link import SERVER, Link, certificate

from sfu.ice.candidate import host_candidates
from sfu.rtp.packet import RtpPacket
from sfu.sdp import BundleSession, LocalTransport


def negotiate(link: Link) -> Browser:
    """The client publishes audio and video: its offer, our answer."""
    candidates = tuple(map(str, host_candidates([SERVER.host], SERVER.port)))
    session = BundleSession(
        LocalTransport(*link.transport.credentials, certificate(1).fingerprint(), candidates),
        session_id=1,
        make_ssrc=count(1).__next__,
    )
    browser = Browser(numbers=CHROMIUM)
    browser.add("audio", receives=False)
    browser.add("video", receives=False)
    session.apply_offer(link.client.own(browser.offer()))
    answer = session.create_answer()
    browser.receive_answer(answer)
    link.client.set_remote(description_of(answer), link.now)
    assert session.remote is not None
    link.transport.set_remote(session.remote, link.now)
    link.transport.set_receivers(session.receivers, link.now)
    return browser


def test_published_video_arrives() -> None:
    link = Link()
    browser = negotiate(link)
    link.run_until(lambda: link.client.connected, 5.0)
    [video] = [transceiver for transceiver in browser.transceivers if transceiver.kind == "video"]
    packet = RtpPacket(96, True, 1, 3000, video.ssrc, (), (), KEY_FRAME)
    link.client.send_rtp(packet)
    link.client.send_rtp(replace(packet, sequence_number=2))
    link.run(0.1)
    assert [media.rtp.sequence_number for media in link.media] == [1, 2]
    assert link.media[0].key_frame
    assert link.media[0].stream.mid == video.mid


def test_description_gets_the_clients_transport() -> None:
    client = Link().client
    text = (
        f"a=ice-ufrag:x\r\na=ice-pwd:y\r\na=fingerprint:{FINGERPRINT}\r\na=setup:active\r\na=setup:actpass\r\n"
    )
    assert client.own(text) == (
        f"a=ice-ufrag:{client.credentials.ufrag}\r\n"
        f"a=ice-pwd:{client.credentials.pwd}\r\n"
        f"a=fingerprint:{certificate(2).fingerprint()}\r\n"
        "a=setup:active\r\n"
        "a=setup:actpass\r\n"
    )


def test_passive_client_says_so_in_answers() -> None:
    client = ScriptedClient(random=bytes, now=0.0, certificate=certificate(2), dtls_role="server")
    assert client.own("a=setup:active\n") == "a=setup:passive\n"
