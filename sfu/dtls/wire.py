"""Reads and writes TLS's presentation language: big-endian integers and length-prefixed blocks.

A block is a context manager. When reading, the end of the block checks that every byte was used. When writing,
it fills in the length::

    with reader.block(2) as suites:
        while suites:
            codes.append(suites.u16())

The reader raises only `DecodeError`: for a wrong length or a field outside of its range (RFC 5246 7.2.2).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from sfu.dtls.alerts import DecodeError


class Reader:
    """A cursor over bytes. It is true while bytes are left."""

    __slots__ = ("_data", "_end", "_position")

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self._data = data
        self._position = start
        self._end = len(data) if end is None else end

    def __bool__(self) -> bool:
        return self._position < self._end

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()

    def _advance(self, count: int) -> int:
        start = self._position
        if count > self._end - start:
            raise DecodeError(f"{count} bytes wanted, {self._end - start} left")
        self._position = start + count
        return start

    def u8(self) -> int:
        """Read one byte as a number."""
        return self._data[self._advance(1)]

    def u16(self) -> int:
        """Read a 16-bit number."""
        return self.uint(2)

    def uint(self, width: int) -> int:
        """Read a number of `width` bytes."""
        start = self._advance(width)
        return int.from_bytes(self._data[start : start + width], "big")

    def take(self, count: int) -> bytes:
        """Read exactly `count` bytes."""
        start = self._advance(count)
        return self._data[start : start + count]

    def vector(self, width: int, *, minimum: int = 0) -> bytes:
        """Read an opaque vector with a length of `width` bytes and at least `minimum` bytes of content."""
        content = self.take(self.uint(width))
        if len(content) < minimum:
            raise DecodeError(f"vector of {len(content)} bytes, at least {minimum} wanted")
        return content

    def block(self, width: int) -> "Reader":
        """Open a block with a length of `width` bytes; use it in a ``with`` statement."""
        size = self.uint(width)
        start = self._advance(size)
        return Reader(self._data, start, start + size)

    def u16_list(self, width: int) -> tuple[int, ...]:
        """Read a block of 16-bit numbers with a length of `width` bytes."""
        with self.block(width) as numbers:
            found = []
            while numbers:
                found.append(numbers.u16())
            return tuple(found)

    def finish(self) -> None:
        """Raise `DecodeError` unless every byte has been read."""
        if self:
            raise DecodeError(f"{self._end - self._position} bytes after the end")


class Writer:
    """Collects the bytes of a message."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = bytearray()

    def uint(self, value: int, width: int) -> None:
        """Append a number as `width` bytes."""
        self._data += value.to_bytes(width, "big")

    def u8(self, value: int) -> None:
        """Append one byte."""
        self._data.append(value)

    def u16(self, value: int) -> None:
        """Append a 16-bit number."""
        self.uint(value, 2)

    def put(self, data: bytes) -> None:
        """Append bytes as they are."""
        self._data += data

    def vector(self, data: bytes, width: int) -> None:
        """Append a length of `width` bytes and then the bytes."""
        self.uint(len(data), width)
        self._data += data

    @contextmanager
    def block(self, width: int) -> Iterator[None]:
        """Append a length of `width` bytes. It is set to the size of what is written inside the block."""
        start = len(self._data)
        self._data += bytes(width)
        yield
        self._data[start : start + width] = (len(self._data) - start - width).to_bytes(width, "big")

    def u16_list(self, numbers: tuple[int, ...], width: int) -> None:
        """Append a block of 16-bit numbers with a length of `width` bytes."""
        with self.block(width):
            for number in numbers:
                self.u16(number)

    def getvalue(self) -> bytes:
        """Return what has been written."""
        return bytes(self._data)
