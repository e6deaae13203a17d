"""The value of a session's key: it survives a round trip, and unknown fields survive too."""

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import RECORD, record

from sfu.conference.grants import Grants
from sfu.conference.identifiers import HIDDEN
from sfu.conference.records import SessionRecord
from sfu.conference.session import TokenHashes
from sfu.errors import BadPacket
from sfu.state.codec import MAX_DEPTH, MAX_VALUE, Stored, decode, encode, encode_tracks

STORED = Stored(RECORD, "server", "life", 30.0)

records = st.builds(
    replace,
    st.just(RECORD),
    name=st.text(st.characters(exclude_categories=["Cs"])).filter(lambda name: not HIDDEN.search(name)),
    tokens=st.builds(TokenHashes, st.binary(), st.none() | st.binary()),
    generation=st.integers(1, 2**40),
    grants=st.builds(Grants, st.frozensets(st.sampled_from(["audio", "video", "screen"]))),
    suspended=st.booleans(),
    tracks=st.just(RECORD.tracks) | st.just(()),
)
documents: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text("xyz"), below, max_size=3),
    max_leaves=4,
)


def nested(levels: int) -> list[Any]:
    """Return lists in lists."""
    return [nested(levels - 1)] if levels > 1 else []


def read(value: bytes) -> dict[str, Any]:
    """Return a value as other programs read it. The order of the grants means nothing."""
    document: dict[str, Any] = json.loads(value)
    document["grants"]["publish"].sort()
    return document


@given(records, st.integers(0, 10**9))
def test_an_encoded_session_is_decoded(session: SessionRecord, grace_ms: int) -> None:
    stored = Stored(session, "server", "life", grace_ms / 1000)
    assert decode(encode(stored)) == stored


@given(st.dictionaries(st.text("xyz"), documents), st.dictionaries(st.text("xyz"), documents))
def test_fields_of_newer_versions_survive(unknown: dict[str, Any], inner: dict[str, Any]) -> None:
    document = {**read(encode(STORED)), **unknown}
    document["grants"] = {**document["grants"], **inner}
    found = decode(json.dumps(document).encode())
    assert found.record == RECORD
    again = read(encode(replace(found, record=record(0, name="Alicia"))))
    assert again == {**document, "name": "Alicia", "peer_id": "peer0"}


def test_the_deepest_allowed_nesting_survives() -> None:
    document = {**read(encode(STORED)), "new": nested(MAX_DEPTH - 1)}
    assert read(encode(decode(json.dumps(document).encode()))) == document


def test_a_known_field_is_not_taken_from_the_unknown_ones() -> None:
    found = decode(encode(replace(STORED, unknown={"name": "stale", "grants": 7, "tokens": {"current": "x"}})))
    assert found == STORED


def test_the_fields_of_a_value() -> None:
    document = json.loads(encode(STORED))
    assert document["schema"] == 1
    assert (document["owner"], document["instance"], document["grace_ms"]) == ("server", "life", 30_000)
    assert document["session_id"] == RECORD.session_id
    assert document["tracks"] == [{"track_id": "t1", "kind": "audio", "source": "mic"}]


def test_there_is_a_value_for_tracks_only_if_there_are_tracks() -> None:
    assert json.loads(encode_tracks(RECORD)) == [{"track_id": "t1", "kind": "audio", "source": "mic"}]
    assert encode_tracks(record(tracks=())) == b""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": 2}, "state-schema"),
        ({"schema": 0}, "state-schema"),
        ({"schema": "1"}, "state-fields"),
        ({"schema": True}, "state-fields"),
        ({"owner": None}, "state-fields"),
        ({"grace_ms": "long"}, "state-fields"),
        ({"grace_ms": -1}, "state-fields"),
        ({"grace_ms": 10**400}, "state-fields"),
        ({"tokens": {}}, "state-fields"),
        ({"tokens": {"current": "no base64!"}}, "state-fields"),
        ({"tracks": [{"track_id": "t", "kind": "smell", "source": "mic"}]}, "state-fields"),
        ({"tracks": [{"track_id": "t 1", "kind": "audio", "source": "mic"}]}, "state-fields"),
        ({"peer_id": "peer\r\n"}, "state-fields"),
        ({"peer_id": ""}, "state-fields"),
        ({"media_state": []}, "state-fields"),
        ({"name": "x" * MAX_VALUE}, "state-size"),
        ({"new": nested(MAX_DEPTH)}, "state-depth"),
        ({"new": nested(900)}, "state-depth"),
    ],
)
def test_a_wrong_field_is_refused(change: dict[str, Any], reason: str) -> None:
    document = {**json.loads(encode(STORED)), **change}
    with pytest.raises(BadPacket) as refused:
        decode(json.dumps(document).encode())
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    "value", [b"", b"{", b"[]", b"7", b"null", b"[" * 500_000, b'{"a":' * 100_000, b"\xff"]
)
def test_a_value_that_is_not_an_object_is_refused(value: bytes) -> None:
    with pytest.raises(BadPacket):
        decode(value)


@given(st.binary() | documents.map(lambda document: json.dumps(document).encode()))
def test_any_value_is_read_or_refused(value: bytes) -> None:
    try:
        decode(value)
    except BadPacket:
        pass
    else:
        raise AssertionError("this was not a session")


@given(st.data())
def test_a_session_with_any_field_replaced_is_read_or_refused(data: st.DataObject) -> None:
    document = json.loads(encode(STORED))
    document[data.draw(st.sampled_from(sorted(document)))] = data.draw(documents)
    with suppress(BadPacket):
        decode(json.dumps(document).encode())
