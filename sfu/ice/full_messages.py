"""The messages between a full agent (`sfu.ice.full`) and the shell's agent that has the sockets.

Each message is about one generation, which is named by our user-name fragment.
"""

from dataclasses import dataclass

from sfu.ice.candidate import Candidate
from sfu.ice.credentials import Credentials
from sfu.ice.path import IcePath


@dataclass(frozen=True, slots=True)
class Gather:
    """Request: open sockets for a generation and find our candidates."""

    local: Credentials


@dataclass(frozen=True, slots=True)
class Connect:
    """Request: start the checks; the peer's description is known."""

    ufrag: str
    remote: Credentials
    controlling: bool
    """Whether we nominate (RFC 8445 section 6.1.1). The checks resolve a role conflict."""
    lite: bool = False
    """Whether the peer is ICE-lite and only answers checks. Then a second check nominates the pair."""


@dataclass(frozen=True, slots=True)
class TryCandidate:
    """Request: check this candidate of the peer."""

    ufrag: str
    candidate: Candidate


@dataclass(frozen=True, slots=True)
class Release:
    """Request: close the sockets and TURN allocations of a generation."""

    ufrag: str


IceRequest = Gather | Connect | TryCandidate | Release


@dataclass(frozen=True, slots=True)
class Gathered:
    """Report: a candidate of ours in SDP syntax; `None` at the end of candidates."""

    ufrag: str
    candidate: str | None


@dataclass(frozen=True, slots=True)
class Validated:
    """Report: the peer has shown that the path is its own."""

    ufrag: str
    path: IcePath
    answered: bool
    """Whether the peer answered a check of ours, so that we may send there. Else it sent an authentic check."""


@dataclass(frozen=True, slots=True)
class Retired:
    """Report: the path was dropped, because there are too many."""

    ufrag: str
    path: IcePath


@dataclass(frozen=True, slots=True)
class Nominated:
    """Report: both sides use this path from now on."""

    ufrag: str
    path: IcePath


@dataclass(frozen=True, slots=True)
class Heard:
    """Report: a check of ours was answered on a validated path, which renews consent."""

    ufrag: str
    path: IcePath


@dataclass(frozen=True, slots=True)
class Lost:
    """Report: the generation has ended without a `Release`: consent expired, or its sockets failed."""

    ufrag: str


IceReport = Gathered | Validated | Retired | Nominated | Heard | Lost
