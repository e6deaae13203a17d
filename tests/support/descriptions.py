"""Puts a scripted client's ICE credentials and fingerprint into a description of the browser model."""

import re

from sfu.ice.credentials import Credentials


def with_transport(sdp: str, credentials: Credentials, fingerprint: str) -> str:
    """Return `sdp` with these ICE credentials and this certificate fingerprint."""
    for name, value in (
        ("ice-ufrag", credentials.ufrag),
        ("ice-pwd", credentials.pwd),
        ("fingerprint", fingerprint),
    ):
        sdp = re.sub(f"(?m)^a={name}:.*?(?=\r)", f"a={name}:{value}", sdp)
    return sdp
