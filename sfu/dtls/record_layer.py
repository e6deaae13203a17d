"""The record layer of one connection: it filters and decrypts received records, and numbers and seals ours.

A connection has two epochs: 0 in the clear, and 1 under the keys of its only handshake (WebRTC never
renegotiates). An off-path attacker can only make us parse and drop records.
"""

from collections import Counter
from collections.abc import Iterator

from sfu.dtls.keys import TrafficKeys
from sfu.dtls.record import DTLS_1_0, DTLS_1_2, ContentType, Record, parse_record
from sfu.dtls.replay import ReplayWindow
from sfu.errors import BadPacket

MAX_EARLY_RECORDS = 8
"""Records of epoch 1 that may wait for the keys: the peer's Finished, retransmissions of it, first data."""


class RecordLayer:
    """Numbers, keys, replay window and counters of one connection's records."""

    __slots__ = ("_early", "_numbers", "_traffic", "_window", "dropped", "received", "sent")

    def __init__(self) -> None:
        self._traffic: TrafficKeys | None = None
        self._window = ReplayWindow()
        self._numbers = [0, 1 << 48]
        self._early: list[Record] = []
        self.dropped: Counter[str] = Counter()
        """Dropped records, fragments and messages, by reason."""
        self.received = 0
        """Records accepted."""
        self.sent = 0

    def drop(self, reason: str) -> None:
        """Count a drop."""
        self.dropped[reason] += 1

    @property
    def has_keys(self) -> bool:
        """Whether records of epoch 1 can be opened and sealed."""
        return self._traffic is not None

    def use_keys(self, traffic: TrafficKeys) -> None:
        """Open and seal records of epoch 1 from now on."""
        self._traffic = traffic

    def unpack(self, data: bytes) -> Iterator[Record]:
        """Yield the records of a datagram, up to the first whose length cannot be read."""
        offset = 0
        while offset < len(data):
            try:
                record, offset = parse_record(data, offset)
            except BadPacket as error:
                self.drop(error.reason)
                return
            yield record

    def admit(self, record: Record) -> bytes | None:
        """Return a record's plaintext, or None when it was dropped or has to wait for the keys."""
        if record.version not in (DTLS_1_0, DTLS_1_2):
            self.drop("dtls-record-version")
        elif record.epoch == 0:
            # No replay window here: a forged number would move it past the genuine ones.
            self.received += 1
            return record.fragment
        elif record.epoch > 1:
            self.drop("dtls-record-epoch")
        elif self._traffic is not None:
            return self._open(record, self._traffic)
        elif len(self._early) < MAX_EARLY_RECORDS:
            self._early.append(record)
        else:
            self.drop("dtls-record-early")
        return None

    def _open(self, record: Record, traffic: TrafficKeys) -> bytes | None:
        if not self._window.is_fresh(record.sequence_number):
            self.drop("dtls-record-replayed")
            return None
        try:
            plaintext = traffic.read.open(record)
        except BadPacket as error:
            self.drop(error.reason)
            return None
        self._window.mark(record.sequence_number)
        self.received += 1
        return plaintext

    def take_early(self) -> list[Record]:
        """Return the records that waited for the keys; none while there are no keys."""
        if self._traffic is None or not self._early:
            return []
        early, self._early = self._early, []
        return early

    def forget_early(self) -> None:
        """Drop the waiting records: the connection has ended."""
        self._early.clear()

    @property
    def waiting(self) -> int:
        """The number of records that wait for the keys."""
        return len(self._early)

    def overhead(self, epoch: int) -> int:
        """Return how many bytes sealing adds to a plaintext."""
        return self._traffic.write.overhead if epoch and self._traffic is not None else 0

    def seal(self, content_type: ContentType, epoch: int, plaintext: bytes) -> Record:
        """Return a record with the next sequence number of its epoch."""
        number = self._numbers[epoch]
        self._numbers[epoch] += 1
        self.sent += 1
        if epoch == 0:
            return Record(content_type, DTLS_1_2, number, plaintext)
        assert self._traffic is not None, "epoch 1 has keys"
        return self._traffic.write.seal(content_type, number, plaintext)
