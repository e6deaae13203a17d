"""Build the package as a user gets it, install it into an empty environment, and run the server there.

The wheel is built from the source distribution, so both are shown to be complete: code, the built page, the
command. What it depends on is installed from requirements/server.lock, which is shown to be complete too.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
import venv
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
START_SECONDS: Final = 30.0
PORTS: Final = ("--http-addr", "--udp-addr", "--ice-tcp-addr", "--admin-addr")
"""All that a server binds: each anywhere, since another server may run on this machine."""
EXPECTED: Final = {
    "": b"<script",
    "client.js": b"export",
    "types/index.d.ts": b"Room",
    "licenses.txt": b"react",
    "healthz": b"ok",
}
"""What a server of the package has to answer, by path: something that must be in it."""


def run(*command: str | Path) -> str:
    """Run a command outside the checkout, so that nothing of it is imported by accident; return its output."""
    outside = tempfile.gettempdir()
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, cwd=outside).stdout


def check(folder: Path) -> None:
    """Build, install and try everything in `folder`."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    environment = folder / "venv"
    venv.create(environment, with_pip=True)
    install = (environment / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*install, "--require-hashes", "--requirement", ROOT / "requirements" / "server.lock")
    run(*install, "--no-deps", wheel)
    run(environment / "bin" / "pip", "check")
    command = environment / "bin" / "trio-sfu"
    assert run(command, "--version").startswith("trio-sfu, version ")
    typed = "import importlib.resources as r; print((r.files('sfu') / 'py.typed').is_file())"
    assert run(environment / "bin" / "python", "-c", typed) == "True\n"
    server = subprocess.Popen(
        [command, *(word for port in PORTS for word in (port, "127.0.0.1:0"))],
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("SFU_")},
    )
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        found = re.search(r"open (http://\S+/)", line)
        assert found is not None, line
        for path, expected in EXPECTED.items():
            with urllib.request.urlopen(found[1] + path, timeout=START_SECONDS) as response:
                assert expected in response.read(), path
        server.send_signal(signal.SIGTERM)
        assert server.wait(START_SECONDS) == 0
    finally:
        server.kill()
        server.communicate()
    print(f"{wheel.name}: installs, runs, serves its page, ends with status 0")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        check(Path(temporary))
