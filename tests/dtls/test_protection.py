import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.dtls.protection import ChaChaProtection, GcmProtection, RecordProtection
from sfu.dtls.record import DTLS_1_0, DTLS_1_2, MAX_FRAGMENT, ContentType, Record
from sfu.errors import BadPacket

PROTECTIONS: dict[str, RecordProtection] = {
    "gcm-128": GcmProtection(bytes(16), b"salt"),
    "gcm-256": GcmProtection(bytes(32), b"salt"),
    "chacha": ChaChaProtection(bytes(32), b"mask of 12 b"),
}
NUMBER = 1 << 48 | 7
BOTH = pytest.mark.parametrize("protection", PROTECTIONS.values(), ids=PROTECTIONS)


def refused(protection: RecordProtection, record: Record) -> None:
    with pytest.raises(BadPacket) as caught:
        protection.open(record)
    assert caught.value.reason == "dtls-record-auth"


@BOTH
@given(plaintext=st.binary(max_size=100), number=st.integers(0, 2**64 - 1))
def test_round_trip(protection: RecordProtection, plaintext: bytes, number: int) -> None:
    record = protection.seal(ContentType.ALERT, number, plaintext)
    assert (record.content_type, record.version, record.number) == (ContentType.ALERT, DTLS_1_2, number)
    assert len(record.fragment) == len(plaintext) + protection.overhead
    assert protection.open(record) == plaintext


@BOTH
def test_every_field_is_authentic(protection: RecordProtection) -> None:
    record = protection.seal(ContentType.ALERT, NUMBER, b"plaintext")
    refused(protection, record._replace(content_type=ContentType.HANDSHAKE))
    refused(protection, record._replace(version=DTLS_1_0))
    refused(protection, record._replace(number=NUMBER + 1))
    for position in range(len(record.fragment)):
        changed = bytearray(record.fragment)
        changed[position] ^= 1
        refused(protection, record._replace(fragment=bytes(changed)))


@BOTH
def test_cut_and_too_long(protection: RecordProtection) -> None:
    record = protection.seal(ContentType.ALERT, NUMBER, b"plaintext")
    for size in range(len(record.fragment)):
        refused(protection, record._replace(fragment=record.fragment[:size]))
    refused(protection, record._replace(fragment=record.fragment + b"\0"))
    refused(protection, record._replace(fragment=bytes(MAX_FRAGMENT)))


def test_nonces_on_the_wire() -> None:
    gcm = PROTECTIONS["gcm-128"].seal(ContentType.ALERT, NUMBER, b"")
    assert gcm.fragment.startswith(NUMBER.to_bytes(8, "big"))
    chacha = PROTECTIONS["chacha"].seal(ContentType.ALERT, NUMBER, b"")
    assert len(chacha.fragment) == 16
