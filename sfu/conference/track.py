"""A published track, and the outgoing streams that forward it."""

from collections.abc import Sequence

from sfu.conference.messages import Source, TrackInfo, TrackPublished, TrackUnpublished
from sfu.sdp import Codec
from sfu.sdp.mline import MediaKind
from sfu.transport.receive_stream import ReceiveStream
from sfu.transport.send_stream import SendStream


class Track:
    """One audio or video source of one peer, from its first negotiation to its last.

    It lasts longer than its RTP stream, which begins with the publisher's first packet and is replaced when the
    publisher changes its SSRC. It also lasts longer than the publisher's connection: when a session goes on
    with a new connection, the track is *dormant* until it is published again.
    """

    def __init__(self, track_id: str, publisher_id: str, kind: MediaKind, source: Source) -> None:
        self.id = track_id
        self.publisher_id = publisher_id
        """The id of the peer that publishes it."""
        self.kind: MediaKind = kind
        self.source: Source = source
        self.mid: str | None = None
        """The publisher's m-line; None while dormant."""
        self.codecs: tuple[Codec, ...] = ()
        """What the publisher may send, with its own payload types."""
        self.stream: ReceiveStream | None = None
        """The incoming stream; None before the first packet."""
        self.senders: list[SendStream] = []
        """The outgoing streams that forward it."""

    def negotiated(self, mid: str, codecs: Sequence[Codec]) -> None:
        """Note the m-line and the codecs on which the publisher has negotiated the track."""
        self.mid = mid
        self.codecs = tuple(codecs)

    def make_dormant(self, now: float) -> None:
        """Stop forwarding: the publisher may publish the track again on another m-line or connection."""
        self.mid = None
        self.stream = None
        for sender in self.senders:
            sender.bind(None, now)

    def start(self, stream: ReceiveStream, now: float) -> None:
        """Forward `stream` from now on: the publisher's first packet has come, or the first of a new SSRC."""
        self.stream = stream
        for sender in self.senders:
            sender.bind(stream, now)

    def add_sender(self, sender: SendStream, now: float) -> None:
        """Forward the track on `sender`. Doing it twice is harmless."""
        if sender not in self.senders:
            self.senders.append(sender)
        sender.bind(self.stream, now)

    def remove_sender(self, sender: SendStream, now: float) -> None:
        """Stop forwarding the track on `sender`."""
        self.senders.remove(sender)
        sender.bind(None, now)

    def info(self) -> TrackInfo:
        """Describe the track to a peer that joins later."""
        return TrackInfo(self.id, self.kind, self.source, ())

    def published(self, *, to_publisher: bool = False) -> TrackPublished:
        """Return the announcement of the track. Only the publisher is told the mid."""
        return TrackPublished(
            self.id, self.kind, self.publisher_id, self.source, (), self.mid if to_publisher else None
        )

    def unpublished(self, *, to_publisher: bool = False) -> TrackUnpublished:
        """Return the announcement that the track has ended. Only the publisher is told the mid."""
        return TrackUnpublished(
            self.id, self.kind, self.publisher_id, self.source, (), self.mid if to_publisher else None
        )
