"""The forwarding loop: one packet of a publisher to all of its receivers.

With fifty receivers this runs fifty times for every packet that comes in, and takes most of the server's time.
So per receiver it does only what differs between receivers, and each line has been measured:

* The packet is put together once per `Translation`, not per receiver. Receivers with equal negotiations share
  one, and usually all do, so the comparison below is true once.
* One `pack_into` writes the header and copies the rest, straight into the batch: no `bytes` object is made.
* SRTP works in place, by calling libsrtp's C function directly (see `sfu.rtp.libsrtp`), with one length cell
  for all.
* Counters are plain attributes of slotted objects, and the fill level of the batch is a local variable.
* Everything unusual (first packets, late packets, a stream that waits) is one flag, `fast_path`, and left to
  `SendStream.forward`.

Nothing waits here. The batch flushes itself to the socket when it is full.
"""

from collections.abc import Iterable
from typing import Final

from sfu.rtp.libsrtp import BINDING
from sfu.transport.egress import Egress
from sfu.transport.receive_stream import Forwarder, MediaPacket

_protect: Final = BINDING.protect


def fan_out(
    media: MediaPacket, senders: Iterable[Forwarder], egress: Egress, now: float
) -> list[tuple[Forwarder, Exception]] | None:
    """Put a packet into the outgoing batch once for every sender that forwards it.

    `senders` are those bound to the packet's source: `ReceiveStream.senders`. The caller flushes the batch when
    it has no more packets for it. Return the senders that failed, if any did; the others have the packet.
    """
    failures: list[tuple[Forwarder, Exception]] | None = None
    rtp = media.rtp
    sequence = media.sequence
    in_order = media.in_order
    timestamp = rtp.timestamp
    buffers, pointers, lengths, paths = egress.buffers, egress.pointers, egress.lengths, egress.paths
    capacity, length = egress.capacity, egress.length
    protect = _protect
    translation = None
    index = egress.count
    for sender in senders:
        send_context = sender.send_context
        srtp = send_context.srtp
        if in_order and sender.fast_path and srtp is not None:
            if sender.translation is not translation:
                translation = sender.translation
                assert translation is not None  # fast_path says so
                if translation.rtp is not rtp:
                    translation.render(rtp)
                suffix = translation.suffix
                pack_into, size = translation.pack_into, translation.size
                payload_size = translation.payload_size
                first, second = translation.first, translation.second
            if suffix is not None:
                pack_into(
                    buffers[index],
                    0,
                    first,
                    second,
                    (sequence + sender.sequence_offset) & 0xFFFF,
                    (timestamp + sender.timestamp_offset) & 0xFFFF_FFFF,
                    sender.ssrc,
                    suffix,
                )
                length[0] = size
                if protect(srtp.context, pointers[index], length):
                    sender.refused("srtp-failed")
                    continue
                lengths[index] = length[0]
                paths[index] = send_context.path
                sender.packets += 1
                sender.octets += payload_size
                index += 1
                if index == capacity:
                    egress.count = index
                    egress.flush()
                    index = 0
                continue
        # `forward` fills the batch by itself.
        egress.count = index
        try:
            sender.forward(media, egress, now)
        except Exception as error:
            failures = [*(failures or ()), (sender, error)]
        index = egress.count
    egress.count = index
    return failures
