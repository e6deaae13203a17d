"""Against GnuTLS: handshakes in both roles, equal keys, data; also with loss."""

from itertools import product
from typing import Literal

import pytest
from dtls.gnutls import GnuTlsEnd, libgnutls
from dtls.support import Fate, certificate, connection, pump, run

from sfu.dtls import ApplicationData, ConnectionState, DtlsConnection, HandshakeCompleted, SrtpProtectionProfile
from sfu.dtls.groups import GROUPS, SECP256R1, NamedGroup
from sfu.dtls.srtp import EXPORTER_LABEL
from sfu.dtls.suites import SUITES, CipherSuite

pytestmark = pytest.mark.skipif(libgnutls() is None, reason="no libgnutls on this machine")

Role = Literal["server", "client"]
OTHER: dict[Role, Role] = {"server": "client", "client": "server"}


@pytest.mark.parametrize("role", ["server", "client"])
@pytest.mark.parametrize("group", GROUPS.values(), ids=lambda group: group.name)
@pytest.mark.parametrize(
    "suite",
    [suite for suite in SUITES.values() if suite.key_kind == "ecdsa"],
    ids=lambda suite: suite.name,
)
def test_suites_and_groups(role: Role, group: NamedGroup, suite: CipherSuite) -> None:
    ours = connection(role, suites=[suite], groups=[group] if role == "server" else [group, SECP256R1])
    theirs = GnuTlsEnd(OTHER[role], certificate(7))
    ours.start(0.0)
    pump(ours, theirs)
    assert theirs.error == 0
    assert theirs.connected
    (event,) = ours.events()
    assert isinstance(event, HandshakeCompleted)
    assert event.peer_certificate == certificate(7).der
    assert event.srtp_profile is SrtpProtectionProfile.AES128_CM_HMAC_SHA1_80
    assert (event.cipher_suite, event.group) == (suite.name, group.name)
    assert ours.export_keying_material(EXPORTER_LABEL, 60) == theirs.export(EXPORTER_LABEL, 60)
    ours.send(b"from us", 0.0)
    theirs.send(b"from GnuTLS")
    pump(ours, theirs)
    assert theirs.data == [b"from us"]
    assert ours.events() == [ApplicationData(b"from GnuTLS")]
    theirs.free()


@pytest.mark.parametrize("role", ["server", "client"])
@pytest.mark.parametrize(("loss", "mtu"), list(product([0.0, 0.1, 0.3, 0.5], [300, 1200])))
def test_through_a_network_that_loses_and_reorders(role: Role, loss: float, mtu: int) -> None:
    for seed in range(5):
        ours = connection(role, seed, mtu=mtu)
        theirs = GnuTlsEnd(OTHER[role], certificate(7), mtu=mtu)
        ours.start(0.0)

        def done(ours: DtlsConnection = ours, theirs: GnuTlsEnd = theirs) -> bool:
            assert theirs.error == 0
            return ours.state is ConnectionState.CONNECTED and theirs.connected

        run(ours, theirs, Fate(seed, loss=loss), done=done)
        assert ours.export_keying_material(EXPORTER_LABEL, 60) == theirs.export(EXPORTER_LABEL, 60)
        theirs.free()
