"""Decode the STUN message in a file: python examples/stun.py FILE."""

import sys
from pathlib import Path

from sfu.errors import BadPacket
from sfu.ice import StunMessage


def main(file: str) -> None:
    """Print the message's class, its transaction id and its attributes."""
    try:
        message = StunMessage.parse(Path(file).read_bytes())
    except BadPacket as error:
        sys.exit(f"not a STUN message: {error}")
    print(message.message_class.name, message.transaction_id.hex())
    for attribute, value in message.attributes:
        name = f"attribute 0x{attribute:04x}" if isinstance(attribute, int) else attribute.name
        print(f"{name}: {value!r}")


if __name__ == "__main__":
    main(*sys.argv[1:])
