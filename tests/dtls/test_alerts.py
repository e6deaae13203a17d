import pytest

from sfu.dtls import alerts
from sfu.dtls.alerts import Alert, AlertDescription, AlertLevel, AlertMessage
from sfu.errors import BadPacket


def test_an_alert_is_two_bytes() -> None:
    message = AlertMessage(AlertLevel.FATAL, AlertDescription.HANDSHAKE_FAILURE)
    assert message.serialize() == b"\x02\x28"
    assert AlertMessage.parse(b"\x02\x28") == message
    assert message.name == "handshake_failure"


def test_an_unknown_alert_keeps_its_number() -> None:
    assert AlertMessage.parse(b"\x07\xfe") == (7, 254)
    assert AlertMessage.parse(b"\x07\xfe").name == "alert_254"


@pytest.mark.parametrize("data", [b"", b"\1", b"\1\0\0"])
def test_wrong_lengths(data: bytes) -> None:
    with pytest.raises(BadPacket) as caught:
        AlertMessage.parse(data)
    assert caught.value.reason == "dtls-alert-length"


def test_the_class_is_the_code() -> None:
    classes = [kind for kind in vars(alerts).values() if isinstance(kind, type) and issubclass(kind, Alert)]
    codes = [kind.description for kind in classes if kind is not Alert]
    assert len(codes) == len(set(codes)) == 9
    error = alerts.DecodeError("why")
    assert (error.reason, error.detail) == ("dtls-decode-error", "why")
