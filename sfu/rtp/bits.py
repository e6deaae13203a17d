"""Reading and writing fields that do not end at byte boundaries, the most significant bit first."""

from sfu.errors import BadPacket


class BitReader:
    """Reads bit fields from the beginning of some bytes."""

    __slots__ = ("_data", "_position", "_reason")

    def __init__(self, data: bytes, reason: str) -> None:
        """`reason` is for the `BadPacket` that is raised when reading past the end."""
        self._data = data
        self._reason = reason
        self._position = 0

    def read(self, bits: int) -> int:
        """Read an unsigned field of `bits` bits, `f(n)` in AV1's notation. Raises `BadPacket` past the end."""
        start = self._position
        self._position = end = start + bits
        if end > 8 * len(self._data):
            raise BadPacket(self._reason, f"bits {start} to {end} of {len(self._data)} bytes")
        last = (end + 7) // 8
        chunk = int.from_bytes(self._data[start // 8 : last])
        return chunk >> 8 * last - end & (1 << bits) - 1

    def flag(self) -> bool:
        """Read one bit."""
        return self.read(1) == 1

    def read_below(self, limit: int) -> int:
        """Read a number below `limit`, `ns(n)` in AV1's notation: small ones take one bit less."""
        width = limit.bit_length()
        short = (1 << width) - limit
        value = self.read(width - 1)
        if value < short:
            return value
        return (value << 1) - short + self.read(1)


class BitWriter:
    """Writes bit fields one after the other."""

    __slots__ = ("_bits", "_value")

    def __init__(self) -> None:
        self._value = 0
        self._bits = 0

    def write(self, value: int, bits: int) -> None:
        """Write an unsigned field. Raises `ValueError` when `value` does not fit `bits` bits."""
        if value >> bits or value < 0:
            raise ValueError(f"{value} in {bits} bits")
        self._value = self._value << bits | value
        self._bits += bits

    def write_below(self, value: int, limit: int) -> None:
        """Write what `BitReader.read_below` reads. Raises `ValueError` when `value` is not below `limit`."""
        if not 0 <= value < limit:
            raise ValueError(f"{value} is not under {limit}")
        width = limit.bit_length()
        short = (1 << width) - limit
        if value < short:
            self.write(value, width - 1)
        else:
            self.write(value + short, width)

    def to_bytes(self) -> bytes:
        """Return the bytes written, with zero bits up to the byte boundary."""
        padding = -self._bits % 8
        return (self._value << padding).to_bytes((self._bits + padding) // 8)
