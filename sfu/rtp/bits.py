"""Reading and writing fields that do not end at byte boundaries, the most significant bit first."""

from sfu.errors import BadPacket


class BitReader:
    """Takes bit fields from the front of some bytes."""

    __slots__ = ("_data", "_position", "_reason")

    def __init__(self, data: bytes, reason: str) -> None:
        """`reason` is that of the `BadPacket` that reading past the end raises."""
        self._data = data
        self._reason = reason
        self._position = 0

    def read(self, bits: int) -> int:
        """An unsigned field of `bits` bits, `f(n)` in AV1's notation. Raises `BadPacket` past the end."""
        start = self._position
        self._position = end = start + bits
        if end > 8 * len(self._data):
            raise BadPacket(self._reason, f"bits {start} to {end} of {len(self._data)} bytes")
        last = (end + 7) // 8
        chunk = int.from_bytes(self._data[start // 8 : last])
        return chunk >> 8 * last - end & (1 << bits) - 1

    def flag(self) -> bool:
        """One bit."""
        return self.read(1) == 1

    def read_below(self, limit: int) -> int:
        """A number under `limit`, `ns(n)` in AV1's notation: small ones take one bit less than large ones."""
        width = limit.bit_length()
        short = (1 << width) - limit
        value = self.read(width - 1)
        if value < short:
            return value
        return (value << 1) - short + self.read(1)


class BitWriter:
    """Puts bit fields behind each other."""

    __slots__ = ("_bits", "_value")

    def __init__(self) -> None:
        self._value = 0
        self._bits = 0

    def write(self, value: int, bits: int) -> None:
        """An unsigned field. `ValueError` when `value` does not fit `bits` bits."""
        if value >> bits or value < 0:
            raise ValueError(f"{value} in {bits} bits")
        self._value = self._value << bits | value
        self._bits += bits

    def write_below(self, value: int, limit: int) -> None:
        """The counterpart of `BitReader.read_below`. `ValueError` when `value` is not under `limit`."""
        if not 0 <= value < limit:
            raise ValueError(f"{value} is not under {limit}")
        width = limit.bit_length()
        short = (1 << width) - limit
        if value < short:
            self.write(value, width - 1)
        else:
            self.write(value + short, width)

    def to_bytes(self) -> bytes:
        """What was written, with zero bits up to the byte boundary."""
        padding = -self._bits % 8
        return (self._value << padding).to_bytes((self._bits + padding) // 8)
