"""Records of sessions, as the store keeps them."""

from dataclasses import replace
from typing import Any

from sfu.conference.grants import Grants
from sfu.conference.messages import PeerMediaState
from sfu.conference.records import SessionRecord, SubscriptionRecord, TrackRecord
from sfu.conference.session import TokenHashes

RECORD = SessionRecord(
    session_id="0" * 32,
    tokens=TokenHashes(b"\x00\xff" * 16),
    generation=1,
    peer_id="peer",
    room_id="room",
    user_id="alice",
    name="Alice",
    grants=Grants(),
    media_state=PeerMediaState(mic_enabled=True, camera_enabled=False, screen_enabled=False),
    suspended=False,
    tracks=(TrackRecord("t1", "audio", "mic"),),
    subscriptions=(SubscriptionRecord("t2", "bob", "h"),),
)


def record(number: int = 0, **changes: Any) -> SessionRecord:
    """Return the record of session `number`, with its own peer."""
    session = replace(RECORD, session_id=f"{number:032x}", peer_id=f"peer{number}")
    return replace(session, **changes)


def next_generation(found: SessionRecord) -> SessionRecord:
    """Resume a session in a claim, without any proof."""
    return replace(found, generation=found.generation + 1, suspended=False)
