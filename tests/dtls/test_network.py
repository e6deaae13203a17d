"""Our client and our server through a network that loses, duplicates, delays and reorders."""

import pytest
from dtls.support import CLIENT_SEED, SERVER_SEED, Fate, certificate, connection, run

from sfu.dtls import ConnectionState, HandshakeCompleted


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.3, 0.5])
def test_every_one_of_200_seeds_completes(loss: float) -> None:
    for seed in range(200):
        # Every third seed has an MTU so small that each flight needs several datagrams; every fifth has a
        # cookie.
        mtu = 300 if seed % 3 == 0 else 1200
        client = connection("client", seed, mtu=mtu)
        server = connection("server", seed, mtu=mtu, cookie_exchange=seed % 5 == 0)
        client.start(0.0)

        def done(ends: tuple[object, ...] = (client, server)) -> bool:
            return all(end.state is ConnectionState.CONNECTED for end in ends)  # type: ignore[attr-defined]

        run(client, server, Fate(seed, loss=loss), done=done)
        (at_client,), (at_server,) = client.events(), server.events()
        assert isinstance(at_client, HandshakeCompleted)
        assert isinstance(at_server, HandshakeCompleted)
        assert at_client.peer_certificate == certificate(SERVER_SEED).der
        assert at_server.peer_certificate == certificate(CLIENT_SEED).der
        assert client.srtp_keys().local_key == server.srtp_keys().remote_key
        assert client.srtp_keys().remote_salt == server.srtp_keys().local_salt
        assert client.next_timeout() is None
        assert server.next_timeout() is None
