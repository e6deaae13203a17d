"""The command: its flags, its exit statuses, and the error line of each mistake."""

import gc
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
import trio
from click.testing import CliRunner
from support.log_capture import capture_logs

import sfu.shell
from sfu import cli
from sfu.conference.grants import Grants
from sfu.conference.messages import Join
from sfu.shell import logs
from sfu.shell.auth.tokens import TokenVerifier
from sfu.shell.config import settings as config
from sfu.shell.config.settings import ConfigError, Settings


class FakeServer(ModuleType):
    """Stands in for `sfu.shell.process`: keeps its settings, and fails with `failure` if it is set."""

    def __init__(self) -> None:
        super().__init__("sfu.shell.process")
        self.settings: Settings | None = None
        self.failure: BaseException | None = None

    async def serve(self, settings: Settings, *, task_status: trio.TaskStatus[str]) -> None:
        """Report a URL at once, and end."""
        self.settings = settings
        await trio.lowlevel.checkpoint()
        if self.failure is not None:
            raise self.failure
        task_status.started("http://127.0.0.1:8080/")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    fake = FakeServer()
    monkeypatch.setitem(sys.modules, "sfu.shell.process", fake)
    monkeypatch.setattr(sfu.shell, "process", fake, raising=False)
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    for variable in [name for name in os.environ if name.startswith(config.PREFIX)]:
        monkeypatch.delenv(variable)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield fake
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    gc.unfreeze()


def test_serving_is_the_default_and_the_address_is_printed(server: FakeServer) -> None:
    result = CliRunner().invoke(cli.main, [])
    assert result.exit_code == 0
    assert result.stdout.endswith(" is ready: open http://127.0.0.1:8080/\n")
    assert server.settings == Settings()


@pytest.mark.parametrize("arguments", [["--max-rooms", "3"], ["serve", "--max-rooms", "3"], ["--max-rooms=3"]])
def test_flags_become_settings(server: FakeServer, arguments: list[str]) -> None:
    assert CliRunner().invoke(cli.main, arguments).exit_code == 0
    assert server.settings is not None
    assert server.settings.max_rooms == 3


def test_environment_becomes_settings(server: FakeServer) -> None:
    assert CliRunner().invoke(cli.main, [], env={"SFU_MAX_ROOMS": "4"}).exit_code == 0
    assert server.settings is not None
    assert server.settings.max_rooms == 4


def test_unknown_environment_variables_are_named_and_their_values_are_not(server: FakeServer) -> None:
    environ = {"SFU_MAX_ROOM": "4", "SFU_AUTH_SECRETS": "a value that may be secret", "SFU_MAX_ROOMS": "3"}
    with capture_logs() as log:
        assert CliRunner().invoke(cli.main, [], env=environ).exit_code == 0
    assert log == [
        {
            "event": "unknown environment variable",
            "log_level": "warning",
            "variable": variable,
            "nearest": nearest,
        }
        for variable, nearest in (("SFU_AUTH_SECRETS", "SFU_AUTH_SECRET"), ("SFU_MAX_ROOM", "SFU_MAX_ROOMS"))
    ]
    assert server.settings is not None
    assert server.settings.max_rooms == 3


SECRET = "a secret of thirty-two bytes, or more"
TOKEN = ["token", "--room", "daily", "--user", "alice"]


def test_token(server: FakeServer) -> None:
    arguments = [*TOKEN, "--ttl", "15m", "--publish", "audio, screen", "--no-subscribe", "--admin"]
    result = CliRunner().invoke(cli.main, arguments, env={"SFU_AUTH_SECRET": SECRET})
    assert result.exit_code == 0
    request = Join(room_id="daily", user_id="alice", token=result.stdout.strip())
    grants = Grants(frozenset({"audio", "screen"}), subscribe=False, admin=True)
    assert TokenVerifier(SECRET).authenticate(request) == grants
    result = CliRunner().invoke(cli.main, [*TOKEN, "--publish", ""], env={"SFU_AUTH_SECRET": SECRET})
    request = Join(room_id="daily", user_id="alice", token=result.stdout.strip())
    assert TokenVerifier(SECRET).authenticate(request) == Grants(publish=frozenset())


@pytest.mark.parametrize(
    ("arguments", "secret", "complaint"),
    [
        ([], "", "SFU_AUTH_SECRET is not set"),
        ([], "short", "SFU_AUTH_SECRET=***: expected at least 32 bytes"),
        (["--ttl", "0"], SECRET, "'0': expected a number followed by s, m, h or d"),
        (["--ttl", "1y"], SECRET, "'1y': expected"),
        (["--ttl", ""], SECRET, "'': expected"),
        (["--publish", "audio,all"], SECRET, "expected audio, video and screen"),
        (["--room", "blue\u202e"], SECRET, "room contains U+202E"),
    ],
)
def test_token_with_a_mistake(server: FakeServer, arguments: list[str], secret: str, complaint: str) -> None:
    result = CliRunner().invoke(cli.main, [*TOKEN, *arguments], env={"SFU_AUTH_SECRET": secret})
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert result.stdout == ""


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sfu", "--version"], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.startswith("trio-sfu, version ")


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["--version"], ["--max-rooms", "none"]])
def test_help_and_wrong_settings_load_no_server(arguments: list[str]) -> None:
    code = (
        "import sys; from sfu.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: sys.stderr.write(' '.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, timeout=30
    )
    loaded = set(done.stderr.split())
    assert "sfu.cli" in loaded
    assert not loaded & {"trio", "sfu.sdp", "sfu.shell.process", "cffi", "cryptography", "jwt", "msgspec"}


def test_version() -> None:
    result = CliRunner().invoke(cli.main, ["--version"])
    assert result.exit_code == 0
    assert result.stdout.startswith("trio-sfu, version ")


def test_help_names_every_setting() -> None:
    result = CliRunner().invoke(cli.main, ["serve", "--help"])
    assert result.exit_code == 0
    text = "".join(result.stdout.split())
    for row in config.rows():
        assert row.flag in text
        assert row.variable in text
    assert "serve" in CliRunner().invoke(cli.main, ["--help"]).stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--http-addr", "nowhere"], "trio-sfu: --http-addr='nowhere': expected HOST:PORT"),
        (["--config", "/does/not/exist"], "trio-sfu: SFU_CONFIG=/does/not/exist: cannot be read"),
    ],
)
def test_wrong_setting_is_one_line_and_status_2(
    server: FakeServer, arguments: list[str], complaint: str
) -> None:
    result = CliRunner().invoke(cli.main, arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(complaint)
    assert result.stderr.count("\n") == 1
    assert server.settings is None


def test_setting_that_fails_at_the_start_is_one_line_and_status_2(server: FakeServer) -> None:
    wrong = ConfigError("SFU_UDP_ADDR=0.0.0.0:7882: Address already in use")
    server.failure = BaseExceptionGroup("start", [ExceptionGroup("inner", [wrong])])
    result = CliRunner().invoke(cli.main, [])
    assert result.exit_code == 2
    assert result.stderr == "trio-sfu: SFU_UDP_ADDR=0.0.0.0:7882: Address already in use\n"


def test_a_bug_is_not_hidden(server: FakeServer) -> None:
    server.failure = RuntimeError("a bug")
    result = CliRunner().invoke(cli.main, [])
    assert result.exit_code == 1
    assert isinstance(result.exception, BaseExceptionGroup)


def test_interrupt_before_the_server_listens_to_signals_ends_quietly(server: FakeServer) -> None:
    server.failure = KeyboardInterrupt()
    result = CliRunner().invoke(cli.main, [])
    assert result.exit_code == 0
    assert result.output == ""


def test_unknown_command_and_flag_are_refused() -> None:
    assert CliRunner().invoke(cli.main, ["sreve"]).exit_code == 2
    assert CliRunner().invoke(cli.main, ["--no-such-flag"]).exit_code == 2


def test_other_systems_are_refused_with_a_reason(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    result = CliRunner().invoke(cli.main, [])
    assert result.exit_code == 1
    assert "the server requires Linux" in result.stderr
    assert server.settings is None


def test_windows_is_refused_although_it_has_no_file_limits() -> None:
    code = (
        "import sys; sys.modules['resource'] = None; from sfu.cli import main; sys.platform = 'win32'; main([])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: the server requires Linux"), done.stderr


def test_soft_limit_on_open_files_is_raised(server: FakeServer) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
    assert CliRunner().invoke(cli.main, []).exit_code == 0
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    assert server.settings is not None


def test_garbage_collection_skips_the_objects_of_the_start(server: FakeServer) -> None:
    before = len(gc.get_objects())
    assert CliRunner().invoke(cli.main, []).exit_code == 0
    assert gc.get_freeze_count() > 0.9 * before
    assert len(gc.get_objects()) < 0.1 * before


def test_no_signal_handler_is_left_behind(server: FakeServer) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    CliRunner().invoke(cli.main, [])
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
