"""ICE, DTLS and SRTP joined, against the scripted client."""

import dataclasses
from random import Random

import pytest
from support.client import Remote, ScriptedClient
from support.transport_link import Link, certificate, fingerprint

from sfu.dtls import ConnectionState
from sfu.dtls.srtp import SrtpProtectionProfile
from sfu.ice import attributes as a
from sfu.ice.agent import DISCONNECTED_AFTER, FAILED_AFTER
from sfu.ice.credentials import Credentials
from sfu.ice.events import IceState, PathSelected, PathValidated, StateChanged
from sfu.ice.lite import IceLiteAgent
from sfu.ice.path import Address, IcePath
from sfu.ice.stun import MessageClass, StunMessage
from sfu.rtp.packet import RtpPacket
from sfu.rtp.rtcp import Goodbye, ReceiverReport
from sfu.rtp.srtp import PROFILES
from sfu.sdp.attributes import Fingerprint
from sfu.transport.events import Secured, TransportClosed, TransportFailed
from sfu.transport.secure import SecureChannel

ELSEWHERE = Address("203.0.113.9", 60000)
RTP = RtpPacket(96, False, 1, 2, 3, (), (), b"payload")


def test_dtls_and_srtp_agree_on_the_lengths_of_keys() -> None:
    """Each of the two packages can be used without the other, so each has its own table."""
    assert {profile.name for profile in SrtpProtectionProfile} == set(PROFILES)
    for profile in SrtpProtectionProfile:
        row = PROFILES[profile.name]
        assert (profile.key_length, profile.salt_length) == (row.key_length, row.salt_length)


def client(**options: object) -> ScriptedClient:
    return ScriptedClient(random=Random(7).randbytes, now=100.0, certificate=certificate(2), **options)  # type: ignore[arg-type]


def drops(link: Link) -> dict[str, int]:
    return dict(link.transport.statistics().drops)


def sends_along(link: Link) -> IcePath | None:
    """Where media to the client would go."""
    send_context = link.transport.send_context
    assert (send_context.srtp is None) == (send_context.path is None)
    return send_context.path


def test_nothing_is_sent_twice() -> None:
    link = Link()
    link.describe()
    transport, client, now = link.transport, link.client, link.now
    for nominate in (False, True):
        transport.receive(client.check(nominate=nominate), link.path, now)
        assert len(transport.outgoing(now)) == 1
        assert transport.outgoing(now) == []
    client.dtls.start(now)
    for data in client.dtls.outgoing(now):
        transport.receive(data, link.path, now)
    assert transport.outgoing(now) != []
    assert transport.outgoing(now) == []
    transport.close(now)
    assert transport.outgoing(now) != []
    assert transport.outgoing(now) == []


@pytest.mark.parametrize("profile", SrtpProtectionProfile)
def test_call_is_secured_with_every_profile(profile: SrtpProtectionProfile) -> None:
    link = Link(client=client(srtp_profiles=(profile,))).connect()
    secured = [event for event in link.events if isinstance(event, Secured)]
    assert [event.srtp_profile for event in secured] == [profile.name]
    assert link.transport.selected == link.path
    assert link.transport.send_context.path == link.path
    assert drops(link) == {}


def test_the_server_is_dtls_client_of_a_passive_peer() -> None:
    link = Link(client=client(dtls_role="server")).connect()
    assert link.transport.send_context.path == link.path


def test_first_description_may_be_active_and_the_next_passive() -> None:
    link = Link(client=client(dtls_role="server"))
    remote = link.remote_of_client()
    link.transport.set_remote(dataclasses.replace(remote, setup="actpass"), link.now)
    link.connect()
    assert link.client.dtls.state is ConnectionState.CONNECTED
    # Once the roles are settled a description does not change them.
    link.transport.set_remote(dataclasses.replace(remote, setup="active"), link.now)
    link.run(1.0)
    assert not link.transport.ended


def test_a_role_that_changes_before_there_is_a_path_is_used() -> None:
    link = Link()
    passive = dataclasses.replace(link.remote_of_client(), setup="passive")
    link.transport.set_remote(passive, link.now)
    link.connect()
    assert link.transport.send_context.path == link.path


def test_handshake_may_be_over_before_the_description_comes() -> None:
    link = Link()
    link.client.set_remote(Remote(*link.transport.credentials, fingerprint(certificate(1))), link.now)
    link.run_until(lambda: link.client.connected, 5.0)
    link.client.send_rtp(RTP)
    link.run(0.1)
    assert not any(isinstance(event, Secured) for event in link.events)
    assert link.transport.send_context.srtp is None
    assert drops(link) == {"srtp-before-keys": 1}
    link.transport.set_remote(link.remote_of_client(), link.now)
    link.pump()
    assert isinstance(link.events[-1], Secured)
    assert link.transport.send_context.srtp is not None


def test_lost_path_stops_sending_until_another_is_checked() -> None:
    """DTLS and SRTP go on where they were: the client notices nothing but a pause."""
    link = Link()
    link.path = IcePath(None, ELSEWHERE, transport="tcp")
    link.connect()
    before = link.transport.send_context.srtp
    assert sends_along(link) == link.path
    link.transport.lose_path(link.path, link.now)
    assert sends_along(link) is None
    assert link.transport.selected is None
    assert link.transport.state is IceState.DISCONNECTED

    link.path = IcePath(None, Address("203.0.113.9", 60001), transport="tcp")
    link.run(3.0)
    assert sends_along(link) == link.path
    assert link.transport.send_context.srtp is before
    link.client.send_rtp(RTP)
    link.run(0.1)
    assert not link.transport.ended
    link.transport.close(link.now)
    link.transport.lose_path(link.path, link.now)
    assert link.transport.ended


@pytest.mark.parametrize("late", [False, True])
def test_wrong_fingerprint_ends_the_transport(late: bool) -> None:
    link = Link()
    wrong = dataclasses.replace(
        link.remote_of_client(),
        fingerprints=(Fingerprint("sha-256", fingerprint(certificate(3)).value), Fingerprint("sha-1", "AB:CD")),
    )
    link.client.set_remote(Remote(*link.transport.credentials, fingerprint(certificate(1))), link.now)
    if late:
        link.run_until(lambda: link.client.connected, 5.0)
    link.transport.set_remote(wrong, link.now)
    link.run(1.0)
    failed = [event for event in link.events if isinstance(event, TransportFailed)]
    assert [event.reason for event in failed] == ["fingerprint-mismatch"]
    # By our alert; an orderly close would leave it CLOSED.
    assert link.client.dtls.state is ConnectionState.FAILED
    assert not any(isinstance(event, Secured) for event in link.events)
    assert link.transport.ended
    assert link.transport.send_context.srtp is None
    before = drops(link).get("transport-ended", 0)
    link.client.send_rtp(RTP)
    link.client.stop_checking()
    link.run(1.0)
    assert drops(link)["transport-ended"] == before + 1
    assert link.transport.next_timeout() is None


def test_wrong_fingerprint_of_a_client_that_closes_in_the_same_datagram() -> None:
    link = Link()
    transport, dtls, now = link.transport, link.client.dtls, link.now
    link.client.set_remote(Remote(*transport.credentials, fingerprint(certificate(1))), now)
    wrong = dataclasses.replace(link.remote_of_client(), fingerprints=(fingerprint(certificate(3)),))
    transport.set_remote(wrong, now)
    transport.receive(link.client.check(nominate=True), link.path, now)
    for data, _ in transport.outgoing(now):
        link.client.receive(data, now)
    for data in dtls.outgoing(now):
        transport.receive(data, link.path, now)
    for data, _ in transport.outgoing(now):
        dtls.receive(data, now)
    dtls.close(now)
    transport.receive(b"".join(dtls.outgoing(now)), link.path, now)
    ends = [event for event in transport.events() if isinstance(event, TransportFailed | TransportClosed)]
    assert [event.reason for event in ends if isinstance(event, TransportFailed)] == ["fingerprint-mismatch"]
    assert len(ends) == 1
    assert transport.ended


def test_one_of_several_fingerprints_is_enough() -> None:
    link = Link()
    remote = link.remote_of_client()
    unknown = Fingerprint("sha-999", "AB:CD")
    link.client.set_remote(Remote(*link.transport.credentials, fingerprint(certificate(1))), link.now)
    link.transport.set_remote(
        dataclasses.replace(remote, fingerprints=(unknown, *remote.fingerprints)), link.now
    )
    link.run_until(lambda: link.transport.send_context.srtp is not None, 5.0)


def test_dtls_and_media_from_an_unvalidated_path_are_dropped() -> None:
    link = Link()
    link.describe()
    stranger = IcePath(link.path.local, ELSEWHERE)
    hello = ScriptedClient(random=Random(9).randbytes, now=0.0, certificate=certificate(2))
    hello.dtls.start(0.0)
    for data in hello.dtls.outgoing(0.0):
        link.transport.receive(data, stranger, link.now)
    link.transport.receive(b"\x80\x60" + bytes(30), stranger, link.now)
    assert link.transport.outgoing(link.now) == []
    assert drops(link) == {"unvalidated-path": 2}


def test_hostile_datagrams_change_nothing_in_a_call() -> None:
    link = Link().connect()
    random = Random(5)
    stun = StunMessage(MessageClass.REQUEST, bytes(12), ((a.USERNAME, "someone:else"),)).serialize()
    for _ in range(300):
        data = bytes([random.choice([0, 1, 22, 23, 21, 128, 129, 255])]) + random.randbytes(
            random.randrange(80)
        )
        link.transport.receive(data, link.path, link.now)
    link.transport.receive(b"", link.path, link.now)
    link.transport.receive(stun, link.path, link.now)
    assert link.transport.outgoing(link.now) == []
    counted = drops(link)
    assert counted["ice-ufrag"] == 1
    assert counted["unknown-protocol"] > 1
    assert counted["srtp-malformed"] + counted["srtp-auth"] > 1
    link.run(10.0)
    assert link.transport.state is IceState.COMPLETED
    assert link.client.drops == {}


def test_forged_and_replayed_packets_are_dropped() -> None:
    link = Link().connect()
    assert link.client.outbound is not None
    data = link.client.outbound.protect(RTP.serialize())
    link.transport.receive(data[:-1] + bytes([data[-1] ^ 1]), link.path, link.now)
    compound = link.client.outbound.protect_rtcp(ReceiverReport(1).encode())
    for _ in range(2):
        link.transport.receive(compound, link.path, link.now)
    counted = drops(link)
    assert counted["srtp-auth"] == 1
    assert counted["srtp-replay"] == 1
    assert link.transport.statistics().rtcp_packets == 1


def test_loss_duplication_and_reordering_only_delay_the_start() -> None:
    for seed in range(20):
        random = Random(seed)

        def terrible(data: bytes, random: Random = random) -> list[tuple[float, bytes]]:
            copies = random.choice([0, 1, 1, 2])
            return [(random.uniform(0.001, 0.2), data) for _ in range(copies)]

        Link(seed=seed, network=terrible).connect()


def test_peer_that_closes_is_reported() -> None:
    link = Link().connect()
    link.client.close(link.now)
    link.run(0.1)
    assert TransportClosed() in link.events
    assert link.transport.ended
    assert link.transport.send_context.srtp is None
    assert link.transport.state is IceState.CLOSED


def test_close_sends_bye_and_close_notify_once() -> None:
    link = Link().connect()
    link.transport.close(link.now)
    link.transport.close(link.now)
    link.run(0.1)
    assert [packet for packet in link.client.rtcp if isinstance(packet, Goodbye)] == [
        Goodbye((link.transport.local_ssrc,))
    ]
    assert link.client.dtls.state.value == "closed"
    assert link.events[-1] == StateChanged(IceState.CLOSED)
    sent = len(link.sent)
    link.transport.set_remote(link.remote_of_client(), link.now)
    link.transport.handle_timeout(link.now + 100.0)
    link.run(5.0)
    assert len(link.sent) == sent


def test_close_before_anything_happened() -> None:
    link = Link()
    link.transport.close(link.now)
    assert link.transport.outgoing(link.now) == []
    assert link.transport.selected is None


def test_handshake_that_is_never_answered_fails() -> None:
    link = Link(client=client(dtls_role="server"))

    def no_dtls(data: bytes) -> list[tuple[float, bytes]]:
        return [] if 20 <= data[0] <= 63 else [(0.001, data)]

    link.network = no_dtls
    link.describe()
    link.run_until(lambda: link.transport.ended, 200.0)
    [failed] = [event for event in link.events if isinstance(event, TransportFailed)]
    assert failed.reason == "dtls-timeout"


def test_silence_disconnects_and_a_check_reconnects() -> None:
    link = Link().connect()
    link.client.stop_checking()
    link.run(DISCONNECTED_AFTER + 1)
    assert link.transport.state is IceState.DISCONNECTED
    assert link.transport.send_context.path == link.path
    link.client.send_rtcp([ReceiverReport(1)])
    link.run(0.1)
    assert link.events[-1] == StateChanged(IceState.COMPLETED)


def test_lost_consent_stops_sending_and_a_restart_brings_it_back() -> None:
    link = Link().connect()
    link.client.stop_checking()
    link.run(FAILED_AFTER + 1)
    assert link.transport.state is IceState.FAILED
    assert not link.transport.ended
    assert link.transport.send_context.srtp is None
    assert link.transport.selected is None
    link.transport.restart_ice(Credentials("again", "a new password of some length"), link.now)
    link.client.restart_ice()
    link.describe()
    link.run_until(lambda: link.transport.state is IceState.COMPLETED, 5.0)
    assert link.transport.send_context.srtp is not None
    assert link.transport.send_context.path == link.path
    link.client.send_rtcp([ReceiverReport(1)])
    link.run(0.1)
    assert link.transport.statistics().rtcp_packets == 1


def test_restart_while_the_call_goes_on() -> None:
    link = Link().connect()
    old = link.transport.credentials
    new = Credentials("again", "a new password of some length")
    link.transport.restart_ice(new, link.now)
    assert link.transport.credentials == new
    assert link.transport.ufrags() == [old.ufrag, new.ufrag]
    assert link.transport.send_context.path == link.path
    link.client.restart_ice()
    link.path = IcePath(link.path.local, ELSEWHERE)
    link.describe()
    link.run(1.0)
    assert link.transport.send_context.path == link.path
    assert link.transport.ufrags() == [new.ufrag]
    link.client.send_rtcp([ReceiverReport(1)])
    link.run(0.1)
    assert link.transport.statistics().rtcp_packets == 1


def test_address_change_moves_the_call_with_its_next_check() -> None:
    link = Link().connect()
    link.path = IcePath(link.path.local, ELSEWHERE)
    link.events.clear()
    link.run(5.0)
    assert link.events == [PathValidated(link.path), PathSelected(link.path)]
    assert link.transport.send_context.path == link.path


def test_data_channel_messages_are_dropped() -> None:
    link = Link().connect()
    link.client.dtls.send(b"an SCTP packet", link.now)
    link.run(0.1)
    assert drops(link) == {"dtls-data": 1}


def test_keys_that_come_while_consent_is_lost_wait_for_a_path() -> None:
    link = Link()
    link.client.set_remote(Remote(*link.transport.credentials, fingerprint(certificate(1))), link.now)
    link.run_until(lambda: link.client.connected, 5.0)
    link.client.stop_checking()
    link.run(FAILED_AFTER + 1)
    link.transport.set_remote(link.remote_of_client(), link.now)
    assert isinstance(link.transport.events()[-1], Secured)
    assert link.transport.send_context.srtp is None
    link.transport.restart_ice(Credentials("again", "a new password of some length"), link.now)
    link.client.restart_ice()
    link.describe()
    link.run(0.5)
    assert link.transport.send_context.path == link.path


def test_channel_without_keys_has_nothing_to_forget_and_when_ended_nothing_to_do() -> None:
    channel = SecureChannel(
        IceLiteAgent(Credentials("ours", "a password of some length"), now=0.0),
        certificate(1),
        random=Random(1).randbytes,
    )
    channel.forget(1)
    channel.forget_own(1)
    channel.set_remote(Link().remote_of_client(), 0.0)
    assert channel.next_timeout() == FAILED_AFTER
    channel.close(1.0)
    channel.close(1.0)
    channel.events()
    channel.set_remote(Link().remote_of_client(), 2.0)
    channel.handle_timeout(100.0)
    assert channel.next_timeout() is None
    assert channel.events() == []
    assert channel.receive(b"\x16", IcePath(None, ELSEWHERE), 3.0) is None
    assert channel.drops == {"transport-ended": 1}
