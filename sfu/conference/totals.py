"""Counts of connections that have ended, kept so that no counter ever decreases."""

from collections import Counter
from dataclasses import dataclass, field

from sfu.conference.connection import ConnectionStatistics
from sfu.transport.stream_statistics import ReceiveTotals, SendTotals


@dataclass(slots=True)
class ConnectionTotals:
    """Sums over connections."""

    rtp_packets: int = 0
    """Received and decrypted."""
    rtcp_packets: int = 0
    """Compounds received and decrypted."""
    ice_restarts: int = 0
    path_changes: int = 0
    """How often a peer's selected path has changed."""
    offers_sent: int = 0
    offers_ignored: int = 0
    """Clients' offers that were ignored because they crossed one of ours."""
    answers_missed: int = 0
    """Our offers that were not answered in time."""
    subscribed: int = 0
    unsubscribed: int = 0
    received: ReceiveTotals = field(default_factory=ReceiveTotals)
    sent: SendTotals = field(default_factory=SendTotals)
    dropped: Counter[str] = field(default_factory=Counter)
    """Datagrams and packets that transports dropped before they belonged to a stream, by reason."""

    def add(self, connection: ConnectionStatistics) -> None:
        """Add the counts of a connection: once, after it has ended, or to a temporary copy."""
        transport, negotiation = connection.transport, connection.negotiation
        self.rtp_packets += transport.rtp_packets
        self.rtcp_packets += transport.rtcp_packets
        self.ice_restarts += connection.ice_restarts
        self.path_changes += transport.ice.path_changes
        self.offers_sent += negotiation.offers_sent
        self.offers_ignored += negotiation.offers_ignored
        self.answers_missed += negotiation.answers_missed
        self.subscribed += connection.subscribed
        self.unsubscribed += connection.unsubscribed
        self.received.add(transport.received)
        self.sent.add(transport.sent)
        self.dropped.update(transport.drops)
