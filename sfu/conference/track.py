"""A published track and the streams on which it goes out."""

from collections.abc import Sequence

from sfu.conference.messages import Source, TrackInfo, TrackPublished, TrackUnpublished
from sfu.sdp import Codec
from sfu.sdp.mline import MediaKind
from sfu.transport.receive_stream import ReceiveStream
from sfu.transport.send_stream import SendStream


class Track:
    """One audio or video source of one peer, from its first negotiation to its last.

    It outlives the RTP stream that feeds it: the stream is there from the publisher's first packet, and may be
    another one after the publisher has changed its SSRC. It outlives the publisher's connection as well: when a
    session comes back with a new one, the track is *dormant* until it is published again.
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
        """Where the media comes from, once it does."""
        self.senders: list[SendStream] = []
        """The slots that have been negotiated for it: they follow its stream."""

    def carry(self, mid: str, codecs: Sequence[Codec]) -> None:
        """The publisher has negotiated the track on this m-line."""
        self.mid = mid
        self.codecs = tuple(codecs)

    def sleep(self, now: float) -> None:
        """The publisher sends it no longer, and may bring it back, on another m-line or connection."""
        self.mid = None
        self.stream = None
        for sender in self.senders:
            sender.bind(None, now)

    def start(self, stream: ReceiveStream, now: float) -> None:
        """The publisher's first packet came, or the first of a new SSRC: forward it from now on."""
        self.stream = stream
        for sender in self.senders:
            sender.bind(stream, now)

    def add_sender(self, sender: SendStream, now: float) -> None:
        """Send the track through `sender`; harmless when it is sent there already."""
        if sender not in self.senders:
            self.senders.append(sender)
        sender.bind(self.stream, now)

    def remove_sender(self, sender: SendStream, now: float) -> None:
        """Send the track through `sender` no longer."""
        self.senders.remove(sender)
        sender.bind(None, now)

    def info(self) -> TrackInfo:
        """Describe the track to somebody who comes later."""
        return TrackInfo(self.id, self.kind, self.source, ())

    def published(self, *, to_publisher: bool = False) -> TrackPublished:
        """Announce the track; only the publisher is told its mid."""
        return TrackPublished(
            self.id, self.kind, self.publisher_id, self.source, (), self.mid if to_publisher else None
        )

    def unpublished(self, *, to_publisher: bool = False) -> TrackUnpublished:
        """Announce the end of the track; only the publisher is told its mid."""
        return TrackUnpublished(
            self.id, self.kind, self.publisher_id, self.source, (), self.mid if to_publisher else None
        )
