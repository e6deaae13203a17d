"""Arithmetic with deadlines: times on a caller's clock, of which each may be `None` for never."""


def earliest(*deadlines: float | None) -> float | None:
    """Return the earliest deadline; `None` if there is none.

    >>> earliest(None, 3.0, 2.0)
    2.0
    """
    first: float | None = None
    for deadline in deadlines:
        if deadline is not None and (first is None or deadline < first):
            first = deadline
    return first
