"""The outgoing batch: datagrams collected in memory that one `sendmmsg(2)` can take.

Forwarding a packet to fifty receivers makes fifty datagrams at once. Each is written straight into a slot
of one block of C memory, encrypted there in place, and handed to the kernel together with its neighbours::

    memory    | slot 0 ......... | slot 1 ......... | slot 2 ......... | ...      SLOT_SIZE bytes each
    lengths        1216               1216               88
    paths          Path(a)            Path(b)            Path(a)
                                                                 ^ count == 3: the first slot that is free

There is one `Egress` for a media socket and it never grows: when the last slot is taken the batch is
flushed. What the socket then cannot take is dropped and counted by whoever sends; nothing waits here.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

from cffi import FFI

from sfu.ice.path import IcePath

_ffi: Final = FFI()

SLOT_SIZE: Final = 1664
"""Bytes in a slot: the longest packet and room for the longest trailer that SRTP may write, in cache lines."""

SLOTS: Final = 64
"""Slots in a batch. The gain of `sendmmsg` is nearly all there at 32; 64 is 104 KiB, which still fits the
second-level cache beside the packet that is being copied."""


class Sink(Protocol):
    """Takes the datagrams of paths that are not the media socket's own: those that go by TCP."""

    def put(self, data: memoryview, path: IcePath) -> None:
        """Take a datagram; its memory is used again as soon as this returns."""

    def flush(self) -> None:
        """Send what was put, as far as that needs no waiting."""


class Egress:
    """A bounded batch of outgoing datagrams in C memory.

    Two ways in: `put` copies finished bytes, and the forwarding loop (`sfu.transport.fan_out`) writes
    directly: it fills `slots[count]`, notes length and path at index `count`, adds one to `count`, and calls
    `flush` when `count` has reached `capacity`. Whoever writes directly leaves `count < capacity`.
    """

    __slots__ = ("_send", "capacity", "count", "length", "lengths", "memory", "paths", "pointers", "slots")

    capacity: int
    """Number of slots."""
    count: int
    """Slots in use; they are sent in order."""
    memory: Any
    """The cffi ``char[capacity * SLOT_SIZE]`` that all slots lie in; slot *i* begins at ``i * SLOT_SIZE``."""
    slots: list[memoryview]
    """A writable view of each slot."""
    pointers: list[Any]
    """A cffi ``char *`` to each slot, for C functions."""
    lengths: list[int]
    """Bytes of each datagram."""
    paths: list[IcePath | None]
    """Where each datagram goes; `None` in slots that are not in use."""
    length: Any
    """A cffi ``int[1]`` for C functions that change a length in place, so that no call allocates one."""

    def __init__(self, send: Callable[["Egress"], None], capacity: int = SLOTS) -> None:
        """`send` transmits slots 0 … `count` - 1 and keeps nothing: their memory is used again at once."""
        self._send = send
        self.capacity = capacity
        self.count = 0
        self.memory = _ffi.new("char[]", capacity * SLOT_SIZE)
        view = memoryview(_ffi.buffer(self.memory))
        self.slots = [view[index * SLOT_SIZE : (index + 1) * SLOT_SIZE] for index in range(capacity)]
        self.pointers = [self.memory + index * SLOT_SIZE for index in range(capacity)]
        self.lengths = [0] * capacity
        self.paths = [None] * capacity
        self.length = _ffi.new("int[1]")

    def put(self, data: bytes, path: IcePath) -> None:
        """Add a finished datagram (RTCP, STUN, DTLS, a retransmission); flush when that was the last slot.

        Raises `ValueError` when `data` is longer than a slot: what we make ourselves never is.
        """
        if len(data) > SLOT_SIZE:
            raise ValueError(f"a datagram of {len(data)} bytes, longer than a slot")
        index = self.count
        self.slots[index][: len(data)] = data
        self.lengths[index] = len(data)
        self.paths[index] = path
        self.count = index + 1
        if self.count == self.capacity:
            self.flush()

    def flush(self) -> None:
        """Send what is there, if anything. The batch is empty afterwards, even when sending raised."""
        if not self.count:
            return
        try:
            self._send(self)
        finally:
            # Drop the references, so that a retired path does not live until its slot is used again.
            self.paths[: self.count] = [None] * self.count
            self.count = 0
