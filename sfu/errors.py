"""The errors that more than one package raises.

A *remote violation* (bytes that break a protocol) is a `BadPacket`: the caller drops the packet and
counts it by `reason`. A *local misuse* is an ordinary exception: a bug in this server, which has to be seen.
"""


class BadPacket(ValueError):
    """Bytes from the network that do not follow their format.

    `reason` is a short constant slug such as ``"rtp-truncated"``; it labels a drop counter, so it never
    holds data from the packet. `detail` is for a person reading a log.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
