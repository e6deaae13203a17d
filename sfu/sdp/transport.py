"""The transport half of descriptions: ICE credentials, DTLS fingerprints and roles of one BUNDLE."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from sfu.sdp.attributes import Fingerprint
from sfu.sdp.errors import SdpError
from sfu.sdp.model import MediaDescription, SessionDescription

DtlsRole = Literal["client", "server"]

SETUP_OF_ROLE: dict[DtlsRole, str] = {"client": "active", "server": "passive"}


@dataclass(frozen=True, slots=True)
class LocalTransport:
    """Our end of the transport, as our descriptions state it."""

    ufrag: str
    pwd: str
    fingerprint: str
    """``sha-256 AA:BB:…``, the same for the life of the DTLS association."""
    candidates: tuple[str, ...] = ()
    """As printed by RFC 8839 section 5.1, with or without the leading ``candidate:``."""
    complete: bool = True
    """Whether these are all; otherwise more follow by trickling (RFC 8840)."""
    lite: bool = True
    """Whether our agent is ICE-lite: it does not check by itself (RFC 8445 section 2.5)."""

    def __repr__(self) -> str:
        # The password authenticates checks: it stays out of logs and tracebacks.
        return f"LocalTransport(ufrag={self.ufrag!r}, fingerprint={self.fingerprint!r})"


@dataclass(frozen=True, slots=True)
class RemoteTransport:
    """The client's end of the transport, as its last description states it."""

    ufrag: str
    pwd: str
    fingerprints: tuple[Fingerprint, ...]
    """The certificate must match one whose hash function we know (RFC 8122 section 5)."""
    setup: str
    """``actpass``, ``active`` or ``passive``, as stated; `BundleSession.dtls_role` is our resulting role."""
    candidates: tuple[str, ...] = ()
    """What follows ``a=candidate:``, unread; a client that trickles has few or none here."""
    lite: bool = False
    """Whether its agent is ICE-lite. Then ours must be a full, controlling agent."""

    def __repr__(self) -> str:
        # As above.
        return f"RemoteTransport(ufrag={self.ufrag!r}, setup={self.setup!r})"


def remote_transport(
    description: SessionDescription, bundled: Iterable[MediaDescription], *, lite: bool
) -> RemoteTransport:
    """Return the transport of a BUNDLE, from the first of its m-lines that describes one (RFC 9143 section
    7.2).

    `bundled` are effective media descriptions in order of precedence: bundle-only lines need not repeat what
    the tagged line says. `lite` is whether our own agent is ICE-lite. Raises `SdpError` if something is missing
    that an SFU needs.
    """
    if description.ice_lite and lite:
        raise SdpError("sdp-unsupported", "both ends are ICE-lite: neither would send connectivity checks")
    for media in bundled:
        if media.ice_ufrag is None and media.ice_pwd is None:
            continue
        if media.ice_ufrag is None or media.ice_pwd is None:
            raise SdpError("sdp-unsupported", "ice-ufrag and ice-pwd come as a pair", media.line)
        if not media.fingerprints:
            raise SdpError("sdp-unsupported", "no DTLS fingerprint: media would not be encrypted", media.line)
        if media.setup is None or media.setup == "holdconn":
            raise SdpError("sdp-unsupported", "no DTLS role: a=setup is needed", media.line)
        return RemoteTransport(
            media.ice_ufrag,
            media.ice_pwd,
            media.fingerprints,
            media.setup,
            media.candidates,
            description.ice_lite,
        )
    raise SdpError("sdp-unsupported", "no ICE credentials")


def same_association(
    old: RemoteTransport | None, new: RemoteTransport, role: DtlsRole | None
) -> RemoteTransport:
    """Return `new` as a description of the existing DTLS association; `role` is ours, or None before it is
    decided.

    Raises `SdpError` for another certificate, which would need a second association (RFC 8842 section 4).
    Another role would need one, too; but clients that keep the certificate do not mean that. Pion 3 answers
    every offer of an ICE-lite agent as passive, even where it has long been the DTLS client. So a role that was
    decided stays, and `setup` is corrected, also the actpass of an offer: the handshake may be under way.
    """
    if old is not None and set(old.fingerprints) != set(new.fingerprints):
        raise SdpError("sdp-mismatch", "the DTLS certificate changed within a connection")
    if role is None:
        return new
    return replace(new, setup="passive" if role == "client" else "active")
