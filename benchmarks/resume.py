"""Sessions over Redis: how long a resume takes where the session is, after a restart, and at another server.

    python -m benchmarks.resume

The swarm of `benchmarks.swarm` comes back three times, each time with a new connection, so many a second: to
the server that it was at; to the same server after `kill -9` and a start; and to a second server, which has to
claim each session. Beside it a store alone is measured: CPU time of a server's process for each write.
"""

import argparse
import json
import os
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

import trio
from browser.sfu_process import SfuProcess, free_tcp_port, open_sfu
from support.log_capture import capture_logs
from support.records import record
from support.redis import RedisServer, redis_server

from benchmarks.swarm import GRACE, JOIN_RATE, SETTLE, Member, Phase, summary, visit
from benchmarks.usage import cpu_seconds, separate
from sfu.shell.store.redis import RedisStore

ROUNDS: Final = 20
"""Times that each session is written when a store alone is measured."""


@dataclass(frozen=True)
class Result:
    """What one run gave."""

    sessions: int
    rate: float
    """Resumes a second."""
    write_us: float
    """CPU time of this process for a write, when all are written at once; the median of `ROUNDS`."""
    phases: dict[str, Phase]
    scripts: dict[str, float]
    """Writes and claims that Redis carried out per resume, in each phase."""
    recovered: int
    """Sessions that the server had again when it was started anew."""
    recovery_ms: float
    """From its first connection to Redis until it had them."""
    listening_s: float
    """From the start of the process until it listens, which does not wait for the sessions."""


class Run:
    """A swarm, a Redis, and what is measured of them."""

    def __init__(self, redis: RedisServer, sessions: int, rate: float) -> None:
        self.phases: dict[str, Phase] = {}
        self.scripts: dict[str, float] = {}
        self._redis = redis
        self._rate = rate
        self._members = [Member("", number) for number in range(sessions)]

    async def join(self, server: SfuProcess) -> None:
        """Let everybody in, and break off."""
        self._go_to(server)
        await visit(self._members, "new", JOIN_RATE)

    async def resume(self, name: str, server: SfuProcess) -> None:
        """Let everybody come back to `server`, and break off again."""
        self._go_to(server)
        pid, count = server.child.pid, len(self._members)
        cpu, scripts = cpu_seconds(pid), self._calls()
        await visit(self._members, "new", self._rate)
        cpu_ms = (cpu_seconds(pid) - cpu) / count * 1000
        self.scripts[name] = (self._calls() - scripts) / count
        self.phases[name] = summary("new", [member.took * 1000 for member in self._members], cpu_ms)
        await trio.sleep(SETTLE)

    def _go_to(self, server: SfuProcess) -> None:
        separate(os.getpid(), server.child.pid)
        for member in self._members:
            member.url = server.url.replace("http", "ws", 1) + "/ws"

    def _calls(self) -> int:
        statistics: Any = self._redis.client.info("commandstats")
        return int(statistics["cmdstat_evalsha"]["calls"])


async def measure(sessions: int, rate: float) -> Result:
    """Do one run with a Redis and servers of its own."""
    with tempfile.TemporaryDirectory(prefix="sfu-redis-") as folder:
        async with redis_server(Path(folder)) as redis:
            write_us = await measure_writes(redis, sessions)
            redis.client.flushall()
            settings = {
                "SFU_ANNOUNCED_IPS": "127.0.0.1",
                "SFU_SESSION_TTL_SEC": str(GRACE),
                "SFU_REDIS_URL": str(redis.address),
            }
            one = settings | {"SFU_SERVER_ID": "one", "SFU_HTTP_ADDR": f"127.0.0.1:{free_tcp_port()}"}
            run = Run(redis, sessions, rate)
            async with open_sfu(one, options=()) as server:
                await run.join(server)
                await trio.sleep(SETTLE)
                await run.resume("where it is", server)
                await server.kill()
            begin = trio.current_time()
            async with open_sfu(one, options=()) as server:
                listening = trio.current_time() - begin
                with trio.fail_after(SETTLE):
                    await server.logs("state recovered")
                line = next(line for line in server.log() if line["event"] == "state recovered")
                await run.resume("after a restart", server)
                async with open_sfu(settings | {"SFU_SERVER_ID": "two"}, options=()) as other:
                    await run.resume("at another server", other)
    return Result(
        sessions, rate, write_us, run.phases, run.scripts, line["sessions"], line["ms"], round(listening, 2)
    )


async def measure_writes(redis: RedisServer, sessions: int) -> float:
    """Return the microseconds of CPU time that a write takes here, from `put` to its settled reply."""
    store = RedisStore(redis.address, "alone", os.urandom)
    records = [record(number) for number in range(sessions)]
    times = []
    with capture_logs():  # what is printed is the result alone
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.run, lambda _sessions: None, lambda _session_id: None)
            for generation in range(ROUNDS):
                begin = time.process_time()
                for each in records:
                    store.put(replace(each, generation=generation), GRACE)
                await store.flush()
                times.append((time.process_time() - begin) / sessions * 1e6)
            nursery.cancel_scope.cancel("measured")
    return median(times)


def main() -> None:
    """Parse the command line, measure, print JSON."""
    parser = argparse.ArgumentParser(description="sessions over Redis that come back")
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=50.0, help="resumes a second")
    arguments = parser.parse_args()
    print(json.dumps(asdict(trio.run(measure, arguments.sessions, arguments.rate))))


if __name__ == "__main__":
    main()
