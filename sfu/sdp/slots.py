"""The m-lines of a session and the slots on them: which line carries which track, and which comes next.

The number of lines follows the peak of tracks at one time, not their sum: free slots, lines on which the client
waits to receive, and stopped lines are used again before a new one is added.
"""

from collections.abc import Callable, Sequence

from sfu.sdp.attributes import Msid
from sfu.sdp.capabilities import KINDS
from sfu.sdp.codecs import Codec, find
from sfu.sdp.errors import TooManyLines
from sfu.sdp.mline import MediaKind, MLine, Receiver, Sender
from sfu.sdp.numbering import PayloadTypes
from sfu.sdp.remote import PROTOCOL


class Slots:
    """All m-lines of one session, and the slots that still wait for one."""

    def __init__(self, make_ssrc: Callable[[], int], max_lines: int) -> None:
        self.lines: list[MLine] = []
        """As last described by the client."""
        self.waiting: list[Sender] = []
        """Slots without a line, in the order in which they get one."""
        self._make_ssrc = make_ssrc
        self._max_lines = max_lines
        self._mids_made = 0

    @property
    def receivers(self) -> list[Receiver]:
        """What the client sends or has sent, one per m-line that is not stopped."""
        return [line.receiver for line in self.lines if line.receiver is not None]

    @property
    def senders(self) -> list[Sender]:
        """The slots: those with an m-line in the order of the lines, then those that wait for one."""
        return [*(line.sender for line in self.lines if line.sender is not None), *self.waiting]

    def acquire(self, kind: MediaKind, msid: Msid, wanted: tuple[Codec, ...], cname: str) -> Sender:
        """Bind a track to the slot that suits it best. Raises `TooManyLines`."""
        sender = self._free_slot(kind) or self._spare_line(kind, wanted) or self._new_slot(kind)
        sender.msid = msid
        sender.wanted = wanted
        sender.cname = cname
        return sender

    def adopt(self, lines: list[MLine]) -> None:
        """Make these the m-lines. Slots on stopped lines are gone; waiting slots may have found their line."""
        for line, now in zip(lines, self.lines, strict=False):
            if line.mid == now.mid:
                # A slot may have been given to a line that was free when the offer was made.
                line.sender = line.sender or now.sender
            elif now.sender is not None and line.sender is not now.sender:
                now.sender.stop()
        for gone in self.lines[len(lines) :]:
            if gone.sender is not None:
                gone.sender.stop()
        waiting: dict[tuple[str | None, str], Sender] = {
            (sender.reserved_mid, sender.kind): sender for sender in self.waiting
        }
        for line in lines:
            if line.stopped and line.sender is not None:
                line.sender.stop()
                line.sender = None
            elif not line.stopped and line.sender is None:
                # The client has applied an offer that we took back for want of an answer.
                line.sender = waiting.get((line.mid, line.kind))
        placed = {line.sender for line in lines}
        self.waiting = [sender for sender in self.waiting if sender not in placed and not sender.stopped]
        self.lines = lines

    def plan(self, payload_types: PayloadTypes, occupied: frozenset[int]) -> list[MLine]:
        """Return the m-lines of our next offer: copies of the present ones, and one for each slot without one.

        `occupied` are the places of stopped lines that must not be recycled. A slot that was offered an m-line
        before keeps its turn and its mid, even if it is free now: the client may have applied that offer, and
        then has the line at that place. Otherwise a slot gets no m-line if it is free, or if no payload type is
        left for its track.
        """
        lines = [line.copy() for line in self.lines]
        mids = {line.mid for line in lines}
        self.waiting.sort(key=lambda sender: sender.reserved_mid is None)
        for sender in self.waiting:
            numbered = sender.msid is not None and payload_types.assign(sender.kind, sender.wanted)
            if sender.reserved_mid is None and not numbered:
                continue
            if sender.reserved_mid is None or sender.reserved_mid in mids:
                sender.reserved_mid = self._make_mid(mids)
            mids.add(sender.reserved_mid)
            line = MLine(sender.reserved_mid, sender.kind, PROTOCOL, rtcp_rsize=True, sender=sender)
            for index, old in enumerate(lines):
                if old.stopped and index not in occupied and old.kind == sender.kind:
                    lines[index] = line  # recycled, RFC 9429 section 5.2.2
                    break
            else:
                lines.append(line)
        return lines

    def _make_mid(self, taken: set[str]) -> str:
        """A mid that no line has. Browsers count from 0 up; the letter keeps out of their way at a glare."""
        while True:
            mid = f"s{self._mids_made}"
            self._mids_made += 1
            if mid not in taken:
                return mid

    def _free_slot(self, kind: MediaKind) -> Sender | None:
        """A slot without a track, best one that the client knows is free: then the track is a new event."""
        refused = {line.sender for line in self.lines if not line.remote_receives}
        free = (
            sender
            for sender in self.senders
            if sender.kind == kind and sender.msid is None and sender not in refused
        )
        return min(free, key=lambda sender: sender.told.msid is not None, default=None)

    def _spare_line(self, kind: MediaKind, wanted: Sequence[Codec]) -> Sender | None:
        """A new slot on an m-line on which the client waits to receive and nobody sends."""
        for line in self.lines:
            spare = line.kind == kind and line.remote_receives and not line.receives and line.sender is None
            if spare and not line.stopped and any(find(wanted, codec) for codec in line.codecs):
                line.sender = self._make_sender(kind)
                return line.sender
        return None

    def _new_slot(self, kind: MediaKind) -> Sender:
        living = sum(not (line.stopped and line.kind in KINDS) for line in self.lines)
        if living + len(self.waiting) >= self._max_lines:
            raise TooManyLines(f"all {self._max_lines} m-lines are in use")
        sender = self._make_sender(kind)
        self.waiting.append(sender)
        return sender

    def _make_sender(self, kind: MediaKind) -> Sender:
        taken = {ssrc for sender in self.senders for ssrc in (sender.ssrc, sender.rtx_ssrc)}
        for receiver in self.receivers:
            taken.update(receiver.ssrcs, receiver.rtx_ssrcs.values())
        ssrcs: list[int] = []
        while len(ssrcs) < (2 if kind == "video" else 1):
            ssrc = self._make_ssrc()
            if ssrc not in taken:
                taken.add(ssrc)
                ssrcs.append(ssrc)
        return Sender(kind, ssrcs[0], ssrcs[1] if kind == "video" else None)
