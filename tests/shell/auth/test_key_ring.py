"""When and how often the key set is read, and what joins get meanwhile. The clock jumps."""

from collections.abc import Callable, Iterator

import pytest
import trio
from support.issuer import Signer, key_set
from support.log_capture import LogEntry, capture_logs
from trio.testing import MockClock

from sfu.shell.auth import key_ring
from sfu.shell.auth.jwks import read_keys
from sfu.shell.auth.key_ring import MAX_REQUESTED, KeyRing
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS as TIMES
from sfu.shell.http.fetch import FetchFailed

INTERVAL = 600
OLD, NEW = Signer("old"), Signer("new")


class Source:
    """A source of keys that records when it is read."""

    def __init__(self) -> None:
        self.content: bytes | Exception = key_set(OLD)
        self.takes = 0.0
        self.times: list[float] = []

    async def read(self) -> bytes:
        """Return the content; raise it if it is an exception."""
        self.times.append(trio.current_time())
        await trio.sleep(self.takes)
        if isinstance(self.content, Exception):
            raise self.content
        return self.content


@pytest.fixture
def source() -> Source:
    """Return a source with the old key."""
    return Source()


@pytest.fixture
def log() -> Iterator[list[LogEntry]]:
    """Collect the log."""
    with capture_logs() as entries:
        yield entries


Start = Callable[[], KeyRing]


@pytest.fixture
def start(source: Source, nursery: trio.Nursery) -> Start:
    """Return a function that starts a key ring. Its retry delays are not shortened at random."""

    def begin() -> KeyRing:
        ring = KeyRing("https://issuer.example/keys", source.read, INTERVAL, lambda n: b"\xff" * n)
        nursery.start_soon(ring.run)
        return ring

    return begin


def warnings(log: list[LogEntry]) -> list[LogEntry]:
    """Return the warnings and errors."""
    return [entry for entry in log if entry["log_level"] in ("warning", "error")]


async def test_keys_are_read_at_the_start_and_at_each_interval(
    autojump_clock: MockClock, start: Start, source: Source
) -> None:
    ring = start()
    assert ring.statistics() == key_ring.KeyStatistics(0, {}, {}, None)
    await ring.look_for("old")
    assert ring.find("old") is not None
    await trio.sleep(2 * INTERVAL + 5)
    assert source.times == [0, INTERVAL, 2 * INTERVAL]
    assert ring.statistics() == key_ring.KeyStatistics(1, {}, {"ok": 3}, 5.0)


async def test_a_set_that_was_given_is_not_read_at_the_start(
    source: Source, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ring = KeyRing("keys.json", source.read, INTERVAL, lambda n: bytes(n), read_keys(key_set(NEW)))
    nursery.start_soon(ring.run)
    await trio.sleep(INTERVAL - 1)
    assert source.times == []
    assert ring.statistics() == key_ring.KeyStatistics(1, {}, {"ok": 1}, INTERVAL - 1)
    await trio.sleep(2)
    assert source.times == [INTERVAL]
    assert set(ring.keys) == {"old"}


async def test_an_unknown_key_triggers_a_read_at_once(
    autojump_clock: MockClock, start: Start, source: Source
) -> None:
    ring = start()
    await trio.sleep(100)
    source.content, source.takes = key_set(NEW, OLD), 1.0
    await ring.look_for("new")
    assert trio.current_time() == 101
    assert ring.find("new") is not None
    assert ring.find("old") is not None


async def test_keys_that_leave_the_set_are_no_longer_accepted(
    autojump_clock: MockClock, start: Start, source: Source
) -> None:
    ring = start()
    await ring.look_for("old")
    source.content = key_set(NEW)
    await trio.sleep(INTERVAL + 1)
    assert ring.find("old") is None
    assert not ring.request("old")
    assert ring.find("new") is not None


async def test_a_thousand_unknown_keys_trigger_one_read_per_cooldown(
    autojump_clock: MockClock, start: Start, source: Source
) -> None:
    ring = start()
    await trio.sleep(100)
    for number in range(1000):
        await ring.look_for(f"made up {number}")
        await trio.sleep(0.1)
    assert len(ring._wanted) <= MAX_REQUESTED
    assert len(source.times) <= 2 + 100 / TIMES.key_cooldown
    gaps = [later - earlier for earlier, later in zip(source.times, source.times[1:], strict=False)]
    assert min(gaps) >= TIMES.key_cooldown
    await trio.sleep(INTERVAL)
    before = len(source.times)
    await trio.sleep(INTERVAL)
    assert len(source.times) <= before + 1  # no token names an unknown key any more


async def test_a_key_that_a_recent_read_did_not_find_is_unknown(
    autojump_clock: MockClock, start: Start, source: Source
) -> None:
    ring = start()
    await trio.sleep(100)
    assert ring.request("made up")  # it may be a new key
    await trio.sleep(1)
    assert source.times == [0, 100]
    assert not ring.request("made up")
    assert ring.request("new")  # it may have been added since then
    source.content = key_set(NEW)
    await ring.look_for("new")
    assert trio.current_time() == 101  # a join does not wait for the read that is not due yet
    await trio.sleep(TIMES.key_cooldown)
    assert source.times == [0, 100, 100 + TIMES.key_cooldown]
    assert ring.find("new") is not None
    assert ring.request("made up")


@pytest.mark.parametrize("name", [None, "x" * (MAX_REQUESTED + 1), 7])
async def test_an_invalid_key_id_triggers_no_read(
    autojump_clock: MockClock, start: Start, source: Source, name: object
) -> None:
    ring = start()
    assert ring.request(name)  # without keys, nothing is known
    await ring.look_for("old")
    source.content = key_set(OLD, NEW)
    await trio.sleep(100)
    await ring.look_for("new")
    assert ring.find(name) is None
    assert not ring.request(name)
    await trio.sleep(100)
    assert source.times == [0, 100]


async def test_a_join_waits_for_a_limited_time(autojump_clock: MockClock, start: Start, source: Source) -> None:
    source.takes = 5.0
    ring = start()
    await ring.look_for("old")
    assert trio.current_time() == TIMES.key_wait
    assert ring.find("old") is None
    assert ring.request("old")
    await ring.look_for("old")
    assert trio.current_time() == 5.0
    assert ring.find("old") is not None


async def test_a_key_requested_during_a_read_is_found_by_it_or_by_the_next(
    autojump_clock: MockClock, start: Start, source: Source
) -> None:
    source.takes = 2.0
    ring = start()
    await trio.sleep(1)
    assert ring.request("old")
    await trio.sleep(TIMES.key_cooldown + 5)
    assert source.times == [0]
    source.content = key_set(OLD)
    assert ring.request("made up")
    await trio.sleep(1)
    assert ring.request("new")
    await trio.sleep(2)
    assert not ring.request("made up")
    assert ring.request("new")
    source.content = key_set(OLD, NEW)
    await trio.sleep(TIMES.key_cooldown + 2)
    assert ring.find("new") is not None


async def test_failed_reads_are_retried_with_growing_delays(
    autojump_clock: MockClock, start: Start, source: Source, log: list[LogEntry]
) -> None:
    source.content = FetchFailed("connect", "connection refused")
    ring = start()
    await trio.sleep(TIMES.key_cooldown * 10)
    gaps = [later - earlier for earlier, later in zip(source.times, source.times[1:], strict=False)]
    assert gaps[:5] == pytest.approx([1, 2, 4, 8, 16], rel=0.01)
    assert gaps[5:] == pytest.approx([TIMES.key_retry_max] * len(gaps[5:]), rel=0.01)
    assert ring.request("old")
    assert not ring.keys
    (first, *later) = warnings(log)
    assert first == {
        "event": "JWKS cannot be read",
        "log_level": "warning",
        "source": "https://issuer.example/keys",
        "kind": "connect",
        "reason": "connection refused",
        "keys": 0,
    }
    assert 3 <= len(later) <= 5
    at = trio.current_time()
    await ring.look_for("old")  # no read is due: nothing to wait for
    assert trio.current_time() == at
    source.content = key_set(OLD)
    await trio.sleep(TIMES.key_retry_max)
    assert ring.find("old") is not None
    assert ring.statistics().reads["ok"] == 1
    assert log[-1]["event"] == "JWKS read again"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (FetchFailed("status", "the answer was 500"), "status"),
        (FetchFailed("tls", "certificate verify failed"), "tls"),
        (b"<html>", "format"),
        (b"", "format"),
        (RuntimeError("a bug"), "error"),
    ],
)
async def test_keys_stay_while_reads_fail(
    autojump_clock: MockClock,
    start: Start,
    source: Source,
    log: list[LogEntry],
    content: bytes | Exception,
    reason: str,
) -> None:
    ring = start()
    await ring.look_for("old")
    source.content = content
    await trio.sleep(INTERVAL + 1.5)
    assert ring.find("old") is not None
    assert ring.statistics().reads == {"ok": 1, reason: 2}
    assert ring.statistics().age == INTERVAL + 1.5
    assert [entry["kind"] for entry in warnings(log) if "kind" in entry] == [reason]
    source.content = key_set(NEW)
    await trio.sleep(TIMES.key_retry_max)
    assert set(ring.keys) == {"new"}


async def test_a_read_has_a_time_limit(autojump_clock: MockClock, start: Start, source: Source) -> None:
    source.takes = 1e9
    ring = start()
    await trio.sleep(TIMES.key_read + 0.5)
    assert ring.statistics().reads == {"timeout": 1}
    await trio.sleep(1)
    assert len(source.times) == 2


async def test_a_key_requested_while_reads_fail_may_still_come(
    autojump_clock: MockClock, start: Start, source: Source
) -> None:
    ring = start()
    await trio.sleep(100)
    source.content = FetchFailed("broken", "the connection broke")
    await ring.look_for("new")
    assert ring.request("new")
    source.content = key_set(NEW)
    await trio.sleep(2)
    assert ring.find("new") is not None


async def test_a_set_without_a_usable_key_replaces_the_keys(
    autojump_clock: MockClock, start: Start, source: Source, log: list[LogEntry]
) -> None:
    ring = start()
    await ring.look_for("old")
    source.content = b'{"keys": [{"kty": "oct", "k": "AAAA"}]}'
    await trio.sleep(INTERVAL + 0.5)
    assert not ring.keys
    assert ring.request("old")
    assert ring.statistics() == key_ring.KeyStatistics(0, {"symmetric": 1}, {"ok": 1, "empty": 1}, 0.5)
    assert warnings(log)[-1]["kind"] == "empty"
    source.content = key_set(OLD)
    await trio.sleep(2)
    assert ring.find("old") is not None


async def test_changes_are_logged_once(
    autojump_clock: MockClock, start: Start, source: Source, log: list[LogEntry]
) -> None:
    start()
    await trio.sleep(3 * INTERVAL)
    source.content = key_set(OLD, NEW)
    await trio.sleep(3 * INTERVAL)
    assert [entry["keys"] for entry in log] == [["old"], ["old", "new"]]


async def test_plain_http_is_warned_about(
    source: Source, nursery: trio.Nursery, autojump_clock: MockClock, log: list[LogEntry]
) -> None:
    ring = KeyRing("http://issuer.example/keys", source.read, INTERVAL, lambda n: bytes(n))
    nursery.start_soon(ring.run)
    await ring.look_for("old")
    assert [entry["event"] for entry in log] == [
        "JWKS fetched over plain HTTP: an attacker can replace the keys",
        "JWKS keys changed",
    ]
