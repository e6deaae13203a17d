"""Environment variables that look like settings and are none."""

import pytest

from sfu.shell.config.settings import rows
from sfu.shell.config.unknown import unknown_variables


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("SFU_MAX_ROOM", "SFU_MAX_ROOMS"),
        ("SFU_MAXROOMS", "SFU_MAX_ROOMS"),
        ("SFU_max_rooms", "SFU_MAX_ROOMS"),
        ("SFU_AUTH_SECRETS", "SFU_AUTH_SECRET"),
        ("SFU_ADMIN_ADDRESS", "SFU_ADMIN_ADDR"),
        ("SFU_CONFIGS", "SFU_CONFIG"),
        ("SFU_SERVICE_HOST", None),
        ("SFU_", None),
    ],
)
def test_an_unknown_variable_is_found_with_the_nearest_setting(variable: str, nearest: str | None) -> None:
    assert unknown_variables({variable: "1", "PATH": "/bin", "sfu_max_room": "1"}) == {variable: nearest}


def test_settings_and_empty_variables_are_not_found() -> None:
    environ = {row.variable: "1" for row in rows()} | {"SFU_CONFIG": "file", "SFU_MAX_ROOM": ""}
    assert unknown_variables(environ) == {}
