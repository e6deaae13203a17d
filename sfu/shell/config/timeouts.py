"""How long the shell waits for others, and how often it tries again.

One object, so that a test can pass shorter times. Operators do not set these.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Times in seconds."""

    # The server.
    stop: float = 5.0
    """For the tasks of the rooms to end when the server stops."""
    flush: float = 3.0
    """For the store to write the waiting changes when the server stops."""
    observe_interval: float = 10.0
    """Between two lines of the debug log with the numbers of rooms, peers and tasks."""
    systemd_notify: float = 1.0
    """For systemd to take a message."""
    systemd_retry: float = 0.05
    """Without trying, while systemd's socket is full."""

    # Signaling.
    join: float = 60.0
    """From opening a WebSocket to the join that succeeds, whatever else the client sends meanwhile."""
    signaling_keepalive: float = 15.0
    """After a client's last message until it is pinged. Proxies drop connections that are idle for 30 s or
    60 s."""
    signaling_stall: float = 20.0
    """For a client to read a message or answer a ping, before it counts as disconnected."""

    # HTTP.
    http_head: float = 10.0
    """From accepting a connection (TLS handshake included) to its first complete request."""
    http_idle: float = 30.0
    """For the next request on a connection that is kept alive."""
    http_body: float = 10.0
    """For a request's body. The body is read and dropped: no resource here uses one."""
    http_send: float = 60.0
    """For a client to receive a response."""
    http_linger: float = 1.0
    """How long the server keeps reading after a refusal. Closing a socket with unread data sends a reset, which
    can destroy the response before the client has read it (RFC 9112 section 9.6)."""
    websocket_close: float = 2.0
    """For a client's last messages and its answer to our close frame."""

    # The TLS certificate of the public port.
    certificate_poll: float = 60.0
    """Between two looks at whether its files have changed."""
    certificate_report: float = 86_400.0
    """Between two log lines that say when it expires."""

    # The public keys that verify join tokens.
    key_read: float = 10.0
    """For one read of the key set."""
    key_cooldown: float = 30.0
    """From one read of the key set to the next that an unknown key may trigger."""
    key_retry_min: float = 1.0
    """From the first failed read of the key set to the next. Doubled with each further failure."""
    key_retry_max: float = 30.0
    """The longest time from a failed read of the key set to the next."""
    key_wait: float = 3.0
    """How long a join waits for a read of the key set that may bring its key."""
    report_interval: float = 60.0
    """Between two log lines about a failure that goes on."""

    # Sessions at the store.
    lease_refresh: float = 15.0
    """Between two extensions of a stored session's lease. One small command per session: little beside its
    media."""
    redis_connect: float = 3.0
    """For a connection to Redis: TCP, TLS and log-in."""
    redis_reply: float = 5.0
    """For all replies to one batch of commands: ten times as long as a very slow Redis takes."""
    redis_close: float = 1.0
    """For closing a connection to Redis. With TLS that waits for the other side."""
    redis_heartbeat: float = 2.0
    """Without a command, until the server checks that Redis still answers."""
    redis_gather: float = 0.01
    """How long a change waits for others: a join makes several within a moment, and they are written
    together."""
    redis_claim: float = 2.0
    """For a claim: two round trips and the batch that is on its way, at half a second each, and a little
    more."""
    redis_retry_min: float = 0.1
    """From the first failure of Redis to the next try. Doubled with each further failure."""
    redis_retry_max: float = 5.0
    """The longest time from a failure of Redis to the next try."""

    # Media by TCP.
    tcp_unclaimed: float = 10.0
    """How long a connection may lead to no peer. Browsers check as soon as they are connected."""
    tcp_sweep: float = 5.0
    """Between two searches for such connections, and so how much longer one may live."""
    tcp_exhausted: float = 0.1
    """Without accepting, when there is no file descriptor or memory for one more connection."""
    tcp_unacknowledged: float = 30.0
    """Without an acknowledgement, until the kernel ends a connection: as long as consent lasts (RFC 7675)."""

    # Full ICE agents.
    ice_server: float = 5.0
    """For one STUN or TURN server, before the next one is tried."""
    ice_release: float = 2.0
    """For closing the sockets of one ICE generation. A TURN allocation is released by a request, and the server
    should answer it."""
    ice_retry: float = 1.0
    """From the failure of a peer's event loop to the next one. Without a free file descriptor none can be
    opened."""

    # Measuring.
    meter_interval: float = 5.0
    """Between two readings of all counters. A client sends several RTCP reports in that time."""
    lag_interval: float = 0.1
    """Between two measurements of the event loop's lag."""


DEFAULT_TIMEOUTS: Final = Timeouts()
