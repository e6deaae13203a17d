import re

from sfu.ice.credentials import Credentials, make_credentials

ICE_CHARS = re.compile(r"[A-Za-z0-9+/]+")


def test_credentials_have_the_lengths_and_alphabet_of_the_rfc() -> None:
    made = make_credentials(lambda n: bytes(range(251, 251 - n, -1)))
    assert 4 <= len(made.ufrag) <= 256
    assert 22 <= len(made.pwd) <= 256
    assert ICE_CHARS.fullmatch(made.ufrag)
    assert ICE_CHARS.fullmatch(made.pwd)


def test_credentials_use_all_their_randomness() -> None:
    asked: list[int] = []

    def random(n: int) -> bytes:
        asked.append(n)
        return bytes([len(asked)] * n)

    first, second = make_credentials(random), make_credentials(random)
    assert asked == [9, 18, 9, 18]
    assert len({*first, *second}) == 4


def test_password_is_not_printed() -> None:
    assert "secret" not in repr(Credentials("frag", "secret"))
    assert "secret" not in f"{Credentials('frag', 'secret')}"
