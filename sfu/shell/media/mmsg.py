"""recvmmsg(2) and sendmmsg(2): many datagrams per system call, without a compiler.

This module calls the C library through cffi's ABI mode. One system call for a batch costs far less than one
call per datagram. The Python work around it is a few copies of whole arrays:

* `ReceiveBatch` owns the memory that datagrams are received into. The kernel overwrites lengths and flags in
  the header array, so a copy of a template restores the array before each call.
* `SendBatch` owns headers only. They point to the datagrams, which stay in the buffers of the egress.

The structures are those of Linux (`man 2 sendmmsg`). cffi says where their fields are.
"""

import errno
import struct
from array import array
from collections.abc import Sequence
from typing import Any, Final

from cffi import FFI

ffi: Final = FFI()
ffi.cdef(
    """
    struct iovec { void *iov_base; size_t iov_len; };
    struct msghdr {
        void *msg_name; uint32_t msg_namelen;
        struct iovec *msg_iov; size_t msg_iovlen;
        void *msg_control; size_t msg_controllen;
        int msg_flags;
    };
    struct mmsghdr { struct msghdr msg_hdr; unsigned int msg_len; };
    int recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags, void *timeout);
    int sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags);
    """
)

CData = Any
"""A cffi object: a library, a pointer or an array. What a `cdef` declares has no static types."""

_libc: Final[CData] = ffi.dlopen(None)

_HEADER_SIZE: Final = ffi.sizeof("struct mmsghdr")
_FLAGS_OFFSET: Final = ffi.offsetof("struct mmsghdr", "msg_hdr", "msg_flags")
_LENGTH_OFFSET: Final = ffi.offsetof("struct mmsghdr", "msg_len")

# struct mmsghdr again, in three parts that are prepared at different times: where to, what, and the rest
# (control message, flags, result). "N" is a pointer or size_t and "0N" pads to its alignment.
_WHERE_TO: Final = struct.Struct("@NI0N")
_WHAT: Final = struct.Struct("@NN")
_REST: Final = struct.Struct("@NNi0NI0N")

MSG_TRUNC: Final = 0x20
MSG_DONTWAIT: Final = 0x40

MISUSE: Final = frozenset({errno.EBADF, errno.ENOTSOCK, errno.EFAULT})
"""Errors that no datagram can cause. They mean a bug here, so they are raised and not counted."""


def _address(data: CData) -> int:
    return int(ffi.cast("uintptr_t", data))


class Destination:
    """Where a datagram goes, ready to be copied into a message header.

    It is kept in `IcePath.native`, so that an address is packed once and not for every datagram. It owns the
    memory that the header points to, so it must exist until the system call has returned.
    """

    __slots__ = ("_control", "_name", "rest", "where_to")

    def __init__(self, name: bytes, control: bytes) -> None:
        self._name = ffi.new("char[]", name)
        self._control = ffi.new("char[]", control) if control else ffi.NULL
        self.where_to = _WHERE_TO.pack(_address(self._name), len(name))
        self.rest = _REST.pack(_address(self._control), len(control), 0, 0)


class ReceiveBatch:
    """Memory for up to `capacity` datagrams of at most `datagram_size` bytes, filled by one recvmmsg."""

    def __init__(self, capacity: int, datagram_size: int, name_length: int, control_length: int) -> None:
        self.capacity = capacity
        self._datagram_size = datagram_size
        self._origin_size = name_length + control_length
        self._data = ffi.new("char[]", capacity * datagram_size)
        # Name and control message of a datagram lie side by side: together they identify its path, and one
        # slice of them is the key in `PathCache`.
        self._origins = ffi.new("char[]", capacity * self._origin_size)
        self._vectors = ffi.new("struct iovec[]", capacity)
        self._headers = ffi.new("struct mmsghdr[]", capacity)
        for i in range(capacity):
            self._vectors[i].iov_base = self._data + i * datagram_size
            self._vectors[i].iov_len = datagram_size
            header = self._headers[i].msg_hdr
            header.msg_name = self._origins + i * self._origin_size
            header.msg_namelen = name_length
            header.msg_iov = ffi.addressof(self._vectors, i)
            header.msg_iovlen = 1
            if control_length:
                header.msg_control = self._origins + i * self._origin_size + name_length
                header.msg_controllen = control_length
        self._data_view = memoryview(ffi.buffer(self._data)).cast("B")
        self._origins_view = memoryview(ffi.buffer(self._origins)).cast("B")
        self._headers_view = memoryview(ffi.buffer(self._headers)).cast("B")
        self._template = bytes(self._headers_view)
        self._no_origins = bytes(len(self._origins_view))
        words = self._headers_view.cast("I")
        self._lengths = words[_LENGTH_OFFSET // 4 :: _HEADER_SIZE // 4]
        self._flags = words[_FLAGS_OFFSET // 4 :: _HEADER_SIZE // 4]

    def receive(self, fd: int) -> int:
        """Receive without waiting; return the number of datagrams, or minus the errno."""
        self._headers_view[:] = self._template
        # A datagram without a control message must not keep the one of its predecessor.
        self._origins_view[:] = self._no_origins
        count = _libc.recvmmsg(fd, self._headers, self.capacity, MSG_DONTWAIT, ffi.NULL)
        return int(count) if count >= 0 else -ffi.errno

    def origin(self, index: int) -> bytes:
        """Return socket address and control message of a datagram, in one piece."""
        start = index * self._origin_size
        return bytes(self._origins_view[start : start + self._origin_size])

    def datagram(self, index: int) -> bytes | None:
        """Return a copy of a datagram, or None if it was longer than the memory for it."""
        if self._flags[index] & MSG_TRUNC:
            return None
        start = index * self._datagram_size
        return bytes(self._data_view[start : start + self._lengths[index]])


class SendBatch:
    """Headers for the datagrams in a block of memory, sent by one sendmmsg.

    `memory` is a cffi array of `capacity` slots of `slot_size` bytes; datagram *i* lies in slot *i*.
    """

    def __init__(self, memory: CData, capacity: int, slot_size: int) -> None:
        self._memory = memory
        self._vectors = ffi.new("struct iovec[]", capacity)
        self._headers = ffi.new("struct mmsghdr[]", capacity)
        start = _address(memory)
        for i in range(capacity):
            self._vectors[i].iov_base = ffi.cast("void *", start + i * slot_size)
        # struct iovec is two words: every second word is a length.
        self._lengths = memoryview(ffi.buffer(self._vectors)).cast("B").cast("L")[1::2]
        self._headers_view = memoryview(ffi.buffer(self._headers)).cast("B")
        self._what = [_WHAT.pack(_address(ffi.addressof(self._vectors, i)), 1) for i in range(capacity)]

    def load(self, destinations: Sequence[Destination], lengths: Sequence[int]) -> None:
        """Set up the first headers: datagram *i* is `lengths[i]` bytes long and goes to `destinations[i]`.

        To join prepared pieces and copy them once is several times faster than to set each field through cffi.
        """
        count = len(destinations)
        parts: list[bytes] = []
        for destination, what in zip(destinations, self._what, strict=False):
            parts += (destination.where_to, what, destination.rest)
        self._headers_view[: count * _HEADER_SIZE] = b"".join(parts)
        self._lengths[:count] = array("L", lengths)

    def send(self, fd: int, first: int, end: int) -> int:
        """Send the loaded datagrams `first` to `end`; return how many went out, or minus the errno.

        An errno belongs to datagram `first`: the kernel stops at the first failure, and reports it only if no
        datagram went out before.
        """
        count = _libc.sendmmsg(fd, self._headers + first, end - first, MSG_DONTWAIT)
        return int(count) if count >= 0 else -ffi.errno
