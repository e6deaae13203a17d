"""Check a commit message: python tools/check_message.py FILE. A git hook of .pre-commit-config.yaml runs it.

The subject is `area: what changes`, in at most 72 characters. A blank line and a body that says why may follow.
"""

import re
import sys
from pathlib import Path
from typing import Final

MAX_SUBJECT: Final = 72
SUBJECT: Final = re.compile(r"[a-z0-9][\w./-]*(?:, [\w./-]+)*: \S.*[^.\s]")
MADE_BY_GIT: Final = ("Merge ", "Revert ", "fixup! ", "squash! ")


def mistakes(message: str) -> list[str]:
    """Return what is wrong with a message; lines that begin with # are git's."""
    lines = [line.rstrip() for line in message.splitlines() if not line.startswith("#")]
    subject, *body = "\n".join(lines).strip().splitlines() or [""]
    if subject.startswith(MADE_BY_GIT):
        return []
    found = []
    if len(subject) > MAX_SUBJECT:
        found.append(f"the subject has {len(subject)} characters, at most {MAX_SUBJECT} are allowed")
    if not SUBJECT.fullmatch(subject):
        found.append("the subject must be `area: what changes`, without a full stop")
    if body and body[0]:
        found.append("the line after the subject must be blank")
    return found


if __name__ == "__main__":
    found = mistakes(Path(sys.argv[1]).read_text())
    sys.exit("\n".join(f"commit message: {mistake}" for mistake in found) or 0)
