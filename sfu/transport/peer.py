"""One peer's transport: everything between the datagrams of one RTCPeerConnection and its media.

    datagram ─> SecureChannel ─> RTP ──> StreamTable ─> ReceiveStream ─> `MediaPacket`, for `fan_out`
                (ICE DTLS SRTP)  RTCP ─> RtcpSession ─> the stream that it is about
                      datagrams <─ RTCP <─┘ <─ reports and feedback of the streams

Media that is forwarded *to* the peer does not pass through here: `fan_out` writes it straight into the outgoing
batch, with the peer's `SendStream`s and their common `send_context`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sfu.deadlines import earliest
from sfu.dtls.certificate import Certificate
from sfu.dtls.connection import DtlsStatistics
from sfu.errors import BadPacket
from sfu.ice.agent import IceAgent
from sfu.ice.credentials import Credentials
from sfu.ice.events import IceEvent, IceState, IceStatistics, PathSelected
from sfu.ice.lite import IceLiteAgent
from sfu.ice.path import IcePath
from sfu.rtp import extensions
from sfu.rtp.history import DEPTH
from sfu.rtp.packet import RtpPacket
from sfu.sdp.mline import Receiver
from sfu.sdp.transport import RemoteTransport
from sfu.transport.demux import PacketKind
from sfu.transport.events import (
    KeyFrameRequested,
    Secured,
    SsrcReleased,
    StreamEnded,
    StreamStarted,
    TransportClosed,
    TransportFailed,
)
from sfu.transport.receive_stream import MediaPacket, ReceiveStream
from sfu.transport.reception_reports import QualityStatistics
from sfu.transport.rtcp_session import RtcpSession
from sfu.transport.secure import SecureChannel
from sfu.transport.send_context import SendContext, SsrcSequence
from sfu.transport.send_stream import SendStream
from sfu.transport.stream_statistics import ReceiveTotals, SendTotals
from sfu.transport.stream_table import StreamTable

TransportEvent = (
    IceEvent | Secured | TransportClosed | TransportFailed | StreamStarted | StreamEnded | KeyFrameRequested
)


@dataclass(frozen=True, slots=True)
class TransportStatistics:
    """Counters of one transport since it was made."""

    state: IceState
    rtp_packets: int
    """Received and decrypted."""
    rtp_octets: int
    """Their bytes, headers included, without SRTP's."""
    rtcp_packets: int
    """Compounds received and decrypted."""
    drops: Mapping[str, int]
    """Datagrams and packets dropped, by reason, those of ICE and DTLS included."""
    ice: IceStatistics
    dtls: DtlsStatistics
    received: ReceiveTotals
    """Of all published streams."""
    sent: SendTotals
    """Of all outgoing streams."""
    quality: QualityStatistics
    """What the peer reports about their arrival."""


class PeerTransport:
    """ICE, DTLS, SRTP, RTP and RTCP of one peer as one machine with the usual five verbs."""

    def __init__(
        self,
        *,
        credentials: Credentials,
        certificate: Certificate,
        random: Callable[[int], bytes],
        now: float,
        history_depth: int = DEPTH,
        key_log: Callable[[str], None] | None = None,
        ice: IceAgent | None = None,
    ) -> None:
        """`random` gives that many unpredictable bytes. `history_depth` is in packets per published stream.

        `key_log` is given the secrets of DTLS, for Wireshark. `ice` is the agent, by default a lite one.
        """
        agent = ice or IceLiteAgent(credentials, now=now)
        self._channel = SecureChannel(agent, certificate, random=random, key_log=key_log)
        self._drops: Counter[str] = Counter()
        self.make_ssrc = SsrcSequence(random)
        """Gives SSRCs for outgoing streams, each only once."""
        # The SSRC that feedback and receiver reports are sent from.
        ssrc = self.make_ssrc()
        self._streams = StreamTable(local_ssrc=ssrc, drops=self._drops, history_depth=history_depth)
        self._rtcp = RtcpSession(ssrc=ssrc, streams=self._streams, drops=self._drops, random=random)
        self._transport_sequence_id: int | None = None
        self._outgoing: list[tuple[bytes, IcePath]] = []
        self._events: list[TransportEvent] = []
        self._rtp_packets = self._rtp_octets = self._rtcp_packets = 0
        self._removed = SendTotals()

    # State

    @property
    def state(self) -> IceState:
        """ICE's state."""
        return self._channel.ice.state

    @property
    def ended(self) -> bool:
        """Closed by either side, or failed: nothing is processed any more."""
        return self._channel.ended

    @property
    def selected(self) -> IcePath | None:
        """The path that datagrams to the peer are sent on; `None` while nothing may be sent."""
        return self._channel.ice.selected

    @property
    def send_context(self) -> SendContext:
        """What the peer's outgoing streams send with; open while they may send."""
        return self._channel.send_context

    @property
    def streams(self) -> Iterable[ReceiveStream]:
        """The published streams that have begun."""
        return self._streams.streams()

    @property
    def senders(self) -> Iterable[SendStream]:
        """The outgoing streams."""
        return self._rtcp.senders.values()

    @property
    def local_ssrc(self) -> int:
        """The SSRC that feedback and receiver reports are sent from."""
        return self._rtcp.ssrc

    @property
    def quality(self) -> QualityStatistics:
        """What the peer reports about the arrival of the outgoing streams."""
        return self._rtcp.quality.statistics()

    @property
    def credentials(self) -> Credentials:
        """The local ICE credentials for the next description: those of a restart as soon as it has begun."""
        return self._channel.ice.pending or self._channel.ice.local

    def ufrags(self) -> list[str]:
        """Return the user-name fragments by which checks are routed here (see `RouteTable`)."""
        return self._channel.ice.ufrags()

    def statistics(self) -> TransportStatistics:
        """Return counters for metrics. Each stream has its own too."""
        ice, dtls = self._channel.ice.statistics(), self._channel.dtls.statistics()
        drops = self._drops + self._channel.drops
        drops.update(ice.drops)
        drops.update(dtls.dropped)
        sent = SendTotals()
        sent.add(self._removed)
        for stream in self.senders:
            sent.add(stream.statistics())
        return TransportStatistics(
            state=self.state,
            rtp_packets=self._rtp_packets,
            rtp_octets=self._rtp_octets,
            rtcp_packets=self._rtcp_packets,
            drops=drops,
            ice=ice,
            dtls=dtls,
            received=self._streams.totals(),
            sent=sent,
            quality=self.quality,
        )

    # What negotiation decides

    def set_remote(self, remote: RemoteTransport, now: float) -> None:
        """Take the peer's description. No media passes before DTLS is complete and the fingerprint matches."""
        self._channel.set_remote(remote, now)
        self._follow(now)

    def set_receivers(self, receivers: Iterable[Receiver], now: float) -> None:
        """Set what the peer may send from now on. Streams begin with their first packets, and may end here."""
        if self.ended:
            return
        receivers = list(receivers)
        self._streams.set_receivers(receivers, now)
        uri = extensions.TRANSPORT_SEQUENCE_NUMBER.uri
        ids = [id_ for receiver in receivers for id_, name in receiver.extensions.items() if name == uri]
        # Within a BUNDLE an id means the same everywhere (RFC 9143 section 9.2).
        self._transport_sequence_id = ids[0] if ids else None
        self._follow(now)

    def add_sender(self, stream: SendStream) -> None:
        """Add an outgoing stream: send its reports, and give it the RTCP that is about it.

        Its SSRCs are from `make_ssrc`, and it sends with `send_context`. Raises `ValueError` for an SSRC that
        is in use: it would begin with other sequence numbers and repeat SRTP nonces. The stream stays as long
        as its m-line; `bind` changes its source.
        """
        if stream.ssrc in self._rtcp.senders:
            raise ValueError(f"there is an outgoing stream with SSRC {stream.ssrc:#010x}")
        self._rtcp.senders[stream.ssrc] = stream

    def remove_sender(self, stream: SendStream, now: float) -> None:
        """Remove an outgoing stream whose m-line is gone. Its counts stay in `statistics`.

        Its SSRCs must not be used again: SRTP has forgotten their packet counters.
        """
        del self._rtcp.senders[stream.ssrc]
        stream.bind(None, now)
        for ssrc in (stream.ssrc, stream.rtx_ssrc):
            if ssrc is not None:
                self._channel.forget_own(ssrc)
        self._removed.add(stream.statistics())

    def restart_ice(self, credentials: Credentials, now: float) -> None:
        """Begin an ICE restart. The old credentials and path are used until the peer nominates with the new."""
        self._channel.restart_ice(credentials, now)
        self._follow(now)

    def has_consent(self, path: IcePath, now: float) -> bool:
        """Return whether the peer keeps `path` (see `RouteTable`)."""
        return self._channel.has_consent(path, now)

    def lose_path(self, path: IcePath, now: float) -> None:
        """The connection that carries `path` has ended (TCP): ICE retires it at once."""
        self._channel.lose_path(path, now)
        self._follow(now)

    def set_path_full(self, path: IcePath, full: bool, now: float) -> None:
        """The connection of `path` (TCP) has more data waiting than it should have, or has drained.

        This has no effect unless `path` is the selected one. While it is full, no video frame begins. When it
        has drained, videos go on, with key frames where frames were dropped.
        """
        context = self.send_context
        if path != context.path or full is context.full:
            return
        context.full = full
        for sender in self.senders:
            sender.path_full_changed(now)
            if sender.source is not None and not full:
                self._events.append(KeyFrameRequested(sender.source))

    def follow_ice(self, now: float) -> None:
        """Handle the events of the ICE agent after its owner has called it directly."""
        self._channel.follow_ice(now)
        self._follow(now)

    # The five verbs

    def receive(self, data: bytes, path: IcePath, now: float) -> MediaPacket | None:
        """Take a datagram. Return the media packet to forward, if it brought one.

        Forward it after the events have been taken: the first packet of a stream comes with `StreamStarted`.
        Never raises: what is wrong with a datagram shows in `statistics().drops`.
        """
        received = self._channel.receive(data, path, now)
        if received is None:
            self._follow(now)
            return None
        kind, plain = received
        media = None
        try:
            if kind is PacketKind.RTP:
                media = self._receive_rtp(plain, now)
            else:
                self._receive_rtcp(plain, now)
        except BadPacket as error:
            self._drops[error.reason] += 1
        if kind is PacketKind.RTCP:
            # RTCP is the peer's sign of life, so ICE may have an event.
            self._follow(now)
        return media

    def outgoing(self, now: float) -> list[tuple[bytes, IcePath]]:
        """Return the datagrams to send, except forwarded media."""
        datagrams = self._channel.outgoing(now)
        if self._outgoing:
            datagrams = self._outgoing + datagrams
            self._outgoing = []
        return datagrams

    def next_timeout(self) -> float | None:
        """Return when `handle_timeout` has something to do; `None` if never."""
        if self.ended:
            return None
        return earliest(self._channel.next_timeout(), self._rtcp.next_timeout())

    def handle_timeout(self, now: float) -> None:
        """Do what is due at `now`: ICE, DTLS, requests to the publisher, reports."""
        if self.ended:
            return
        self._channel.handle_timeout(now)
        self._follow(now)
        if not self.ended:
            self._send(self._rtcp.take_due(now), rtcp=True)

    def events(self) -> list[TransportEvent]:
        """Return what happened since the last call, in order."""
        events, self._events = self._events, []
        return events

    def close(self, now: float) -> None:
        """Send RTCP BYE and DTLS close_notify (by `outgoing`), free the SRTP contexts, end all streams.

        Nothing is processed afterwards. Harmless when the transport has ended.
        """
        if self.ended:
            return
        self._send(self._rtcp.goodbye(), rtcp=True)
        self._channel.close(now)
        self._follow(now)

    # RTP in

    def _receive_rtp(self, data: bytes, now: float) -> MediaPacket | None:
        packet = RtpPacket.parse(data)
        self._rtp_packets += 1
        self._rtp_octets += len(data)
        # First, since transport-wide feedback is about the path: a packet of an unknown stream has arrived too.
        if self._transport_sequence_id is not None:
            element = packet.extension(self._transport_sequence_id)
            if element is not None:
                number = extensions.TRANSPORT_SEQUENCE_NUMBER.decode(element)
                self._rtcp.arrivals.record(number, now)
        streams = self._streams
        ssrc = packet.ssrc
        if ssrc not in streams.media and ssrc not in streams.repairs:
            associated = streams.associate(packet, now)
            self._follow_streams()
            if not associated:
                return None
        stream = streams.media.get(ssrc)
        if stream is not None:
            return stream.receive(packet, data, now)
        return streams.repairs[ssrc].receive_rtx(packet, now)

    # RTCP

    def _receive_rtcp(self, data: bytes, now: float) -> None:
        retransmissions = self._rtcp.receive(data, now)
        self._rtcp_packets += 1
        if retransmissions:
            self._send(retransmissions, rtcp=False)

    def _send(self, packets: Iterable[bytes], *, rtcp: bool) -> None:
        """Encrypt and queue packets; drop them if there are no keys, or there is no consent to send."""
        srtp, path = self.send_context.srtp, self.send_context.path
        if srtp is None or path is None:
            return
        protect = srtp.protect_rtcp if rtcp else srtp.protect
        for packet in packets:
            try:
                self._outgoing.append((protect(packet), path))
            except BadPacket as error:
                self._drops[error.reason] += 1

    # Events of the parts

    def _follow(self, now: float) -> None:
        for event in self._channel.events():
            self._events.append(event)
            if isinstance(event, Secured):
                self._rtcp.start(now)
            if isinstance(event, Secured | PathSelected) and self.send_context.srtp is not None:
                self._rtcp.request_key_frames(now)
        if self.ended:
            self._streams.close(now)
            self._rtcp.stop(now)
        self._events += self._rtcp.events()
        self._follow_streams()

    def _follow_streams(self) -> None:
        for event in self._streams.events():
            if isinstance(event, SsrcReleased):
                self._channel.forget(event.ssrc)
            else:
                self._events.append(event)
