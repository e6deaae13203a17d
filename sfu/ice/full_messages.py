"""What a full agent (`sfu.ice.full`) asks of whoever has its sockets, and what it is told.

Each is about a generation, which is named by our user-name fragment.
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
    """Request: the peer's description is known, so check."""

    ufrag: str
    remote: Credentials
    controlling: bool
    """Whether we nominate (RFC 8445 section 6.1.1); a conflict is resolved on the way."""
    lite: bool = False
    """Whether the peer only answers checks: the pair to use is nominated by a check after the first."""


@dataclass(frozen=True, slots=True)
class TryCandidate:
    """Request: the peer may be reached here."""

    ufrag: str
    candidate: Candidate


@dataclass(frozen=True, slots=True)
class Release:
    """Request: give up the sockets and TURN allocations of a generation."""

    ufrag: str


IceRequest = Gather | Connect | TryCandidate | Release


@dataclass(frozen=True, slots=True)
class Gathered:
    """Report: a candidate of ours, as SDP writes it; `None` when there will be no more."""

    ufrag: str
    candidate: str | None


@dataclass(frozen=True, slots=True)
class Validated:
    """Report: the peer has shown that the path is its own."""

    ufrag: str
    path: IcePath
    answered: bool
    """By an answer to a check of ours, so that we may send there; else by an authentic check of its own."""


@dataclass(frozen=True, slots=True)
class Retired:
    """Report: the path is given up, since there are too many."""

    ufrag: str
    path: IcePath


@dataclass(frozen=True, slots=True)
class Nominated:
    """Report: the path that both sides use from now on."""

    ufrag: str
    path: IcePath


@dataclass(frozen=True, slots=True)
class Heard:
    """Report: consent is fresh, since a check of ours was answered along a validated path."""

    ufrag: str
    path: IcePath


@dataclass(frozen=True, slots=True)
class Lost:
    """Report: the generation has ended without being asked to: consent expired, or its sockets failed."""

    ufrag: str


IceReport = Gathered | Validated | Retired | Nominated | Heard | Lost
