"""The public keys that tokens are verified with now. One task reads the key set and reads it again.

Issuers change their keys from time to time. So the set is read at a fixed interval, and at once when a token
names a key that is not in it. However many tokens do that, reads are at least `Timeouts.key_cooldown` apart.
A failed read changes nothing: the keys stay, and the next try comes soon. A successful read always counts: a
key that is no longer in the set is no longer accepted, and if the set has no usable key, no token is.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import jwt
import trio

from sfu.errors import BadPacket
from sfu.shell.auth.jwks import PUBLIC, KeysById, KeySet, read_keys
from sfu.shell.backoff import ReportTimes, retry_delay
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS, Timeouts
from sfu.shell.http.fetch import FetchFailed
from sfu.shell.logs import get_logger

MAX_REQUESTED: Final = 256
"""Key ids that are remembered between two reads, and characters of one key id."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KeyStatistics:
    """What a key ring has, and how its reads went."""

    keys: int
    """Keys that tokens are verified with."""
    unused: Mapping[str, int]
    """Keys of the last set that are not used, by reason: see `sfu.shell.auth.jwks.KeySet`."""
    reads: Mapping[str, int]
    """Reads by result: ``ok``, ``timeout``, ``empty`` (no usable key in the set), ``format`` (not a key set),
    ``error`` (a fault of this server, see the log), ``file``, and the reasons of
    `sfu.shell.http.fetch.FetchFailed`."""
    age: float | None
    """Seconds since a set was last read; `None` before the first."""


class KeyRing:
    """The keys of one source. `run` reads them; only `look_for` waits, and not for long."""

    def __init__(
        self,
        source: str,
        read: Callable[[], Awaitable[bytes]],
        interval: float,
        random: Callable[[int], bytes],
        first: KeySet | None = None,
        *,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        """`source` is its name in the log. `read` returns its content or raises `FetchFailed`.

        The source is read every `interval` seconds. `first` is the set if it has been read already.
        """
        self._source = source
        self._read = read
        self._interval = interval
        self._random = random
        self._timeouts = timeouts
        self._set = first or KeySet({}, {})
        self._reads: Counter[str] = Counter() if first is None else Counter(ok=1)
        self._read_at: float | None = None
        self._reading = False
        self._read_ended = trio.Event()
        self._next_read_at = 0.0
        """When an unknown key may trigger a read again."""
        self._requested = trio.Event()
        self._wanted: set[str] = set()
        """Ids of unknown keys that the next read is to look for."""
        self._missing: set[str | None] = set()
        """Ids that the last read looked for and did not find, or that were there before it and not after."""
        self._failures = 0
        self._reports = ReportTimes(timeouts.report_interval)

    @property
    def keys(self) -> KeysById:
        """The keys that are accepted now."""
        return self._set.keys

    def find(self, key_id: object) -> jwt.PyJWK | None:
        """Return the key of a token. For a token without a key id, that is the only key there is."""
        if key_id is None and len(self.keys) == 1:
            (key,) = self.keys.values()
            return key
        return self.keys.get(key_id) if isinstance(key_id, str | None) else None

    def request(self, key_id: object) -> bool:
        """Have the next read look for a key that `find` does not find. Return whether it may still come.

        False means that a recent read did not have the key. True means that nothing is known yet: the key has
        not been looked for, or there are no keys at all.
        """
        if not isinstance(key_id, str) or len(key_id) > MAX_REQUESTED:
            return not self.keys
        if key_id in self._missing and trio.current_time() < self._next_read_at:
            return not self.keys
        if len(self._wanted) < MAX_REQUESTED:
            self._wanted.add(key_id)
        self._requested.set()
        return True

    async def look_for(self, key_id: object) -> None:
        """Wait for a read that may bring an unknown key, if one is running or due, for `Timeouts.key_wait`."""
        may_come = self.find(key_id) is None and self.request(key_id)
        if may_come and (self._reading or trio.current_time() >= self._next_read_at):
            with trio.move_on_after(self._timeouts.key_wait):
                await self._read_ended.wait()

    async def run(self) -> None:
        """Read the keys now (unless the first set was given) and whenever it is due, until cancelled."""
        pause = 0.0
        if self._reads:
            self._read_at, pause = trio.current_time(), self._interval
        elif self._source.startswith("http:"):
            log.warning("JWKS fetched over plain HTTP: an attacker can replace the keys", source=self._source)
        while True:
            with trio.move_on_after(pause):
                await self._requested.wait()
                await trio.sleep_until(self._next_read_at)
            pause = await self._refresh()

    async def _refresh(self) -> float:
        """Read the keys; return the seconds until the next regular read."""
        wanted, self._wanted = self._wanted, set()
        had = self.keys.keys()
        self._reading = True
        try:
            found = await self._read_set()
        except* Exception as group:
            self._fail(group.exceptions[0])
            self._wanted |= wanted
        else:
            self._use(found)
            self._missing = (wanted | had) - self.keys.keys()
            self._wanted -= self.keys.keys()
            self._requested = trio.Event()
            if self._wanted:
                self._requested.set()
        self._reading = False
        self._next_read_at = trio.current_time() + self._timeouts.key_cooldown
        self._read_ended.set()
        self._read_ended = trio.Event()
        if not self._failures:
            return self._interval
        times = self._timeouts
        return retry_delay(self._failures - 1, times.key_retry_min, times.key_retry_max, self._random)

    async def _read_set(self) -> KeySet:
        with trio.fail_after(self._timeouts.key_read):
            data = await self._read()
        return read_keys(data)

    def _use(self, found: KeySet) -> None:
        """Verify tokens with this set from now on."""
        old, self._set = self._set, found
        self._read_at = trio.current_time()
        if (found.keys.keys(), found.unused) != (old.keys.keys(), old.unused):
            names = [key_id or "(no id)" for key_id in found.keys]
            log.info("JWKS keys changed", source=self._source, keys=names, unused=dict(found.unused))
        if not found.keys:
            self._report("empty", f"no key for {', '.join(PUBLIC)} in the set")
            return
        self._reads["ok"] += 1
        if self._failures:
            log.info("JWKS read again", source=self._source)
        self._failures = 0
        self._reports.clear()

    def _fail(self, error: Exception) -> None:
        """Count the failure and keep the keys."""
        match error:
            case FetchFailed() | BadPacket():
                self._report(error.reason, str(error))
            case trio.TooSlowError():
                self._report("timeout", f"no answer within {self._timeouts.key_read:.0f} s")
            case _:
                log.error("reading the JWKS failed", exc_info=error)
                self._report("error", "a fault of this server")

    def _report(self, reason: str, detail: str) -> None:
        self._reads[reason] += 1
        self._failures += 1
        if self._reports.is_due("any", trio.current_time()):
            log.warning(
                "JWKS cannot be read", source=self._source, kind=reason, reason=detail, keys=len(self.keys)
            )

    def statistics(self) -> KeyStatistics:
        """Return the counts so far."""
        age = None if self._read_at is None else trio.current_time() - self._read_at
        return KeyStatistics(len(self.keys), self._set.unused, dict(self._reads), age)
