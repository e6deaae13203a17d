"""Let a DTLS client and a DTLS server shake hands in memory: python examples/handshake.py."""

import os
from datetime import UTC, datetime

from sfu.dtls import Certificate, DtlsConfiguration, DtlsConnection, HandshakeCompleted


def carry(client: DtlsConnection, server: DtlsConnection, now: float) -> bool:
    """Deliver what both ends have to send, and return whether there was anything."""
    datagrams = [(server, data) for data in client.outgoing(now)]
    datagrams += [(client, data) for data in server.outgoing(now)]
    for receiver, data in datagrams:
        receiver.receive(data, now)
    return bool(datagrams)


def main() -> None:
    """Complete the handshake, compare the keys, and print what was negotiated."""
    ours, theirs = (Certificate.generate(datetime.now(UTC), os.urandom) for _ in range(2))
    client = DtlsConnection("client", DtlsConfiguration(ours, os.urandom))
    server = DtlsConnection("server", DtlsConfiguration(theirs, os.urandom))
    client.start(now=0.0)
    while carry(client, server, now=0.0):
        pass
    for event in client.events():
        if isinstance(event, HandshakeCompleted):
            print(event.cipher_suite)
            print("no SRTP" if event.srtp_profile is None else event.srtp_profile.name)
    print("both ends have the same keys:", client.srtp_keys().local_key == server.srtp_keys().remote_key)


if __name__ == "__main__":
    main()
