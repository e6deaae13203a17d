"""The signaling messages: which are parsed, which are refused, and how they are serialized."""

import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.conference.envelope import BadMessage, parse, serialize
from sfu.conference.errors import Conflict
from sfu.conference.messages import (
    Answer,
    Error,
    IceCandidate,
    IceServer,
    Join,
    Joined,
    Leave,
    MediaState,
    Offer,
    PeerInfo,
    PeerMediaState,
    Ping,
    Pong,
    RoomState,
    ServerMessage,
    SubscriptionInfo,
    TrackInfo,
    TrackPublished,
    TrackSource,
    refusal,
)

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


def test_a_join_is_parsed() -> None:
    data = {"roomId": "r", "userId": "u", "name": "Ünal"}
    text = json.dumps({"type": "join", "data": data, "timestamp": "2026-01-02T12:00:00Z"})
    assert parse(text) == Join(room_id="r", user_id="u", name="Ünal")


def test_data_may_be_a_string_that_contains_the_object() -> None:
    text = json.dumps({"type": "join", "data": json.dumps({"roomId": "r", "userId": "u"})})
    assert parse(text) == Join(room_id="r", user_id="u", name="")


def test_unknown_fields_are_ignored() -> None:
    assert parse('{"type": "leave", "data": {"new": 1}, "other": []}') == Leave()


def test_missing_data_means_an_empty_object() -> None:
    assert parse('{"type": "leave"}') == Leave()
    with pytest.raises(BadMessage, match="roomId"):
        parse('{"type": "join"}')


def test_an_offer_names_the_sources_of_its_tracks() -> None:
    text = '{"type":"offer","data":{"sdp":"v=0","type":"offer","tracks":[{"mid":"0","source":"screen"}]}}'
    assert parse(text) == Offer(sdp="v=0", type="offer", tracks=(TrackSource("0", "screen"),))


def test_an_answer_and_a_candidate_are_parsed() -> None:
    assert parse('{"type":"answer","data":{"sdp":"v=0","peerId":"p"}}') == Answer(sdp="v=0", peer_id="p")
    text = '{"type":"ice-candidate","data":{"candidate":"candidate:1","sdpMid":"0","sdpMLineIndex":0}}'
    assert parse(text) == IceCandidate(candidate="candidate:1", sdp_mid="0", sdp_m_line_index=0)
    assert parse('{"type":"ice-candidate","data":{"candidate":"","sdpMid":null}}') == IceCandidate()


@pytest.mark.parametrize("data", ["{}", "[1, 2]", '"text"', "null", "7"])
def test_a_ping_may_carry_anything_and_a_pong_returns_it(data: str) -> None:
    ping = parse(f'{{"type": "ping", "data": {data}}}')
    assert isinstance(ping, Ping)
    pong = json.loads(serialize(Pong(ping.data), NOON))
    assert pong == {"type": "pong", "data": json.loads(data), "timestamp": "2026-01-02T12:00:00Z"}


@pytest.mark.parametrize(
    ("text", "message_type", "words"),
    [
        ("", None, "not a message"),
        ("not JSON", None, "not a message"),
        ("[]", None, "not a message"),
        ('{"data": {}}', None, "type"),
        ('{"type": 1}', None, "type"),
        ('{"type": "join"', None, "truncated"),
        ('{"type": "join"} {}', None, "not a message"),
        ("[" * 100_000, None, "not a message"),
        ('{"type": "ping", "data": ' + "[" * 100_000, None, "not a message"),
        (b'{"type": "\xff"}', None, "not a message"),
        (b'{"type": "ping", "data": "\xff"}', None, "not a message"),
        ('{"type": "teleport"}', "teleport", "unknown message type 'teleport'"),
        ('{"type": "join", "data": null}', "join", "data"),
        ('{"type": "join", "data": "not JSON"}', "join", "data"),
        ('{"type": "join", "data": "\\"{}\\""}', "join", "data"),
        ('{"type": "join", "data": {"roomId": "", "userId": "u"}}', "join", "roomId"),
        ('{"type": "join", "data": {"roomId": "a\\nb", "userId": "u"}}', "join", "roomId"),
        ('{"type": "join", "data": {"roomId": "r\\n", "userId": "u"}}', "join", "roomId"),
        ('{"type": "join", "data": {"roomId": 7, "userId": "u"}}', "join", "roomId"),
        ('{"type": "offer", "data": {"sdp": "", "type": "answer"}}', "offer", "type"),
        ('{"type": "offer", "data": {"sdp": "", "tracks": [{"mid": "0", "source": "tv"}]}}', "offer", "tracks"),
        ('{"type": "ice-candidate", "data": {"sdpMLineIndex": -1}}', "ice-candidate", "sdpMLineIndex"),
        ('{"type": "media-state", "data": {"micEnabled": 1}}', "media-state", "micEnabled"),
    ],
)
def test_a_malformed_message_is_refused(text: str | bytes, message_type: str | None, words: str) -> None:
    with pytest.raises(BadMessage, match=words) as caught:
        parse(text)
    assert caught.value.code == 400
    assert caught.value.message_type == message_type


def test_messages_to_clients_have_the_names_of_the_specification() -> None:
    state = PeerMediaState(mic_enabled=True, camera_enabled=False, screen_enabled=False)
    track = TrackInfo("t", "audio", "mic", ())
    peer = PeerInfo("p", "u", "n", state, suspended=False, tracks=(track,))
    cases: list[tuple[ServerMessage, dict[str, object]]] = [
        (
            Joined("p", "r", "s", "t", resumed=True, transport="keep"),
            {
                "peerId": "p",
                "roomId": "r",
                "sessionId": "s",
                "sessionToken": "t",
                "resumed": True,
                "transport": "keep",
                "success": True,
                "iceServers": [],
            },
        ),
        (
            Joined(
                "p",
                "r",
                "s",
                "t",
                resumed=False,
                transport="new",
                ice_servers=(IceServer(("stun:a",)), IceServer(("turn:b", "turns:c"), "u", "p")),
            ),
            {
                "peerId": "p",
                "roomId": "r",
                "sessionId": "s",
                "sessionToken": "t",
                "resumed": False,
                "transport": "new",
                "success": True,
                "iceServers": [
                    {"urls": ["stun:a"]},
                    {"urls": ["turn:b", "turns:c"], "username": "u", "credential": "p"},
                ],
            },
        ),
        (IceCandidate("candidate:1", "0", 1), {"candidate": "candidate:1", "sdpMid": "0", "sdpMLineIndex": 1}),
        (
            RoomState((peer,), (SubscriptionInfo("t", "p", None),)),
            {
                "peers": [
                    {
                        "peerId": "p",
                        "userId": "u",
                        "name": "n",
                        "mediaState": {"micEnabled": True, "cameraEnabled": False, "screenEnabled": False},
                        "suspended": False,
                        "tracks": [{"trackId": "t", "kind": "audio", "source": "mic", "layers": []}],
                    }
                ],
                "subscriptions": [{"trackId": "t", "peerId": "p", "layer": None}],
            },
        ),
        (Offer(sdp="v=0", type="offer", peer_id="p"), {"sdp": "v=0", "type": "offer", "peerId": "p"}),
        (
            TrackPublished("t", "video", "p", "screen", (), mid="3"),
            {"trackId": "t", "kind": "video", "peerId": "p", "source": "screen", "layers": [], "mid": "3"},
        ),
        (
            MediaState(mic_enabled=True, camera_enabled=True, screen_enabled=False, peer_id="p"),
            {"micEnabled": True, "cameraEnabled": True, "screenEnabled": False, "peerId": "p"},
        ),
        (Error(400, "no"), {"code": 400, "message": "no"}),
        (refusal(Conflict("no"), "join"), {"code": 409, "message": "no", "type": "join"}),
    ]
    for message, data in cases:
        envelope = json.loads(serialize(message, NOON))
        assert envelope == {"type": message.message_type, "data": data, "timestamp": "2026-01-02T12:00:00Z"}


def outcome(text: str | bytes) -> tuple[bool, str | None]:
    """Return whether a text is a message, and of which type."""
    try:
        return True, parse(text).message_type
    except BadMessage as error:
        return False, error.message_type


@given(st.text() | st.binary())
def test_any_text_is_a_message_or_refused(text: str | bytes) -> None:
    assert outcome(text)[0] in (True, False)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    "roomId",
    "userId",
    "name",
    "sdp",
    "type",
    "tracks",
    "candidate",
    "sdpMid",
    "sdpMLineIndex",
    "micEnabled",
]


@given(
    st.sampled_from(["join", "offer", "answer", "ice-candidate", "media-state", "leave", "ping", "pong"]),
    st.dictionaries(st.sampled_from(FIELDS), JSON) | JSON,
)
def test_any_data_is_a_message_or_refused_with_its_type(message_type: str, data: object) -> None:
    text = msgspec.json.encode({"type": message_type, "data": data})
    assert outcome(text)[1] == message_type
