"""The outgoing batch: datagrams collected in memory that one `sendmmsg(2)` can take.

Forwarding one packet to fifty receivers makes fifty datagrams at once. Each is written straight into a buffer
of one block of C memory, encrypted there in place, and given to the kernel together with the others::

    memory    | buffer 0 ....... | buffer 1 ....... | buffer 2 ....... | ...      PACKET_BUFFER_SIZE each
    lengths        1216               1216               88
    paths          Path(a)            Path(b)            Path(a)
                                                                 ^ count == 3: the first free buffer

There is one `Egress` for a media socket, and it never grows: when the last buffer is filled, the batch is
flushed. The code that sends the batch drops and counts what the socket does not take. Nothing waits here.
"""

from collections.abc import Callable
from typing import Any, Final

from cffi import FFI

from sfu.ice.path import IcePath

_ffi: Final = FFI()

PACKET_BUFFER_SIZE: Final = 1664
"""Bytes in a buffer: the longest packet and the longest trailer that SRTP may write, in whole cache lines."""

BUFFERS: Final = 64
"""Buffers in a batch. `sendmmsg` gains hardly anything beyond 32 datagrams. 64 buffers are 104 KiB, which still
fits the second-level cache beside the packet that is being copied."""


class Egress:
    """A bounded batch of outgoing datagrams in C memory.

    There are two ways to add a datagram. `put` copies finished bytes. The forwarding loop
    (`sfu.transport.fan_out`) writes directly: it fills `buffers[count]`, sets length and path at index `count`,
    adds one to `count`, and calls `flush` when `count` has reached `capacity`. Code that writes directly must
    leave `count < capacity`.
    """

    __slots__ = (
        "_send",
        "buffers",
        "capacity",
        "count",
        "length",
        "lengths",
        "memory",
        "on_error",
        "paths",
        "pointers",
    )

    capacity: int
    """Number of buffers."""
    count: int
    """Buffers in use; they are sent in order."""
    memory: Any
    """The cffi ``char[capacity * PACKET_BUFFER_SIZE]`` of all buffers, one behind the other."""
    buffers: list[memoryview]
    """A writable view of each buffer."""
    pointers: list[Any]
    """A cffi ``char *`` to each buffer, for C functions."""
    lengths: list[int]
    """Bytes of each datagram."""
    paths: list[IcePath | None]
    """Where each datagram goes; `None` for buffers that are not in use."""
    on_error: Callable[[Exception], None] | None
    """Called when sending raised, in the middle of whatever filled the batch. Without it, `flush` raises."""
    length: Any
    """A cffi ``int[1]`` for C functions that change a length in place, so that no call allocates one."""

    def __init__(self, send: Callable[["Egress"], None], capacity: int = BUFFERS) -> None:
        """`send` transmits buffers 0 … `count` - 1. It must not keep them: their memory is reused at once."""
        self._send = send
        self.on_error = None
        self.capacity = capacity
        self.count = 0
        self.memory = _ffi.new("char[]", capacity * PACKET_BUFFER_SIZE)
        view = memoryview(_ffi.buffer(self.memory))
        self.buffers = [
            view[index * PACKET_BUFFER_SIZE : (index + 1) * PACKET_BUFFER_SIZE] for index in range(capacity)
        ]
        self.pointers = [self.memory + index * PACKET_BUFFER_SIZE for index in range(capacity)]
        self.lengths = [0] * capacity
        self.paths = [None] * capacity
        self.length = _ffi.new("int[1]")

    def put(self, data: bytes, path: IcePath) -> None:
        """Add a finished datagram (RTCP, STUN, DTLS, a retransmission); flush when the batch is full.

        Raises `ValueError` when `data` is longer than a buffer. Datagrams that the server makes never are.
        """
        if len(data) > PACKET_BUFFER_SIZE:
            raise ValueError(f"a datagram of {len(data)} bytes, longer than a buffer")
        index = self.count
        self.buffers[index][: len(data)] = data
        self.lengths[index] = len(data)
        self.paths[index] = path
        self.count = index + 1
        if self.count == self.capacity:
            self.flush()

    def flush(self) -> None:
        """Send the batch, if there is anything in it. It is empty afterwards, even when sending raised."""
        if not self.count:
            return
        try:
            self._send(self)
        except Exception as error:
            if self.on_error is None:
                raise
            self.on_error(error)
        finally:
            # Drop the references, so that a retired path is freed before its buffer is used again.
            self.paths[: self.count] = [None] * self.count
            self.count = 0
