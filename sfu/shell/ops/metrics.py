"""Every metric of the server: one row of a table, with its meaning and where its value comes from.

A label set is there exactly as long as its peer, track or room, because each answer is made from what is there
and nothing is kept. To add a series, write its row here, and its line in ``docs/operations.md``.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final, Literal

from sfu.histogram import Distribution
from sfu.ice.events import IceState
from sfu.shell.ops.snapshot import Snapshot

Labels = tuple[str, ...]
Value = float | Distribution
Values = Iterable[tuple[Labels, Value]]


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """One metric."""

    kind: Literal["gauge", "counter", "histogram"]
    name: str
    help: str
    read: Callable[[Snapshot], Value | Values]
    """Returns the value; with labels, one for each set of them that there is. A histogram's is a
    `Distribution`."""
    labels: Labels = ()

    def values(self, snapshot: Snapshot) -> Values:
        """Return the value for each set of labels."""
        read = self.read(snapshot)
        return [((), read)] if isinstance(read, int | float | Distribution) else read


def _each(counts: Mapping[str, float]) -> Values:
    return [((name,), count) for name, count in counts.items()]


def _ice_states(snapshot: Snapshot) -> Values:
    states = [peer.connection.transport.state for peer in snapshot.peers]
    return [((state.value,), states.count(state)) for state in IceState]


def _byte_rates(snapshot: Snapshot) -> Values:
    return [item for peer in snapshot.peers for item in peer.byte_rates.items()]


def _losses(snapshot: Snapshot) -> Values:
    return [((peer.id,), peer.loss) for peer in snapshot.peers if peer.loss is not None]


def _drops(snapshot: Snapshot) -> Values:
    totals = snapshot.totals
    places: tuple[tuple[str, Mapping[str, int]], ...] = (
        ("socket", {**snapshot.socket.drops, "receive-buffer-full": snapshot.socket.kernel_drops}),
        ("route", snapshot.conference.drops),
        ("transport", totals.dropped),
        ("receive", totals.received.dropped),
        ("send", totals.sent.dropped),
        ("tcp", snapshot.ice_tcp.drops),
        ("http", snapshot.http.drops),
        ("store", {**snapshot.store.unreadable, "too-many-sessions": snapshot.store.refused}),
    )
    return [((place, reason), count) for place, counts in places for reason, count in counts.items()]


METRICS: Final[tuple[MetricDefinition, ...]] = (
    # Who is there.
    MetricDefinition(
        "gauge", "sfu_build_info", "Always 1.", lambda _: [((version("trio-sfu"),), 1)], ("version",)
    ),
    MetricDefinition(
        "gauge", "sfu_rooms", "Rooms, empty ones that still live included.", lambda s: s.conference.rooms
    ),
    MetricDefinition(
        "gauge", "sfu_peers", "Peers in all rooms, suspended ones included.", lambda s: s.conference.peers
    ),
    MetricDefinition(
        "gauge",
        "sfu_active_sessions_total",
        "Sessions whose client is connected.",
        lambda s: s.conference.peers - s.conference.suspended,
    ),
    MetricDefinition(
        "gauge",
        "sfu_suspended_sessions_total",
        "Sessions whose client is away and may come back.",
        lambda s: s.conference.suspended,
    ),
    MetricDefinition(
        "counter", "sfu_session_recoveries_total", "Sessions resumed.", lambda s: s.conference.resumes
    ),
    MetricDefinition(
        "counter",
        "sfu_session_recovery_failures_total",
        "Joins that named a session and could not resume it.",
        lambda s: s.conference.failed_resumes,
    ),
    MetricDefinition(
        "gauge", "sfu_tasks_per_room", "Tasks of a room and of its peers.", lambda s: _each(s.tasks), ("room",)
    ),
    # Their connections.
    MetricDefinition(
        "gauge", "sfu_ice_connection_state", "Peers by the state of their ICE agent.", _ice_states, ("state",)
    ),
    MetricDefinition(
        "counter",
        "sfu_ice_restarts_total",
        "ICE restarts begun by either side.",
        lambda s: s.totals.ice_restarts,
    ),
    MetricDefinition(
        "counter",
        "sfu_ice_path_changes_total",
        "Changes of the path that media takes to a peer, with or without a restart.",
        lambda s: s.totals.path_changes,
    ),
    MetricDefinition(
        "counter",
        "sfu_dtls_handshakes_total",
        "DTLS handshakes ended: ok, or the reason of the failure.",
        lambda s: _each(s.conference.handshakes),
        ("result",),
    ),
    MetricDefinition(
        "counter", "sfu_offers_sent_total", "Offers made by the server.", lambda s: s.totals.offers_sent
    ),
    MetricDefinition(
        "counter",
        "sfu_offers_ignored_total",
        "Clients' offers that crossed one of the server's.",
        lambda s: s.totals.offers_ignored,
    ),
    MetricDefinition(
        "counter",
        "sfu_answers_missed_total",
        "The server's offers that were not answered in time.",
        lambda s: s.totals.answers_missed,
    ),
    MetricDefinition(
        "counter",
        "sfu_signaling_messages_total",
        "Clients' messages by type (? if unknown) and result: ok or the code of the error.",
        lambda s: s.conference.messages.items(),
        ("type", "result"),
    ),
    MetricDefinition(
        "counter",
        "sfu_auth_refusals_total",
        "Joins refused for want of a good token, by reason.",
        lambda s: _each(s.refusals),
        ("reason",),
    ),
    MetricDefinition(
        "gauge", "sfu_auth_keys", "Public keys that check tokens.", lambda s: s.keys.keys if s.keys else ()
    ),
    MetricDefinition(
        "gauge",
        "sfu_auth_keys_unused",
        "Keys of the set of public keys that are not used, by reason.",
        lambda s: _each(s.keys.unused) if s.keys else (),
        ("reason",),
    ),
    MetricDefinition(
        "gauge",
        "sfu_auth_keys_age_seconds",
        "Time since the set of public keys was read.",
        lambda s: () if s.keys is None or s.keys.age is None else s.keys.age,
    ),
    MetricDefinition(
        "counter",
        "sfu_auth_key_reads_total",
        "Tries to read the set of public keys: ok, or the reason of the failure.",
        lambda s: _each(s.keys.reads) if s.keys else (),
        ("result",),
    ),
    # Their media.
    MetricDefinition(
        "gauge",
        "sfu_subscriptions_active",
        "Tracks that are negotiated to be forwarded to a peer.",
        lambda s: sum(peer.connection.subscriptions for peer in s.peers),
    ),
    MetricDefinition(
        "counter",
        "sfu_subscription_changes_total",
        "Subscriptions made and ended.",
        lambda s: _each({"subscribe": s.totals.subscribed, "unsubscribe": s.totals.unsubscribed}),
        ("action",),
    ),
    MetricDefinition(
        "gauge",
        "sfu_track_bitrate_bytes",
        "Payload bytes per second that a peer publishes (in) or is sent (out), over the last 5 s.",
        _byte_rates,
        ("peer", "track", "direction"),
    ),
    MetricDefinition(
        "gauge",
        "sfu_packet_loss_ratio",
        "Share of packets lost on the way to a peer, 0 to 1, by its reports of the last 5 s.",
        _losses,
        ("peer",),
    ),
    MetricDefinition(
        "histogram",
        "sfu_jitter_ms",
        "Interarrival jitter at a peer, by its reports.",
        lambda s: [((peer.id,), peer.connection.transport.quality.jitter) for peer in s.peers],
        ("peer",),
    ),
    MetricDefinition(
        "histogram",
        "sfu_rtt_ms",
        "Round trip time to a peer, by its reports.",
        lambda s: [((peer.id,), peer.connection.transport.quality.round_trip) for peer in s.peers],
        ("peer",),
    ),
    MetricDefinition(
        "counter",
        "sfu_rtp_packets_total",
        "RTP packets decrypted (in) and forwarded (out), repetitions on the way out not counted.",
        lambda s: _each({"in": s.totals.rtp_packets, "out": s.totals.sent.packets}),
        ("direction",),
    ),
    MetricDefinition(
        "counter",
        "sfu_rtp_payload_bytes_total",
        "Payload bytes of media packets accepted (in) and forwarded (out).",
        lambda s: _each({"in": s.totals.received.octets, "out": s.totals.sent.octets}),
        ("direction",),
    ),
    MetricDefinition(
        "counter",
        "sfu_rtcp_compounds_received_total",
        "RTCP compounds decrypted.",
        lambda s: s.totals.rtcp_packets,
    ),
    MetricDefinition(
        "counter",
        "sfu_pli_requests_total",
        "Key frames asked of publishers, by PLI or FIR.",
        lambda s: s.totals.received.key_frame_requests,
    ),
    MetricDefinition(
        "counter",
        "sfu_pli_received_total",
        "Key frames that subscribers asked for, by PLI or FIR.",
        lambda s: s.totals.sent.key_frame_requests,
    ),
    MetricDefinition(
        "counter",
        "sfu_nack_requests_total",
        "Packets asked of publishers again, by NACK; repeated requests count.",
        lambda s: s.totals.received.nacked,
    ),
    MetricDefinition(
        "counter",
        "sfu_nack_received_total",
        "Packets that subscribers asked for again, by NACK; repeated requests count.",
        lambda s: s.totals.sent.nacked,
    ),
    MetricDefinition(
        "counter",
        "sfu_packets_repaired_total",
        "Packets that came from publishers after they were asked for.",
        lambda s: s.totals.received.repaired,
    ),
    MetricDefinition(
        "counter",
        "sfu_packets_given_up_total",
        "Packets of publishers that never came.",
        lambda s: s.totals.received.given_up,
    ),
    MetricDefinition(
        "counter",
        "sfu_packets_repeated_total",
        "Packets sent to subscribers again.",
        lambda s: s.totals.sent.retransmitted,
    ),
    # The state store.
    MetricDefinition(
        "histogram",
        "sfu_redis_latency_ms",
        "Round trips to Redis: from sending commands together until the last reply.",
        lambda s: s.store.latency,
    ),
    MetricDefinition(
        "counter",
        "sfu_redis_errors_total",
        "Connections to Redis that failed, and commands that it refused; the log says why.",
        lambda s: sum(s.store.errors.values()),
    ),
    MetricDefinition(
        "histogram",
        "sfu_state_recovery_duration_ms",
        "Time from Redis's first answer until the sessions of the last life were there.",
        lambda s: s.store.recovery,
    ),
    MetricDefinition(
        "gauge", "sfu_store_healthy", "Whether changes are written at once.", lambda s: s.store.healthy
    ),
    MetricDefinition(
        "gauge", "sfu_store_sessions", "Sessions that are kept at the store.", lambda s: s.store.sessions
    ),
    MetricDefinition(
        "gauge", "sfu_store_backlog", "Of them, those yet to be written.", lambda s: s.store.backlog
    ),
    MetricDefinition(
        "counter",
        "sfu_store_sessions_lost_total",
        "Sessions that another server has claimed.",
        lambda s: s.store.lost,
    ),
    # The process and its ports.
    MetricDefinition(
        "counter",
        "sfu_udp_packets_total",
        "Datagrams of the media socket.",
        lambda s: _each({"in": s.socket.packets_in, "out": s.socket.packets_out}),
        ("direction",),
    ),
    MetricDefinition(
        "counter",
        "sfu_udp_bytes_total",
        "Bytes of the media socket's datagrams, without headers of UDP and IP.",
        lambda s: _each({"in": s.socket.bytes_in, "out": s.socket.bytes_out}),
        ("direction",),
    ),
    MetricDefinition(
        "gauge",
        "sfu_udp_buffer_bytes",
        "Size of the media socket's buffers in the kernel, as granted.",
        lambda s: _each({"in": s.socket.receive_buffer, "out": s.socket.send_buffer}),
        ("direction",),
    ),
    MetricDefinition(
        "gauge",
        "sfu_ice_tcp_connections",
        "TCP connections of the port for media: claimed (a peer's) and waiting (no authenticated check yet).",
        lambda s: _each(
            {"claimed": s.ice_tcp.connections - s.ice_tcp.waiting, "waiting": s.ice_tcp.waiting},
        ),
        ("state",),
    ),
    MetricDefinition(
        "counter",
        "sfu_ice_tcp_packets_total",
        "Datagrams that came and went by TCP.",
        lambda s: _each({"in": s.ice_tcp.packets_in, "out": s.ice_tcp.packets_out}),
        ("direction",),
    ),
    MetricDefinition(
        "counter",
        "sfu_ice_tcp_bytes_total",
        "Bytes of the datagrams that came and went by TCP, without framing and headers.",
        lambda s: _each({"in": s.ice_tcp.bytes_in, "out": s.ice_tcp.bytes_out}),
        ("direction",),
    ),
    MetricDefinition(
        "gauge",
        "sfu_routes",
        "Paths and ICE user-name fragments that lead a datagram to its peer.",
        lambda s: s.conference.routes,
    ),
    MetricDefinition(
        "gauge", "sfu_http_connections", "TCP connections of the public port.", lambda s: s.http.connections
    ),
    MetricDefinition("gauge", "sfu_websockets", "Of those, WebSockets.", lambda s: s.http.websockets),
    MetricDefinition(
        "counter",
        "sfu_http_responses_total",
        "Responses of the public port; 101 counts WebSockets.",
        lambda s: [((str(int(status)),), count) for status, count in s.http.responses.items()],
        ("status",),
    ),
    MetricDefinition(
        "counter",
        "sfu_drops_total",
        "What was dropped, by where (socket, route, transport, receive, send, tcp, http, store) and why.",
        _drops,
        ("place", "reason"),
    ),
    MetricDefinition(
        "histogram", "sfu_event_loop_lag_ms", "How late a task runs that is due.", lambda s: s.lag
    ),
)
"""In the order in which they are written."""
