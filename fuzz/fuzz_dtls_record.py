"""DTLS datagrams: only BadPacket escapes; records and fragments serialize to what was read; memory is bounded.

The content of records of epoch 0 is given to the parsers of fragments and alerts. Every record is also given to
the AEADs, which must refuse it.
"""

from sfu.dtls.alerts import AlertMessage
from sfu.dtls.fragments import MAX_BUFFERED, Reassembler, parse_fragment
from sfu.dtls.protection import ChaChaProtection, GcmProtection
from sfu.dtls.record import Record, parse_record
from sfu.errors import BadPacket

PROTECTIONS = (GcmProtection(bytes(16), bytes(4)), ChaChaProtection(bytes(32), bytes(12)))


def one_input(data: bytes) -> None:
    """Check the invariants on one datagram."""
    reassembler = Reassembler()
    offset = 0
    while offset < len(data):
        try:
            record, end = parse_record(data, offset)
        except BadPacket:
            return
        assert record.serialize() == data[offset:end]
        offset = end
        check_content(record, reassembler)


def check_content(record: Record, reassembler: Reassembler) -> None:
    """Give one record to all parsers of records."""
    for protection in PROTECTIONS:
        try:
            protection.open(record)
        except BadPacket:
            continue
        raise AssertionError("opened a record that nobody sealed")
    if len(record.fragment) == 2:
        assert AlertMessage.parse(record.fragment).serialize() == record.fragment
    offset = 0
    while offset < len(record.fragment):
        try:
            fragment, end = parse_fragment(record.fragment, offset)
        except BadPacket:
            return
        assert fragment.serialize() == record.fragment[offset:end]
        offset = end
        try:
            reassembler.add(fragment)
        except BadPacket:
            continue
        assert reassembler.buffered <= MAX_BUFFERED
        while message := reassembler.pop():
            assert message.message_seq == reassembler.next_seq - 1
