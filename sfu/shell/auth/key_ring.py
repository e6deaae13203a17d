"""The public keys that tokens are checked with now: read, kept, and read again by one task.

Whoever issues tokens changes keys from time to time. So the set is read again every so often, and at once when
a token names a key that is not here; but however many tokens do that, there are `COOLDOWN` seconds between two
reads. A read that fails changes nothing: the keys stay, and the next try comes soon. One that succeeds counts:
a key that the set has no longer is not accepted any more, and if it has none at all, none is.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import jwt
import trio

from sfu.errors import BadPacket
from sfu.shell.auth.jwks import PUBLIC, KeysById, KeySet, read_keys
from sfu.shell.http.fetch import FetchFailed
from sfu.shell.logs import get_logger

COOLDOWN: Final = 30.0
"""Seconds from one read to the next that an unknown key may cause."""

READ_TIMEOUT: Final = 10.0
"""Seconds that a read may take."""

JOIN_PATIENCE: Final = 3.0
"""Seconds that a join waits for a read that may bring its key."""

RETRY_MIN: Final = 1.0
RETRY_MAX: Final = COOLDOWN
"""Seconds from a read that failed to the next: doubled each time, and varied so that servers do not come all
at once."""

REPORT_INTERVAL: Final = 60.0
"""Seconds between two lines of the log while reads fail."""

MAX_ASKED: Final = 256
"""Key ids that are remembered between two reads, and the characters of one."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KeyStatistics:
    """What a key ring has, and how it came by it."""

    keys: int
    """Keys that tokens are checked with."""
    unused: Mapping[str, int]
    """Keys of the last set that are not used, by reason: see `sfu.shell.auth.jwks.KeySet`."""
    reads: Mapping[str, int]
    """By result: ``ok``, ``timeout``, ``empty`` (no key of the set can be used), ``format`` (no set), ``error``
    (ours, see the log), ``file``, and the reasons of `sfu.shell.http.fetch.FetchFailed`."""
    age: float | None
    """Seconds since a set was read, if one was."""


class KeyRing:
    """Keys from one source. `run` is its life; only `look_for` waits for anything, and not for long."""

    def __init__(
        self,
        source: str,
        read: Callable[[], Awaitable[bytes]],
        interval: float,
        random: Callable[[int], bytes],
        first: KeySet | None = None,
    ) -> None:
        """`source` is what the log calls it, and `read` returns its content or raises `FetchFailed`.

        It is read every `interval` seconds. `first` is what was read already, if anything was.
        """
        self._source = source
        self._read = read
        self._interval = interval
        self._random = random
        self._set = first or KeySet({}, {})
        self._reads: Counter[str] = Counter() if first is None else Counter(ok=1)
        self._read_at: float | None = None
        self._reading = False
        self._done = trio.Event()
        self._free_at = 0.0
        self._asked = trio.Event()
        self._wanted: set[str] = set()
        self._missing: set[str | None] = set()
        """Keys that the last read was to find, or had before, and did not find."""
        self._failures = 0
        self._report_at = 0.0

    @property
    def keys(self) -> KeysById:
        """The keys that are accepted now."""
        return self._set.keys

    def find(self, key_id: object) -> jwt.PyJWK | None:
        """Return the key of a token; without an id that is the only one there is."""
        if key_id is None and len(self.keys) == 1:
            (key,) = self.keys.values()
            return key
        return self.keys.get(key_id) if isinstance(key_id, str | None) else None

    def ask(self, key_id: object) -> bool:
        """Have a key looked for that `find` does not find.

        False: the set was read just now, and does not have what was asked for or was there before. True:
        nobody can tell yet.
        """
        if not isinstance(key_id, str) or len(key_id) > MAX_ASKED:
            return not self.keys
        if key_id in self._missing and trio.current_time() < self._free_at:
            return not self.keys
        if len(self._wanted) < MAX_ASKED:
            self._wanted.add(key_id)
        self._asked.set()
        return True

    async def look_for(self, key_id: object) -> None:
        """Wait for the read that may bring a key which is not here, if it is due now, for `JOIN_PATIENCE`."""
        hopeful = self.find(key_id) is None and self.ask(key_id)
        if hopeful and (self._reading or trio.current_time() >= self._free_at):
            with trio.move_on_after(JOIN_PATIENCE):
                await self._done.wait()

    async def run(self) -> None:
        """Read the keys now, unless there are some, and whenever it is due, until cancelled."""
        pause = 0.0
        if self._reads:
            self._read_at, pause = trio.current_time(), self._interval
        elif self._source.startswith("http:"):
            log.warning("keys come unprotected: who is on the way can let anybody in", source=self._source)
        while True:
            with trio.move_on_after(pause):
                await self._asked.wait()
                await trio.sleep_until(self._free_at)
            pause = await self._refresh()

    async def _refresh(self) -> float:
        """Read the keys; return for how many seconds that will do."""
        wanted, self._wanted = self._wanted, set()
        had = self.keys.keys()
        self._reading = True
        try:
            found = await self._read_set()
        except* Exception as group:
            self._fail(group.exceptions[0])
            self._wanted |= wanted
        else:
            self._take(found)
            self._missing = (wanted | had) - self.keys.keys()
            self._wanted -= self.keys.keys()
            self._asked = trio.Event()
            if self._wanted:
                self._asked.set()
        self._reading = False
        self._free_at = trio.current_time() + COOLDOWN
        self._done.set()
        self._done = trio.Event()
        if not self._failures:
            return self._interval
        whole = min(RETRY_MAX, RETRY_MIN * (1 << min(self._failures - 1, 10)))
        return whole * (0.5 + self._random(1)[0] / 512)

    async def _read_set(self) -> KeySet:
        with trio.fail_after(READ_TIMEOUT):
            data = await self._read()
        return read_keys(data)

    def _take(self, found: KeySet) -> None:
        """Use a set from now on."""
        old, self._set = self._set, found
        self._read_at = trio.current_time()
        if (found.keys.keys(), found.unused) != (old.keys.keys(), old.unused):
            names = [key_id or "(no id)" for key_id in found.keys]
            log.info("keys read", source=self._source, keys=names, unused=dict(found.unused))
        if not found.keys:
            self._complain("empty", f"no key for {', '.join(PUBLIC)} in the set")
            return
        self._reads["ok"] += 1
        if self._failures:
            log.info("keys can be read again", source=self._source)
        self._failures = 0

    def _fail(self, error: Exception) -> None:
        """Count what went wrong, and keep the keys."""
        match error:
            case FetchFailed() | BadPacket():
                self._complain(error.reason, str(error))
            case trio.TooSlowError():
                self._complain("timeout", f"no answer within {READ_TIMEOUT:.0f} s")
            case _:
                log.error("reading the keys failed", exc_info=error)
                self._complain("error", "a fault of this server")

    def _complain(self, reason: str, detail: str) -> None:
        self._reads[reason] += 1
        now = trio.current_time()
        if not self._failures or now >= self._report_at:
            self._report_at = now + REPORT_INTERVAL
            log.warning(
                "keys cannot be read", source=self._source, kind=reason, reason=detail, keys=len(self.keys)
            )
        self._failures += 1

    def statistics(self) -> KeyStatistics:
        """Return the counts so far."""
        age = None if self._read_at is None else trio.current_time() - self._read_at
        return KeyStatistics(len(self.keys), self._set.unused, dict(self._reads), age)
