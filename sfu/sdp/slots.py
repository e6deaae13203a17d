"""The m-lines of a session and the slots on them: which line carries which track.

The number of lines follows the peak of simultaneous tracks, not their sum: a track uses a free slot, a line on
which the client waits to receive, or a stopped line before a new line is added.
"""

from collections.abc import Callable, Sequence

from sfu.sdp.attributes import Msid
from sfu.sdp.capabilities import KINDS
from sfu.sdp.codecs import Codec, find
from sfu.sdp.errors import TooManyLines
from sfu.sdp.mline import MediaKind, MLine, Receiver, SendSlot
from sfu.sdp.numbering import PayloadTypes
from sfu.sdp.remote import PROTOCOL


class Slots:
    """All m-lines of one session, and the slots that still need one."""

    def __init__(self, make_ssrc: Callable[[], int], max_lines: int) -> None:
        self.lines: list[MLine] = []
        """As last described by the client."""
        self.waiting: list[SendSlot] = []
        """Slots without a line, in the order in which they get one."""
        self._make_ssrc = make_ssrc
        self._max_lines = max_lines
        self._mids_made = 0

    @property
    def receivers(self) -> list[Receiver]:
        """What the client sends or has sent, one per m-line that is not stopped."""
        return [line.receiver for line in self.lines if line.receiver is not None]

    @property
    def send_slots(self) -> list[SendSlot]:
        """The slots: those with an m-line in the order of the lines, then those that still need one."""
        return [*(line.slot for line in self.lines if line.slot is not None), *self.waiting]

    def acquire(self, kind: MediaKind, msid: Msid, wanted: tuple[Codec, ...], cname: str) -> SendSlot:
        """Bind a track to the most suitable slot. Raises `TooManyLines`."""
        slot = self._free_slot(kind) or self._spare_line(kind, wanted) or self._new_slot(kind)
        slot.msid = msid
        slot.wanted = wanted
        slot.cname = cname
        return slot

    def adopt(self, lines: list[MLine]) -> None:
        """Make these the m-lines. Slots on stopped lines end; a waiting slot may get its line."""
        for line, now in zip(lines, self.lines, strict=False):
            if line.mid == now.mid:
                # A slot may have been given to a line that was free when the offer was made.
                line.slot = line.slot or now.slot
            elif now.slot is not None and line.slot is not now.slot:
                now.slot.stop()
        for gone in self.lines[len(lines) :]:
            if gone.slot is not None:
                gone.slot.stop()
        waiting: dict[tuple[str | None, str], SendSlot] = {
            (slot.reserved_mid, slot.kind): slot for slot in self.waiting
        }
        for line in lines:
            if line.stopped and line.slot is not None:
                line.slot.stop()
                line.slot = None
            elif not line.stopped and line.slot is None:
                # The client has applied an offer that we rolled back without its answer.
                line.slot = waiting.get((line.mid, line.kind))
        placed = {line.slot for line in lines}
        self.waiting = [slot for slot in self.waiting if slot not in placed and not slot.stopped]
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
        self.waiting.sort(key=lambda slot: slot.reserved_mid is None)
        for slot in self.waiting:
            numbered = slot.msid is not None and payload_types.assign(slot.kind, slot.wanted)
            if slot.reserved_mid is None and not numbered:
                continue
            if slot.reserved_mid is None or slot.reserved_mid in mids:
                slot.reserved_mid = self._make_mid(mids)
            mids.add(slot.reserved_mid)
            line = MLine(slot.reserved_mid, slot.kind, PROTOCOL, rtcp_rsize=True, slot=slot)
            for index, old in enumerate(lines):
                if old.stopped and index not in occupied and old.kind == slot.kind:
                    lines[index] = line  # recycled, RFC 9429 section 5.2.2
                    break
            else:
                lines.append(line)
        return lines

    def _make_mid(self, taken: set[str]) -> str:
        """Return a mid that no line has. Browsers count from 0; the letter avoids clashes at a glare."""
        while True:
            mid = f"s{self._mids_made}"
            self._mids_made += 1
            if mid not in taken:
                return mid

    def _free_slot(self, kind: MediaKind) -> SendSlot | None:
        """Return a slot without a track, preferably one that the client knows to be free."""
        refused = {line.slot for line in self.lines if not line.remote_receives}
        free = (
            slot for slot in self.send_slots if slot.kind == kind and slot.msid is None and slot not in refused
        )
        return min(free, key=lambda slot: slot.announced.msid is not None, default=None)

    def _spare_line(self, kind: MediaKind, wanted: Sequence[Codec]) -> SendSlot | None:
        """Return a new slot on an m-line on which the client waits to receive and neither end sends."""
        for line in self.lines:
            spare = line.kind == kind and line.remote_receives and not line.receives and line.slot is None
            if spare and not line.stopped and any(find(wanted, codec) for codec in line.codecs):
                line.slot = self._make_slot(kind)
                return line.slot
        return None

    def _new_slot(self, kind: MediaKind) -> SendSlot:
        living = sum(not (line.stopped and line.kind in KINDS) for line in self.lines)
        if living + len(self.waiting) >= self._max_lines:
            raise TooManyLines(f"all {self._max_lines} m-lines are in use")
        slot = self._make_slot(kind)
        self.waiting.append(slot)
        return slot

    def _make_slot(self, kind: MediaKind) -> SendSlot:
        taken = {ssrc for slot in self.send_slots for ssrc in (slot.ssrc, slot.rtx_ssrc)}
        for receiver in self.receivers:
            taken.update(receiver.ssrcs, receiver.rtx_ssrcs.values())
        ssrcs: list[int] = []
        while len(ssrcs) < (2 if kind == "video" else 1):
            ssrc = self._make_ssrc()
            if ssrc not in taken:
                taken.add(ssrc)
                ssrcs.append(ssrc)
        return SendSlot(kind, ssrcs[0], ssrcs[1] if kind == "video" else None)
