"""Environment variables that look like settings and are none.

They are logged and not refused. The environment is not only the operator's: for a service named ``sfu``
Kubernetes sets ``SFU_PORT`` and others, and a later version's variables may be there already.
"""

from collections.abc import Mapping
from difflib import get_close_matches

from sfu.shell.config.settings import PREFIX, rows


def unknown_variables(environ: Mapping[str, str]) -> dict[str, str | None]:
    """Return the variables with our prefix that are no setting, each with the setting that is nearest.

    That is `None` if none resembles it. An empty variable counts as not set, as in `settings.load`.
    """
    known = {row.variable.removeprefix(PREFIX) for row in rows()} | {"CONFIG"}
    found: dict[str, str | None] = {}
    for variable in sorted(environ):
        name = variable.removeprefix(PREFIX)
        if variable.startswith(PREFIX) and environ[variable] and name not in known:
            nearest = get_close_matches(name.upper(), sorted(known), n=1, cutoff=0.7)
            found[variable] = PREFIX + nearest[0] if nearest else None
    return found
