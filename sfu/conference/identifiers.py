"""The characters of room ids, user ids and names: those that a person can see.

Other people see them on a screen, and operators in a log. With a character that is not seen, two different ids
look the same. One that changes the direction of writing makes a text look like another. Neither is accepted.
"""

import re
from typing import Final

HIDDEN: Final = re.compile(
    "["
    r"\x00-\x1f\x7f-\x9f"  # control characters (C0, DEL, C1)
    r"\xad\u180e\u200b-\u200d\u2060-\u2065\ufeff"  # no width
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction: marks, embeddings, overrides, isolates
    r"\u2028\u2029"  # separators of lines and paragraphs
    r"\u206a-\u206f\ufff9-\ufffb\U000e0000-\U000e007f"  # deprecated formats, annotations, tags
    "]"
)
"""Characters that an id or a name may not have. Some names need U+200C or U+200D (Persian, emoji of several
people). They are refused too, since nothing distinguishes an id with one from the id without it."""


def check_visible(field: str, text: str) -> None:
    """Check the characters of the `text` in `field`.

    Raises:
        ValueError: there is one that is not allowed. The error's text names the field and the character.
    """
    found = HIDDEN.search(text)
    if found is not None:
        raise ValueError(
            f"{field} contains U+{ord(found[0]):04X}: control and invisible characters are not allowed"
        )
