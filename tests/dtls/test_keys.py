"""Test vectors where they exist. test_openssl compares the keys with OpenSSL's."""

from sfu.dtls.keys import Secrets, prf
from sfu.dtls.record import ContentType
from sfu.dtls.suites import SUITES


def test_prf_sha256_known_answer() -> None:
    # The first 80 bytes of the vector from the TLS working group's mailing list in 2009.
    secret = bytes.fromhex("9bbe436ba940f017b17652849a71db35")
    seed = bytes.fromhex("a0ba9f936cda311827a6f796ffd5198c")
    expected = (
        "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a"
        "6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab"
        "4fbc91666e9def9b97fce34f796789ba"
    )
    assert prf("sha256", secret, b"test label", seed, 80).hex() == expected


def test_prf_lengths_are_prefixes() -> None:
    whole = prf("sha384", b"secret", b"label", b"seed", 100)
    for size in range(100):
        assert prf("sha384", b"secret", b"label", b"seed", size) == whole[:size]


def secrets() -> Secrets:
    return Secrets(SUITES[0xC02B], b"premaster", b"hash", b"c" * 32, b"s" * 32)


def test_the_write_keys_of_one_end_are_the_read_keys_of_the_other() -> None:
    client, server = secrets().traffic_keys(server=False), secrets().traffic_keys(server=True)
    record = client.write.seal(ContentType.ALERT, 1, b"from the client")
    assert server.read.open(record) == b"from the client"
    record = server.write.seal(ContentType.ALERT, 1, b"from the server")
    assert client.read.open(record) == b"from the server"


def test_finished_differs_by_end_and_transcript() -> None:
    made = {
        secrets().verify_data(server=server, transcript=transcript)
        for server in (False, True)
        for transcript in (b"", b"x")
    }
    assert len(made) == 4
    assert {len(data) for data in made} == {12}


def test_no_context_is_not_an_empty_context() -> None:
    exported = {secrets().export(b"label", 20, context) for context in (None, b"", b"x")}
    assert len(exported) == 3


def test_key_log_line() -> None:
    words = secrets().key_log_line().split()
    assert words[:2] == ["CLIENT_RANDOM", "63" * 32]
    assert len(words[2]) == 96


def test_no_secret_in_repr() -> None:
    assert secrets().key_log_line().split()[2] not in repr(secrets())
