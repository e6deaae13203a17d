"""A session in Redis beyond the limits of clients is not restored: no long name, no thousand tracks."""

from dataclasses import replace
from typing import Any

import pytest
from support.pure_conference import PureConference
from support.records import RECORD

from sfu.conference.limits import Limits
from sfu.conference.records import SubscriptionRecord, TrackRecord

LIMITS = Limits(max_id_length=8, max_tracks_per_peer=2, max_peers_per_room=3)


def is_restored(**changes: Any) -> bool:
    """Return whether a server with few places restores the session with `changes`."""
    conference = PureConference(limits=LIMITS)
    now = conference.now
    return conference.machine.admission.restore(replace(RECORD, **changes), now + 30, now) is not None


def tracks(count: int) -> tuple[TrackRecord, ...]:
    """Return the tracks of a session."""
    return tuple(TrackRecord(f"t{number}", "audio", "mic") for number in range(count))


def subscriptions(count: int) -> tuple[SubscriptionRecord, ...]:
    """Return the preferences of a session."""
    return tuple(SubscriptionRecord(f"t{number}", "bob", "h") for number in range(count))


@pytest.mark.parametrize("field", ["room_id", "user_id", "name"])
def test_a_stored_text_longer_than_clients_may_send_is_refused(field: str) -> None:
    """Ids and names from Redis are held to `SFU_MAX_ID_LENGTH`."""
    assert is_restored(**{field: "x" * 8})
    assert not is_restored(**{field: "x" * 9})


def test_more_tracks_than_clients_may_publish_are_refused() -> None:
    """Tracks from Redis are held to `SFU_MAX_TRACKS_PER_PEER`, once for live and once for dormant tracks."""
    assert is_restored(tracks=tracks(4))
    assert not is_restored(tracks=tracks(5))


def test_more_preferences_than_a_room_has_tracks_are_refused() -> None:
    """Preferences from Redis are held to the tracks that a room can have."""
    assert is_restored(subscriptions=subscriptions(12))
    assert not is_restored(subscriptions=subscriptions(13))
