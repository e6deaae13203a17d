"""A conference whose transports have full ICE agents: gathering, descriptions, trickling and release."""

from collections.abc import Iterator
from typing import Any

import pytest
from support.pure_conference import SERVER, PureClient, PureConference

from sfu.conference.connection import Connection
from sfu.conference.messages import Join
from sfu.conference.negotiation import ANSWER_TIMEOUT
from sfu.ice.events import IceState
from sfu.ice.full_messages import (
    Connect,
    Gather,
    Gathered,
    IceReport,
    IceRequest,
    Lost,
    Nominated,
    Release,
    TryCandidate,
    Validated,
)
from sfu.ice.path import IcePath
from sfu.sdp import SessionDescription

HOST = "candidate:1 1 udp 2130706431 192.0.2.1 4000 typ host"
RELAY = "candidate:2 1 udp 16777215 203.0.113.1 4001 typ relay raddr 0.0.0.0 rport 9"
THEIRS = "candidate:1 1 udp 1 192.0.2.7 5000 typ host"


class IceConference(PureConference):
    """A conference with full ICE, where no peer has sockets yet."""

    def enter(self, user: str, room: str = "room", **options: Any) -> PureClient:
        """Let a client with a full agent join."""
        client = super().enter(user, room, **options)
        client.browser.server_is_lite = False
        return client

    def _connect(self, now: float) -> Connection:
        return Connection(self.certificate, (), self.random, now, full_ice=True)


@pytest.fixture
def conference() -> IceConference:
    return IceConference()


def report(client: PureClient, *reports: IceReport) -> None:
    """Report what the shell, which has the sockets, has found."""
    client.conference.machine.report_ice(client.peer, reports, client.conference.now)
    client.conference.deliver()


def gathering(client: PureClient) -> str:
    """Return the username fragment of the generation to gather for; drop other requests."""
    return next(one.local.ufrag for one in reversed(client.take_ice_requests()) if isinstance(one, Gather))


def candidates(client: PureClient) -> Iterator[str]:
    """Return the candidates that the client was sent by messages."""
    return (data["candidate"] for data in client.heard("ice-candidate"))


def test_sockets_that_end_before_the_first_description_are_replaced(conference: IceConference) -> None:
    anna, bert = conference.enter("anna"), conference.enter("bert")
    for client in (anna, bert):
        report(client, Lost(gathering(client)))
    anna.publish("audio")
    conference.run(1.5)
    for client, description in ((anna, "answer"), (bert, "offer")):
        ufrag = SessionDescription.parse(client.heard(description)[0]["sdp"]).media[0].ice_ufrag
        requests = client.take_ice_requests()
        assert [one.local.ufrag for one in requests if isinstance(one, Gather)] == [ufrag]
        assert [one.ufrag for one in requests if isinstance(one, Connect)] == [ufrag]


def test_candidates_found_before_the_answer_are_in_it_and_later_ones_are_trickled(
    conference: IceConference,
) -> None:
    anna = conference.enter("anna")
    ufrag = gathering(anna)
    report(anna, Gathered(ufrag, HOST), Gathered("nobody's", RELAY))
    assert anna.heard("ice-candidate") == []
    anna.publish("audio", "video")
    text = anna.heard("answer")[0]["sdp"]
    answer = SessionDescription.parse(text)
    assert not answer.ice_lite
    assert answer.media[0].ice_options == ("trickle",)
    assert [media.candidates for media in answer.media] == [(HOST.removeprefix("candidate:"),), ()]
    assert "end-of-candidates" not in text
    report(anna, Gathered(ufrag, RELAY), Gathered(ufrag, None))
    assert list(candidates(anna)) == [f"{RELAY} ufrag {ufrag}", ""]
    assert {(data["sdpMid"], data["sdpMLineIndex"]) for data in anna.heard("ice-candidate")} == {
        (answer.media[0].mid, 0)
    }
    anna.publish("video", source="screen")
    again = SessionDescription.parse(anna.heard("answer")[1]["sdp"])
    assert len(again.media[0].candidates) == 2
    assert again.media[0].end_of_candidates
    assert len(list(candidates(anna))) == 2


def test_the_client_that_offers_first_is_controlling(conference: IceConference) -> None:
    anna = conference.enter("anna")
    anna.publish("audio")
    [connect] = [one for one in anna.take_ice_requests() if isinstance(one, Connect)]
    assert not connect.controlling
    assert connect.remote == anna.machine.credentials


def test_the_server_that_offers_first_is_controlling(conference: IceConference) -> None:
    anna, ben = conference.enter("anna"), conference.enter("ben")
    anna.publish("audio")
    conference.run(1.5)
    assert ben.heard("offer")
    [connect] = [one for one in ben.take_ice_requests() if isinstance(one, Connect)]
    assert connect.controlling


def test_the_server_is_controlling_if_the_client_is_lite_no_matter_which_offers(
    conference: IceConference,
) -> None:
    anna = conference.enter("anna")
    anna.browser.add("audio", receives=False)
    sdp = anna.own(anna.browser.offer()).replace("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n")
    anna.say("offer", sdp=sdp, type="offer")
    [connect] = [one for one in anna.take_ice_requests() if isinstance(one, Connect)]
    assert (connect.controlling, connect.lite) == (True, True)
    assert len(anna.heard("answer")) == 1


def test_the_clients_candidates_are_tried_whether_in_messages_or_descriptions(
    conference: IceConference,
) -> None:
    anna = conference.enter("anna")
    anna.publish("audio")
    anna.take_ice_requests()
    anna.say("ice-candidate", candidate=THEIRS, sdpMid="0")
    anna.say("ice-candidate", candidate="")
    anna.browser.add("video", receives=False)
    written = f"a={THEIRS.replace('5000', '5001')}\r\na=candidate:nonsense\r\n"
    sdp = anna.own(anna.browser.offer()).replace("a=mid:0", f"{written}a=mid:0")
    anna.say("offer", sdp=sdp, type="offer")
    tried = [one for one in anna.take_ice_requests() if isinstance(one, TryCandidate)]
    assert [one.candidate.address.port for one in tried] == [5000, 5001]
    assert anna.peer.connection.transport.statistics().drops == {"candidate": 1}
    anna.peer.connection.count_ice_drop("stun-malformed")
    assert anna.peer.connection.transport.statistics().drops["stun-malformed"] == 1


def test_an_ice_restart_gathers_again_and_a_lost_path_causes_one(conference: IceConference) -> None:
    anna = conference.enter("anna")
    first = gathering(anna)
    anna.publish("audio")
    path = IcePath(SERVER, anna.path.remote)
    report(anna, Validated(first, path, True), Nominated(first, path))
    assert anna.peer.connection.transport.selected == path
    anna.answers = False
    anna.take_ice_requests()
    anna.say("ice-restart-request")
    second = gathering(anna)
    assert len(anna.heard("ice-restart-offer")) == 1
    report(anna, Gathered(first, HOST), Gathered(second, RELAY))
    # What belongs to the old description is of no use to a client that has the new one.
    assert list(candidates(anna)) == [f"{RELAY} ufrag {second}"]
    report(anna, Lost(first))
    requests: list[IceRequest] = anna.take_ice_requests()
    assert Release(first) in requests
    # The offer that is out stays out; when its answer does not come, the next one restarts ICE again.
    assert len(anna.heard("ice-restart-offer")) == 1
    conference.run(ANSWER_TIMEOUT + 1)
    assert len(anna.heard("ice-restart-offer")) == 2
    assert anna.peer.connection.transport.state is IceState.CHECKING


def test_sockets_of_a_replaced_connection_are_released(conference: IceConference) -> None:
    anna = conference.enter("anna")
    old = gathering(anna)
    joined = anna.heard("join")[0]
    conference.machine.suspend(anna.peer, conference.now)
    report(anna, Gathered(old, HOST))
    request = Join(
        room_id="room", user_id="anna", session_id=joined["sessionId"], session_token=joined["sessionToken"]
    )
    conference.join(request)
    requests = anna.take_ice_requests()
    assert requests[0] == Release(old)
    assert isinstance(requests[1], Gather)
    conference.leave(anna)
    assert [type(one) for one in anna.take_ice_requests()] == [Release]
    assert conference.machine.statistics().routes == 0


def test_a_lite_agent_ignores_candidates_and_rejects_reports() -> None:
    conference = PureConference()
    anna = conference.enter("anna")
    anna.publish("audio")
    anna.say("ice-candidate", candidate=THEIRS)
    anna.peer.connection.count_ice_drop("nothing")
    assert anna.take_ice_requests() == []
    assert anna.peer.connection.transport.statistics().drops == {}
    with pytest.raises(RuntimeError):
        report(anna, Lost("nobody's"))


def test_candidates_that_may_have_been_lost_with_a_websocket_are_sent_again(conference: IceConference) -> None:
    anna = conference.enter("anna")
    ufrag = gathering(anna)
    report(anna, Gathered(ufrag, HOST))
    anna.publish("audio", "video")
    report(anna, Gathered(ufrag, RELAY), Gathered(ufrag, None))
    assert list(candidates(anna)) == [f"{RELAY} ufrag {ufrag}", ""]
    joined = anna.heard("join")[0]
    conference.machine.suspend(anna.peer, conference.now)
    request = Join(
        room_id="room",
        user_id="anna",
        session_id=joined["sessionId"],
        session_token=joined["sessionToken"],
        transport="keep",
    )
    conference.join(request)
    conference.deliver()
    again = list(candidates(anna))[2:]
    assert again == [f"{HOST} ufrag {ufrag}", f"{RELAY} ufrag {ufrag}", ""]
    assert anna.heard("offer") == []
