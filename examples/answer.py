"""Answer a browser's offer and print the answer: python examples/answer.py FILE."""

import itertools
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from sfu.dtls import Certificate
from sfu.ice import host_candidates, make_credentials
from sfu.sdp import BundleSession, LocalTransport, SdpError


def main(file: str) -> None:
    """Read an offer, and print what a server at 192.0.2.1 answers."""
    offer = Path(file).read_bytes().decode()
    credentials = make_credentials(os.urandom)
    certificate = Certificate.generate(datetime.now(UTC), os.urandom)
    candidates = tuple(str(candidate) for candidate in host_candidates(["192.0.2.1"], 7882))
    transport = LocalTransport(credentials.ufrag, credentials.pwd, certificate.fingerprint(), candidates)
    ssrcs = itertools.count(1)
    session = BundleSession(transport, session_id=1, make_ssrc=lambda: next(ssrcs))
    try:
        session.apply_offer(offer)
    except SdpError as error:
        sys.exit(f"this offer cannot be answered: {error}")
    print(session.create_answer(), end="")
    for receiver in session.receivers:
        print(f"the browser sends {receiver.kind} in section {receiver.mid}", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
