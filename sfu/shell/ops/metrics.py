"""The table of all metrics: the name, the meaning and the source of each.

A label set exists exactly as long as its peer, track or room: the values are read from the objects that exist,
and nothing is kept. To add a metric, write its row here and its line in ``docs/operations.md``.
"""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Final

from sfu.ice.events import IceState
from sfu.shell.ops.metric_definition import MetricDefinition, MetricValues
from sfu.shell.ops.snapshot import Snapshot


def _each(counts: Mapping[str, float]) -> MetricValues:
    return [((name,), count) for name, count in counts.items()]


def _ice_states(snapshot: Snapshot) -> MetricValues:
    states = [peer.connection.transport.state for peer in snapshot.peers]
    return [((state.value,), states.count(state)) for state in IceState]


def _byte_rates(snapshot: Snapshot) -> MetricValues:
    return [item for peer in snapshot.peers for item in peer.byte_rates.items()]


def _losses(snapshot: Snapshot) -> MetricValues:
    return [((peer.id,), peer.loss) for peer in snapshot.peers if peer.loss is not None]


def _drops(snapshot: Snapshot) -> MetricValues:
    totals = snapshot.totals
    places: tuple[tuple[str, Mapping[str, int]], ...] = (
        ("socket", {**snapshot.socket.drops, "receive-buffer-full": snapshot.socket.kernel_drops}),
        ("route", snapshot.conference.drops),
        ("transport", totals.dropped),
        ("receive", totals.received.dropped),
        ("send", totals.sent.dropped),
        ("tcp", snapshot.ice_tcp.drops),
        ("http", snapshot.http.drops),
        ("admin", snapshot.admin_refusals),
        ("store", {**snapshot.store.unreadable, "too-many-sessions": snapshot.store.refused}),
    )
    return [((place, reason), count) for place, counts in places for reason, count in counts.items()]


METRICS: Final[tuple[MetricDefinition, ...]] = (
    # Rooms and sessions.
    MetricDefinition(
        "gauge", "sfu_build_info", "Always 1.", lambda _: [((version("trio-sfu"),), 1)], ("version",)
    ),
    MetricDefinition("gauge", "sfu_rooms", "Rooms, including empty ones.", lambda s: s.conference.rooms),
    MetricDefinition(
        "gauge", "sfu_peers", "Peers in all rooms, including suspended ones.", lambda s: s.conference.peers
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
        "Sessions whose client has lost its connection and may resume.",
        lambda s: s.conference.suspended,
    ),
    MetricDefinition(
        "counter", "sfu_session_recoveries_total", "Sessions resumed.", lambda s: s.conference.resumes
    ),
    MetricDefinition(
        "counter",
        "sfu_session_recovery_failures_total",
        "Joins that named a session but could not resume it.",
        lambda s: s.conference.failed_resumes,
    ),
    MetricDefinition(
        "gauge", "sfu_tasks_per_room", "Tasks of a room and its peers.", lambda s: _each(s.tasks), ("room",)
    ),
    # Connections.
    MetricDefinition("gauge", "sfu_ice_connection_state", "Peers by ICE state.", _ice_states, ("state",)),
    MetricDefinition(
        "counter",
        "sfu_ice_restarts_total",
        "ICE restarts started by either side.",
        lambda s: s.totals.ice_restarts,
    ),
    MetricDefinition(
        "counter",
        "sfu_ice_path_changes_total",
        "Changes of the network path to a peer, with or without an ICE restart.",
        lambda s: s.totals.path_changes,
    ),
    MetricDefinition(
        "counter",
        "sfu_dtls_handshakes_total",
        "DTLS handshakes by result: ok, or the reason of the failure.",
        lambda s: _each(s.conference.handshakes),
        ("result",),
    ),
    MetricDefinition(
        "counter", "sfu_offers_sent_total", "Offers sent to clients.", lambda s: s.totals.offers_sent
    ),
    MetricDefinition(
        "counter",
        "sfu_offers_ignored_total",
        "Offers of clients ignored because they crossed an offer of the server.",
        lambda s: s.totals.offers_ignored,
    ),
    MetricDefinition(
        "counter",
        "sfu_answers_missed_total",
        "Offers of the server that were not answered in time.",
        lambda s: s.totals.answers_missed,
    ),
    MetricDefinition(
        "counter",
        "sfu_signaling_messages_total",
        "Messages of clients by type (? if unknown) and result: ok or the error code.",
        lambda s: s.conference.messages.items(),
        ("type", "result"),
    ),
    MetricDefinition(
        "counter",
        "sfu_auth_refusals_total",
        "Joins rejected by token verification, by reason.",
        lambda s: _each(s.refusals),
        ("reason",),
    ),
    MetricDefinition(
        "gauge", "sfu_auth_keys", "Public keys that verify tokens.", lambda s: s.keys.keys if s.keys else ()
    ),
    MetricDefinition(
        "gauge",
        "sfu_auth_keys_unused",
        "Keys of the key set (JWKS) that are not used, by reason.",
        lambda s: _each(s.keys.unused) if s.keys else (),
        ("reason",),
    ),
    MetricDefinition(
        "gauge",
        "sfu_auth_keys_age_seconds",
        "Time since the key set (JWKS) was read.",
        lambda s: () if s.keys is None or s.keys.age is None else s.keys.age,
    ),
    MetricDefinition(
        "counter",
        "sfu_auth_key_reads_total",
        "Reads of the key set (JWKS) by result: ok, or the reason of the failure.",
        lambda s: _each(s.keys.reads) if s.keys else (),
        ("result",),
    ),
    # Media.
    MetricDefinition(
        "gauge",
        "sfu_subscriptions_active",
        "Tracks that are negotiated for forwarding to a peer, over all peers.",
        lambda s: sum(peer.connection.subscriptions for peer in s.peers),
    ),
    MetricDefinition(
        "counter",
        "sfu_subscription_changes_total",
        "Subscriptions started and ended.",
        lambda s: _each({"subscribe": s.totals.subscribed, "unsubscribe": s.totals.unsubscribed}),
        ("action",),
    ),
    MetricDefinition(
        "gauge",
        "sfu_track_bitrate_bytes",
        "Payload bytes per second that a peer publishes (in) or receives (out), over 5 s.",
        _byte_rates,
        ("peer", "track", "direction"),
    ),
    MetricDefinition(
        "gauge",
        "sfu_packet_loss_ratio",
        "Share of packets lost on the way to a peer, 0 to 1, from its RTCP reports of 5 s.",
        _losses,
        ("peer",),
    ),
    MetricDefinition(
        "histogram",
        "sfu_jitter_ms",
        "Interarrival jitter at a peer, from its RTCP reports.",
        lambda s: [((peer.id,), peer.connection.transport.quality.jitter) for peer in s.peers],
        ("peer",),
    ),
    MetricDefinition(
        "histogram",
        "sfu_rtt_ms",
        "Round-trip time to a peer, from its RTCP reports.",
        lambda s: [((peer.id,), peer.connection.transport.quality.round_trip) for peer in s.peers],
        ("peer",),
    ),
    MetricDefinition(
        "counter",
        "sfu_rtp_packets_total",
        "RTP packets decrypted (in) and forwarded (out), without retransmissions to subscribers.",
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
        "RTCP compound packets decrypted.",
        lambda s: s.totals.rtcp_packets,
    ),
    MetricDefinition(
        "counter",
        "sfu_pli_requests_total",
        "Key frames requested from publishers by PLI or FIR.",
        lambda s: s.totals.received.key_frame_requests,
    ),
    MetricDefinition(
        "counter",
        "sfu_pli_received_total",
        "Key frames that subscribers requested by PLI or FIR.",
        lambda s: s.totals.sent.key_frame_requests,
    ),
    MetricDefinition(
        "counter",
        "sfu_nack_requests_total",
        "Packets requested again from publishers by NACK; each request counts.",
        lambda s: s.totals.received.nacked,
    ),
    MetricDefinition(
        "counter",
        "sfu_nack_received_total",
        "Packets that subscribers requested again by NACK; each request counts.",
        lambda s: s.totals.sent.nacked,
    ),
    MetricDefinition(
        "counter",
        "sfu_packets_repaired_total",
        "Packets that publishers retransmitted after a NACK.",
        lambda s: s.totals.received.repaired,
    ),
    MetricDefinition(
        "counter",
        "sfu_packets_given_up_total",
        "Packets of publishers that never arrived.",
        lambda s: s.totals.received.given_up,
    ),
    MetricDefinition(
        "counter",
        "sfu_packets_repeated_total",
        "Packets retransmitted to subscribers.",
        lambda s: s.totals.sent.retransmitted,
    ),
    # The state store.
    MetricDefinition(
        "histogram",
        "sfu_redis_latency_ms",
        "Round trips to Redis: from sending a pipeline of commands to its last reply.",
        lambda s: s.store.latency,
    ),
    MetricDefinition(
        "counter",
        "sfu_redis_errors_total",
        "Failed connections to Redis and commands that it refused; the log says why.",
        lambda s: sum(s.store.errors.values()),
    ),
    MetricDefinition(
        "histogram",
        "sfu_state_recovery_duration_ms",
        "Time from the first reply of Redis to the restored sessions, after a restart.",
        lambda s: s.store.recovery,
    ),
    MetricDefinition(
        "gauge", "sfu_store_healthy", "1 if session changes are written at once.", lambda s: s.store.healthy
    ),
    MetricDefinition("gauge", "sfu_store_sessions", "Sessions kept in the store.", lambda s: s.store.sessions),
    MetricDefinition(
        "gauge", "sfu_store_backlog", "Sessions with unwritten changes.", lambda s: s.store.backlog
    ),
    MetricDefinition(
        "counter",
        "sfu_store_sessions_lost_total",
        "Sessions claimed by another server.",
        lambda s: s.store.lost,
    ),
    # The process and its ports.
    MetricDefinition(
        "counter",
        "sfu_udp_packets_total",
        "Datagrams received (in) and sent (out) by the media socket.",
        lambda s: _each({"in": s.socket.packets_in, "out": s.socket.packets_out}),
        ("direction",),
    ),
    MetricDefinition(
        "counter",
        "sfu_udp_bytes_total",
        "Bytes of the media socket's datagrams, without UDP and IP headers.",
        lambda s: _each({"in": s.socket.bytes_in, "out": s.socket.bytes_out}),
        ("direction",),
    ),
    MetricDefinition(
        "gauge",
        "sfu_udp_buffer_bytes",
        "Size of the media socket's kernel buffers, as granted.",
        lambda s: _each({"in": s.socket.receive_buffer, "out": s.socket.send_buffer}),
        ("direction",),
    ),
    MetricDefinition(
        "gauge",
        "sfu_ice_tcp_connections",
        "TCP media connections: claimed by a peer, or waiting for an authenticated check.",
        lambda s: _each(
            {"claimed": s.ice_tcp.connections - s.ice_tcp.waiting, "waiting": s.ice_tcp.waiting},
        ),
        ("state",),
    ),
    MetricDefinition(
        "counter",
        "sfu_ice_tcp_packets_total",
        "Datagrams received (in) and sent (out) over TCP media connections.",
        lambda s: _each({"in": s.ice_tcp.packets_in, "out": s.ice_tcp.packets_out}),
        ("direction",),
    ),
    MetricDefinition(
        "counter",
        "sfu_ice_tcp_bytes_total",
        "Bytes of the datagrams over TCP media connections, without framing and headers.",
        lambda s: _each({"in": s.ice_tcp.bytes_in, "out": s.ice_tcp.bytes_out}),
        ("direction",),
    ),
    MetricDefinition(
        "gauge",
        "sfu_routes",
        "Network paths and ICE ufrags that route datagrams to their peers.",
        lambda s: s.conference.routes,
    ),
    MetricDefinition(
        "gauge", "sfu_http_connections", "TCP connections of the HTTP port.", lambda s: s.http.connections
    ),
    MetricDefinition("gauge", "sfu_websockets", "WebSockets of the HTTP port.", lambda s: s.http.websockets),
    MetricDefinition(
        "counter",
        "sfu_http_responses_total",
        "Responses of the HTTP port by status; 101 counts WebSockets.",
        lambda s: [((str(int(status)),), count) for status, count in s.http.responses.items()],
        ("status",),
    ),
    MetricDefinition(
        "counter",
        "sfu_tls_certificate_reads_total",
        "Reads of the TLS certificate by result: ok or error.",
        lambda s: _each(s.tls.reads) if s.tls else (),
        ("result",),
    ),
    MetricDefinition(
        "gauge",
        "sfu_tls_certificate_remaining_seconds",
        "Time until the TLS certificate expires, negative afterwards.",
        lambda s: () if s.tls is None or s.tls.remaining is None else s.tls.remaining,
    ),
    MetricDefinition(
        "counter",
        "sfu_drops_total",
        "Drops by place (socket, route, transport, receive, send, tcp, http, admin, store) and reason.",
        _drops,
        ("place", "reason"),
    ),
    MetricDefinition(
        "counter",
        "sfu_internal_errors_total",
        "Contained defects of the server by where they showed.",
        lambda s: _each(s.internal_errors),
        ("where",),
    ),
    MetricDefinition(
        "histogram", "sfu_event_loop_lag_ms", "How much later than planned tasks run.", lambda s: s.lag
    ),
)
"""In the order of the output."""
