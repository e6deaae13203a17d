"""Putting a scripted client's transport into a description that a model of a browser made."""

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
