"""Against OpenSSL: handshakes in both roles, equal keys, data, close_notify, alerts; also with loss."""

from itertools import product
from typing import Literal

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from dtls.openssl import LibSslEnd, PyOpenSslEnd, libssl
from dtls.support import Fate, certificate, connection, pump, run, seeded, self_signed

from sfu.dtls import (
    ApplicationData,
    Certificate,
    ConnectionState,
    DtlsClosed,
    DtlsConfiguration,
    DtlsConnection,
    DtlsFailed,
    HandshakeCompleted,
    SrtpProtectionProfile,
)
from sfu.dtls.groups import GROUPS, SECP256R1, NamedGroup
from sfu.dtls.srtp import EXPORTER_LABEL
from sfu.dtls.suites import SUITES, CipherSuite

Role = Literal["server", "client"]
OTHER: dict[Role, Role] = {"server": "client", "client": "server"}
OPENSSL_NAMES = {
    "ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": b"ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": b"ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": b"ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE_RSA_WITH_AES_128_GCM_SHA256": b"ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE_RSA_WITH_AES_256_GCM_SHA384": b"ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": b"ECDHE-RSA-CHACHA20-POLY1305",
}


@pytest.fixture(scope="module")
def rsa_certificate() -> Certificate:
    return self_signed(rsa.generate_private_key(65537, 2048))


def completed(ours: DtlsConnection, theirs: PyOpenSslEnd) -> HandshakeCompleted:
    ours.start(0.0)
    pump(ours, theirs)
    assert theirs.error is None
    assert theirs.connected
    (event,) = ours.events()
    assert isinstance(event, HandshakeCompleted)
    return event


def same_keys(ours: DtlsConnection, theirs: PyOpenSslEnd) -> bool:
    return ours.export_keying_material(EXPORTER_LABEL, 100) == theirs.ssl.export_keying_material(
        EXPORTER_LABEL, 100
    )


@pytest.mark.parametrize("role", ["server", "client"])
@pytest.mark.parametrize("profile", list(SrtpProtectionProfile), ids=lambda profile: profile.name)
def test_profiles(role: Role, profile: SrtpProtectionProfile) -> None:
    lines: list[str] = []
    ours = connection(role, srtp_profiles=[profile], key_log=lines.append)
    theirs = PyOpenSslEnd(OTHER[role], certificate(7))
    event = completed(ours, theirs)
    assert event.srtp_profile is profile
    assert event.peer_certificate == certificate(7).der
    seen = theirs.ssl.get_peer_certificate(as_cryptography=True)
    assert seen is not None
    assert seen.public_bytes(Encoding.DER) == certificate(1 if role == "server" else 2).der
    name = theirs.ssl.get_selected_srtp_profile()
    assert (
        name.replace(b"SRTP_", b"").replace(b"_", b"")
        in profile.name.replace("_HMAC", "").replace("_", "").encode()
    )
    assert theirs.key_log == lines
    keys = ours.srtp_keys()
    exported = theirs.ssl.export_keying_material(EXPORTER_LABEL, 2 * (profile.key_length + profile.salt_length))
    first, second = (keys.remote_key, keys.local_key) if role == "server" else (keys.local_key, keys.remote_key)
    assert exported.startswith(first + second)
    assert exported.endswith(keys.local_salt if role == "server" else keys.remote_salt)


@pytest.mark.parametrize("role", ["server", "client"])
@pytest.mark.parametrize("group", GROUPS.values(), ids=lambda group: group.name)
@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
def test_suites_and_groups(
    role: Role, group: NamedGroup, suite: CipherSuite, rsa_certificate: Certificate
) -> None:
    by_kind = {"rsa": rsa_certificate, "ecdsa": certificate(7)}
    server_certificate = by_kind[suite.key_kind]
    configuration = DtlsConfiguration(
        server_certificate if role == "server" else certificate(2),
        seeded(3),
        groups=[group] if role == "server" else [group, SECP256R1],  # P-256 for the curve of the certificate
        suites=[suite],
    )
    ours = DtlsConnection(role, configuration)
    theirs = PyOpenSslEnd(
        OTHER[role],
        server_certificate if role == "client" else certificate(8),
        ciphers=OPENSSL_NAMES[suite.name],
    )
    event = completed(ours, theirs)
    assert (event.cipher_suite, event.group) == (suite.name, group.name)
    assert same_keys(ours, theirs)
    ours.send(b"from us", 0.0)
    theirs.ssl.send(b"from OpenSSL")
    pump(ours, theirs)
    assert theirs.data == [b"from us"]
    assert ours.events() == [ApplicationData(b"from OpenSSL")]


@pytest.mark.parametrize("role", ["server", "client"])
def test_certificates_on_p384(role: Role) -> None:
    completed(connection(role), PyOpenSslEnd(OTHER[role], self_signed(ec.generate_private_key(ec.SECP384R1()))))


def test_client_certificates_on_p521() -> None:
    completed(
        connection("server"), PyOpenSslEnd("client", self_signed(ec.generate_private_key(ec.SECP521R1())))
    )


@pytest.mark.parametrize("role", ["server", "client"])
def test_rsa_certificates_of_the_peer(role: Role, rsa_certificate: Certificate) -> None:
    completed(connection(role), PyOpenSslEnd(OTHER[role], rsa_certificate))


@pytest.mark.parametrize("role", ["server", "client"])
def test_rsa_certificate_of_ours(role: Role, rsa_certificate: Certificate) -> None:
    ours = DtlsConnection(role, DtlsConfiguration(rsa_certificate, seeded(3)))
    completed(ours, PyOpenSslEnd(OTHER[role], certificate(7)))


def test_a_server_that_requests_no_certificate() -> None:
    ours = connection("client")
    theirs = PyOpenSslEnd("server", certificate(7), ask_certificate=False)
    completed(ours, theirs)
    assert same_keys(ours, theirs)


@pytest.mark.parametrize("role", ["server", "client"])
def test_a_connection_for_data_only(role: Role) -> None:
    ours = connection(role, srtp_profiles=[])
    assert completed(ours, PyOpenSslEnd(OTHER[role], certificate(7))).srtp_profile is None
    with pytest.raises(RuntimeError):
        ours.srtp_keys()


def test_cookie_exchange_with_openssl_as_client() -> None:
    ours, theirs = connection("server", cookie_exchange=True), PyOpenSslEnd("client", certificate(7))
    completed(ours, theirs)
    assert same_keys(ours, theirs)


def test_cookie_exchange_with_openssl_as_server() -> None:
    ours, theirs = connection("client"), PyOpenSslEnd("server", certificate(7), cookie=True)
    completed(ours, theirs)
    assert same_keys(ours, theirs)
    assert ours.statistics().records_sent == 7  # two ClientHellos


@pytest.mark.parametrize("role", ["server", "client"])
def test_every_record_in_its_own_datagram(role: Role) -> None:
    ours, theirs = connection(role, mtu=256), PyOpenSslEnd(OTHER[role], certificate(7))
    completed(ours, theirs)
    assert same_keys(ours, theirs)


@pytest.mark.parametrize("role", ["server", "client"])
def test_close_by_us(role: Role) -> None:
    ours, theirs = connection(role), PyOpenSslEnd(OTHER[role], certificate(7))
    completed(ours, theirs)
    ours.close(1.0)
    pump(ours, theirs, 1.0)
    assert theirs.closed
    assert ours.events() == [DtlsClosed(by_peer=False)]


@pytest.mark.parametrize("role", ["server", "client"])
def test_close_by_openssl(role: Role) -> None:
    ours, theirs = connection(role), PyOpenSslEnd(OTHER[role], certificate(7))
    completed(ours, theirs)
    theirs.ssl.shutdown()
    pump(ours, theirs, 1.0)
    assert ours.events() == [DtlsClosed(by_peer=True)]
    assert ours.state is ConnectionState.CLOSED


def test_openssl_reads_our_alert() -> None:
    ours = connection("server", suites=[SUITES[0xCCA9]])
    theirs = PyOpenSslEnd(
        "client", certificate(7), ciphers=OPENSSL_NAMES["ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]
    )
    pump(ours, theirs)
    (event,) = ours.events()
    assert isinstance(event, DtlsFailed)
    assert event.reason == "dtls-handshake-failure"
    assert "handshake failure" in str(theirs.error)


@pytest.mark.skipif(libssl() is None, reason="no libssl on this machine")
@pytest.mark.parametrize("role", ["server", "client"])
@pytest.mark.parametrize(("loss", "mtu"), list(product([0.0, 0.1, 0.3, 0.5], [300, 1200])))
def test_through_a_network_that_loses_and_reorders(role: Role, loss: float, mtu: int) -> None:
    for seed in range(10):
        ours = connection(role, seed, mtu=mtu)
        theirs = LibSslEnd(OTHER[role], certificate(7), mtu=mtu)
        ours.start(0.0)

        def done(ours: DtlsConnection = ours, theirs: LibSslEnd = theirs) -> bool:
            assert theirs.error == 0
            return ours.state is ConnectionState.CONNECTED and theirs.connected

        run(ours, theirs, Fate(seed, loss=loss), done=done)
        assert ours.export_keying_material(EXPORTER_LABEL, 60) == theirs.export(EXPORTER_LABEL, 60)
        theirs.free()
