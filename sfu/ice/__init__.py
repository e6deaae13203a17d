"""ICE (RFC 8445) for a server on a public address: STUN messages, candidates and the lite agent.

Nothing here uses a socket or a clock. Start reading at `sfu.ice.lite`, the state machine; its messages are in
`sfu.ice.stun`. The public names are those below and the rows of `sfu.ice.attributes`:

* the machine: `IceLiteAgent`, its `IceState`, `IceStatistics`, and its events `StateChanged`, `PathValidated`,
  `PathSelected`, `PathRetired`, `CredentialsAdded`, `CredentialsRetired` (together `IceEvent`)
* its parameters: `Credentials`, `make_credentials`, `IcePath`, `Address`
* STUN: `StunMessage`, `MessageClass`, `local_ufrag`
* candidates: `Candidate`, `host_candidates`, `parse_trickled`
"""

from sfu.ice.candidate import Candidate, host_candidates, parse_trickled
from sfu.ice.credentials import Credentials, make_credentials
from sfu.ice.events import (
    CredentialsAdded,
    CredentialsRetired,
    IceEvent,
    IceState,
    IceStatistics,
    PathRetired,
    PathSelected,
    PathValidated,
    StateChanged,
)
from sfu.ice.lite import IceLiteAgent
from sfu.ice.path import Address, IcePath
from sfu.ice.stun import MessageClass, StunMessage, local_ufrag

__all__ = [
    "Address",
    "Candidate",
    "Credentials",
    "CredentialsAdded",
    "CredentialsRetired",
    "IceEvent",
    "IceLiteAgent",
    "IcePath",
    "IceState",
    "IceStatistics",
    "MessageClass",
    "PathRetired",
    "PathSelected",
    "PathValidated",
    "StateChanged",
    "StunMessage",
    "host_candidates",
    "local_ufrag",
    "make_credentials",
    "parse_trickled",
]
