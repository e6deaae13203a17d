"""Metrics: well formed, complete, and without label sets of peers, tracks and rooms that have ended."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from support.in_memory_server import Client, InMemoryServer, in_memory_server
from support.issuer import Signer, key_set, make_certificate
from support.media import DELTA_FRAME, KEY_FRAME
from trio.testing import MockClock

from sfu.histogram import Histogram
from sfu.rtp.rtcp import ReceiverReport, ReportBlock
from sfu.shell.config.timeouts import DEFAULT_TIMEOUTS
from sfu.shell.config.urls import HttpUrl, parse_http_url
from sfu.shell.http.fetch import FetchFailed
from sfu.shell.media.udp import SocketStatistics
from sfu.shell.ops.exposition import exposition
from sfu.shell.ops.meter import LoopLag, RateMeter
from sfu.shell.ops.metrics import METRICS
from sfu.shell.ops.snapshot import Snapshot, take_snapshot
from sfu.shell.store.memory import MemoryStore
from sfu.state.statistics import LATENCY_BOUNDS, RECOVERY_BOUNDS, StoreStatistics


class QuietSocket:
    """A media socket with constant counters."""

    def statistics(self) -> SocketStatistics:
        """Return constant counters."""
        return SocketStatistics(1, 2, 3, 4, {"ENETUNREACH": 5}, 6, 7, 8)


class Scrape:
    """The metrics as a parser reads them."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.samples: list[Sample] = [sample for family in self.families.values() for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """Return the value with exactly these labels."""
        (value,) = [sample.value for sample in self.samples if (sample.name, sample.labels) == (name, labels)]
        return value

    def labels(self, name: str) -> set[str]:
        """Return all values of the label `name`."""
        return {sample.labels[name] for sample in self.samples if name in sample.labels}


class Watch:
    """Reads a server's metrics."""

    def __init__(self, server: InMemoryServer) -> None:
        self.server = server
        self.meter = RateMeter(server.sfu.conference)
        self.lag = LoopLag()

    async def snapshot(self) -> Snapshot:
        """Read the counters."""
        return await take_snapshot(self.server.sfu, QuietSocket(), self.meter, self.lag)

    async def scrape(self) -> Scrape:
        """Read the metrics as Prometheus does."""
        return Scrape(exposition(await self.snapshot()).decode())


@asynccontextmanager
async def watched_call(**settings: Any) -> AsyncIterator[tuple[Watch, Client, Client]]:
    """Alice sends bob a video, bob has reported on it, and two readings of rates were taken."""
    async with (
        in_memory_server(**settings) as server,
        server.client("alice") as alice,
        server.client("bob") as bob,
    ):
        watch = Watch(server)
        for client in (alice, bob):
            await client.join()
        await alice.publish("video")
        await alice.connect()
        await bob.connect()
        alice.send(alice.browser.transceivers[0], KEY_FRAME)
        await bob.until(lambda: bob.machine.rtp)
        for highest in (1000, 1100):
            block = ReportBlock(bob.machine.rtp[0].ssrc, 0, highest // 100, highest, 900, 0, 0)
            bob.machine.send_rtcp([ReceiverReport(1, (block,))])
            bob.flush()
            await trio.sleep(0.1)
            await watch.meter.read()
            alice.send(alice.browser.transceivers[0], DELTA_FRAME)
            await trio.sleep(DEFAULT_TIMEOUTS.meter_interval)
        yield watch, alice, bob


def peer_id(client: Client) -> str:
    """Return the id of a client's peer."""
    return str(client.heard("join")[0]["peerId"])


class TroubledStore(MemoryStore):
    """A store that has failed in several ways."""

    def statistics(self) -> StoreStatistics:
        """Return constant counters."""
        latency, recovery = Histogram(LATENCY_BOUNDS), Histogram(RECOVERY_BOUNDS)
        latency.observe(3.0)
        recovery.observe(60.0)
        return StoreStatistics(
            healthy=False,
            sessions=7,
            backlog=3,
            refused=1,
            lost=2,
            unreadable={"state-json": 4},
            errors={"connection": 5, "full": 6},
            latency=latency.statistics(),
            recovery=recovery.statistics(),
        )


async def test_metrics_of_the_store(autojump_clock: MockClock) -> None:
    async with in_memory_server(TroubledStore("metrics")) as server:
        scrape = await Watch(server).scrape()
    assert scrape.value("sfu_redis_errors_total") == 11
    assert scrape.value("sfu_redis_latency_ms_bucket", le="2.0") == 0
    assert scrape.value("sfu_redis_latency_ms_bucket", le="5.0") == 1
    assert scrape.value("sfu_state_recovery_duration_ms_bucket", le="50.0") == 0
    assert scrape.value("sfu_state_recovery_duration_ms_bucket", le="100.0") == 1
    assert scrape.value("sfu_store_healthy") == 0
    assert scrape.value("sfu_store_sessions") == 7
    assert scrape.value("sfu_store_backlog") == 3
    assert scrape.value("sfu_store_sessions_lost_total") == 2
    assert scrape.value("sfu_drops_total", place="store", reason="state-json") == 4
    assert scrape.value("sfu_drops_total", place="store", reason="too-many-sessions") == 1


async def test_metrics_of_public_keys(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    async with in_memory_server() as server:
        assert (await Watch(server).scrape()).families["sfu_auth_keys"].samples == []
    content: list[bytes] = []

    async def fetch(_url: HttpUrl, _limit: int) -> bytes:
        await trio.lowlevel.checkpoint()
        if not content:
            raise FetchFailed("connect", "connection refused")
        return content[0]

    monkeypatch.setattr("sfu.shell.auth.tokens.fetch", fetch)
    async with in_memory_server(auth_jwks=parse_http_url("https://issuer.example/keys")) as server:
        await trio.sleep(0.1)
        scrape = await Watch(server).scrape()
        assert scrape.value("sfu_auth_keys") == 0
        assert scrape.value("sfu_auth_key_reads_total", result="connect") == 1
        assert scrape.families["sfu_auth_keys_age_seconds"].samples == []
        content.append(key_set(Signer("good")).replace(b"[", b'[{"kty": "oct", "k": "AAAA"}, '))
        await trio.sleep(DEFAULT_TIMEOUTS.key_retry_max)
        scrape = await Watch(server).scrape()
        assert scrape.value("sfu_auth_keys") == 1
        assert scrape.value("sfu_auth_keys_unused", reason="symmetric") == 1
        assert scrape.value("sfu_auth_key_reads_total", result="ok") == 1
        assert 0 < scrape.value("sfu_auth_keys_age_seconds") < DEFAULT_TIMEOUTS.key_retry_max


async def test_metrics_of_the_certificate(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with in_memory_server() as server:
        assert (await Watch(server).scrape()).families["sfu_tls_certificate_reads"].samples == []
    cert, key = make_certificate(tmp_path, "127.0.0.1")
    async with in_memory_server(tls_cert=cert, tls_key=key) as server:
        scrape = await Watch(server).scrape()
    assert scrape.value("sfu_tls_certificate_reads_total", result="ok") == 1
    assert 86_000 < scrape.value("sfu_tls_certificate_remaining_seconds") <= 86_400


async def test_metrics_of_a_call(autojump_clock: MockClock) -> None:
    async with watched_call() as (watch, alice, bob):
        scrape = await watch.scrape()
        (track,) = alice.heard("track-published")
        assert scrape.value("sfu_rooms") == 1
        assert scrape.value("sfu_peers") == scrape.value("sfu_active_sessions_total") == 2
        assert scrape.value("sfu_suspended_sessions_total") == 0
        tasks = watch.server.sfu.rooms.per_room()["room"]
        assert scrape.value("sfu_tasks_per_room", room="room") == tasks
        assert tasks == 3  # the room's, and one of each peer
        assert scrape.value("sfu_ice_connection_state", state="completed") == 2
        assert scrape.value("sfu_ice_connection_state", state="failed") == 0
        assert scrape.value("sfu_dtls_handshakes_total", result="ok") == 2
        assert scrape.value("sfu_signaling_messages_total", type="join", result="ok") == 2
        assert scrape.value("sfu_subscriptions_active") == 1
        assert scrape.value("sfu_subscription_changes_total", action="subscribe") == 1
        assert scrape.value("sfu_rtp_packets_total", direction="in") == 3
        assert scrape.value("sfu_rtp_packets_total", direction="out") == 3
        assert scrape.value("sfu_pli_requests_total") >= 1
        rate = scrape.value(
            "sfu_track_bitrate_bytes", peer=peer_id(alice), track=track["trackId"], direction="in"
        )
        assert rate == pytest.approx(len(DELTA_FRAME) / (DEFAULT_TIMEOUTS.meter_interval + 0.1))
        assert rate == scrape.value(
            "sfu_track_bitrate_bytes", peer=peer_id(bob), track=track["trackId"], direction="out"
        )
        assert scrape.value("sfu_packet_loss_ratio", peer=peer_id(bob)) == pytest.approx(0.01)
        assert peer_id(alice) not in scrape.families["sfu_packet_loss_ratio"].samples[0].labels.values()
        assert scrape.value("sfu_jitter_ms_count", peer=peer_id(bob)) == 1
        assert scrape.value("sfu_jitter_ms_bucket", peer=peer_id(bob), le="5.0") == 0
        assert scrape.value("sfu_jitter_ms_bucket", peer=peer_id(bob), le="10.0") == 1
        assert scrape.value("sfu_jitter_ms_sum", peer=peer_id(bob)) == pytest.approx(10.0)
        assert scrape.value("sfu_udp_bytes_total", direction="out") == 4
        assert scrape.value("sfu_drops_total", place="socket", reason="ENETUNREACH") == 5
        assert scrape.value("sfu_drops_total", place="socket", reason="receive-buffer-full") == 6
        assert scrape.value("process_open_fds") > 0


async def test_histogram_bounds_are_those_of_the_specification(autojump_clock: MockClock) -> None:
    async with watched_call() as (watch, _, bob):
        scrape = await watch.scrape()

        def bounds(name: str) -> list[float]:
            return [
                float(sample.labels["le"])
                for sample in scrape.samples
                if sample.name == f"{name}_bucket" and sample.labels.get("peer") == peer_id(bob)
            ]

        assert bounds("sfu_jitter_ms") == [1, 5, 10, 20, 50, 100, 200, float("inf")]
        assert bounds("sfu_rtt_ms") == [10, 25, 50, 100, 200, 500, 1000, float("inf")]


async def test_label_sets_end_with_their_peer_track_and_room(autojump_clock: MockClock) -> None:
    async with watched_call(room_ttl_sec=0, session_ttl_sec=1) as (watch, alice, bob):
        scrape = await watch.scrape()
        assert scrape.labels("peer") == {peer_id(alice), peer_id(bob)}
        assert len(scrape.labels("track")) == 1
        assert scrape.labels("room") == {"room"}
        before = scrape
        await alice.say("leave")
        await bob.until(lambda: bob.heard("peer-left"))
        scrape = await watch.scrape()
        assert scrape.labels("peer") == {peer_id(bob)}
        assert scrape.labels("track") == set()
        await bob.vanish()
        await trio.sleep(10)
        scrape = await watch.scrape()
        assert scrape.labels("peer") == scrape.labels("room") == set()
        assert scrape.value("sfu_rooms") == scrape.value("sfu_peers") == scrape.value("sfu_routes") == 0
        counters = [family for family in before.families.values() if family.type == "counter"]
        for sample in [sample for family in counters for sample in family.samples]:
            if sample.name.startswith("sfu_"):
                assert scrape.value(sample.name, **sample.labels) >= sample.value
        await watch.meter.read()
        assert not watch.meter._tracks
        assert not watch.meter._losses


async def test_a_peer_that_leaves_while_counters_are_read_is_counted_once(autojump_clock: MockClock) -> None:
    async with watched_call() as (watch, alice, bob):
        before = await watch.snapshot()
        conference = watch.server.sfu.conference
        alices = conference.rooms["room"].peers[peer_id(alice)]

        async def leave() -> None:
            conference.remove(alices, "left", trio.current_time())
            await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            # Runs at the first checkpoint, after the counters of alice were read.
            nursery.start_soon(leave)
            during = await watch.snapshot()
        after = await watch.snapshot()
        assert during.totals.rtp_packets == after.totals.rtp_packets == before.totals.rtp_packets
        assert during.totals.sent == after.totals.sent
        assert [peer.id for peer in during.peers] == [peer.id for peer in after.peers] == [peer_id(bob)]


async def test_every_metric_is_written_with_its_type_and_help(autojump_clock: MockClock) -> None:
    async with watched_call() as (watch, _, _):
        text = exposition(await watch.snapshot()).decode()
        scrape = Scrape(text)
        for metric in METRICS:
            family = scrape.families[metric.name.removesuffix("_total" if metric.kind == "counter" else "\0")]
            assert (family.type, family.documentation) == (metric.kind, metric.help)
            for sample in family.samples:
                assert set(sample.labels) - {"le"} == set(metric.labels)
        assert len(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)) == len(scrape.families)


def test_metric_names_follow_the_rules() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert re.fullmatch(r"sfu_[a-z_]+", metric.name)
        assert metric.help.endswith(".")
        if metric.kind == "counter":
            assert metric.name.endswith("_total")


async def test_ids_of_clients_are_escaped(autojump_clock: MockClock) -> None:
    async with in_memory_server() as server, server.client("alice") as alice:
        room = 'a"b\\c é'
        await alice.join(room)
        assert (await Watch(server).scrape()).labels("room") == {room}
