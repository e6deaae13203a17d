"""What a session's id looks like."""

import re
from typing import Final

from sfu.conference.session import ID_BYTES

_FORM: Final = re.compile(f"[0-9a-f]{{{2 * ID_BYTES}}}")


def is_session_id(text: str) -> bool:
    """Return whether `text` can be the id of a session; what cannot is not looked up anywhere."""
    return _FORM.fullmatch(text) is not None
