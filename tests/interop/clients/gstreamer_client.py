"""A participant made of GStreamer's webrtcbin, in the protocol of `interop.caller`.

Runs with the system's Python, which has GStreamer's bindings. It encodes a moving ball and silence, and decodes
what arrives.
"""

import json
import sys
import threading
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402  versions come first

REPORT_INTERVAL_MS = 100
GOODBYE_MS = 3000
PAYLOAD_TYPES = {"audio": 111, "video": 96}
SOURCES = {
    "audio": "audiotestsrc is-live=true wave=silence ! audio/x-raw,rate=48000,channels=2 ! "
    "opusenc ! rtpopuspay pt=111",
    "video": "videotestsrc is-live=true pattern=ball ! video/x-raw,width=160,height=120,framerate=25/1 ! "
    "vp8enc deadline=1 keyframe-max-dist=3000 ! rtpvp8pay pt=96 picture-id-mode=15-bit",
}
FORMATS = {
    "audio": "application/x-rtp,media=audio,encoding-name=OPUS,clock-rate=48000,encoding-params=(string)2",
    "video": "application/x-rtp,media=video,encoding-name=VP8,clock-rate=90000,rtcp-fb-nack=true,"
    "rtcp-fb-nack-pli=true,rtcp-fb-ccm-fir=true",
}
DECODERS = {"audio": "rtpopusdepay ! opusdec", "video": "rtpvp8depay ! vp8dec"}


output = threading.Lock()


def say(message_type: str, **data: Any) -> None:
    """Print one message; promises are kept on threads of GStreamer's."""
    with output:
        print(json.dumps({"type": message_type, "data": data}), flush=True)


class Participant:
    """One webrtcbin and what it does on each message."""

    def __init__(self) -> None:
        self.received = {"audio": 0, "video": 0}
        self.loop = GLib.MainLoop()
        self.pipeline = Gst.Pipeline()
        self.webrtc = Gst.ElementFactory.make("webrtcbin")
        self.webrtc.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        self.webrtc.connect("pad-added", self.watch)
        self.webrtc.connect("on-new-transceiver", self.repair)
        self.pipeline.add(self.webrtc)
        self.pipeline.set_state(Gst.State.PLAYING)

    def repair(self, _webrtc: Any, transceiver: Any) -> None:
        """Send NACKs for lost video, and retransmit video; audio is not retransmitted."""
        if transceiver.get_property("kind") == GstWebRTC.WebRTCKind.VIDEO:
            transceiver.set_property("do-nack", True)

    # --- negotiation ---

    def describe(self, kind: str) -> None:
        """Make an offer or an answer, apply it and send it."""

        def made(promise: Any, *_: Any) -> None:
            reply = promise.get_reply()  # owns the description
            description = reply.get_value(kind)
            self.webrtc.emit("set-local-description", description, None)
            say(kind, sdp=description.sdp.as_text(), type=kind)

        self.webrtc.emit(f"create-{kind}", None, Gst.Promise.new_with_change_func(made))

    def apply(self, kind: Any, text: str, done: Any) -> None:
        """Apply a description of the server's."""
        _, sdp = GstSdp.SDPMessage.new_from_text(text)
        description = GstWebRTC.WebRTCSessionDescription.new(kind, sdp)
        self.webrtc.emit("set-remote-description", description, Gst.Promise.new_with_change_func(done))

    def receive(self, message_type: str, data: dict[str, Any]) -> bool:
        """Do what a message asks for."""
        if message_type == "publish":
            for kind in SOURCES:
                self.publish(kind)
            self.describe("offer")
        elif message_type == "offer":
            self.apply(GstWebRTC.WebRTCSDPType.OFFER, data["sdp"], lambda *_: self.describe("answer"))
        elif message_type == "answer":
            self.apply(GstWebRTC.WebRTCSDPType.ANSWER, data["sdp"], lambda *_: None)
        elif message_type == "finish":
            self.finish(data["first"])
        return False  # GLib.SOURCE_REMOVE

    # --- media ---

    def publish(self, kind: str) -> None:
        """Send a track."""
        source = Gst.parse_bin_from_description(SOURCES[kind], True)
        self.pipeline.add(source)
        pad = self.webrtc.request_pad_simple("sink_%u")
        transceiver = pad.get_property("transceiver")
        transceiver.set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
        transceiver.set_property("do-nack", kind == "video")
        self.prefer(pad, kind, PAYLOAD_TYPES[kind])
        source.get_static_pad("src").link(pad)
        source.sync_state_with_parent()

    def prefer(self, pad: Any, kind: str, payload_type: int) -> None:
        """Say what the next offer is to say about a pad's transceiver."""
        caps = Gst.Caps.from_string(f"{FORMATS[kind]},payload={payload_type}")
        pad.get_property("transceiver").set_property("codec-preferences", caps)

    def watch(self, _webrtc: Any, pad: Any) -> None:
        """Decode a track that arrives, and count."""
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        caps = pad.get_current_caps().get_structure(0)
        kind = caps.get_string("media")
        # Without this its next offer would ask the decoder for a payload type, and get a range.
        self.prefer(pad, kind, caps.get_int("payload").value)
        sink = Gst.parse_bin_from_description(f"{DECODERS[kind]} ! fakesink name=sink sync=false", True)

        def decoded(*_: Any) -> Any:
            self.received[kind] += 1
            return Gst.PadProbeReturn.OK

        sink.get_by_name("sink").get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, decoded)
        self.pipeline.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))

    # --- from beginning to end ---

    @property
    def connection(self) -> str:
        """The RTCPeerConnection's state."""
        state: str = self.webrtc.get_property("connection-state").value_nick
        return state

    def report(self) -> bool:
        """Print what has been decoded."""
        say("report", connection=self.connection, received=self.received)
        return True  # GLib.SOURCE_CONTINUE

    def finish(self, first: str) -> None:
        """Close and leave, or leave and wait for the server to close."""
        if first == "close":
            self.pipeline.set_state(Gst.State.NULL)
            say("leave")
            self.loop.quit()
            return
        self.webrtc.get_by_name("rtpbin").connect("on-bye-ssrc", lambda *_: self.loop.quit())
        say("leave")
        GLib.timeout_add(GOODBYE_MS, sys.exit, "the server did not say goodbye")

    def listen(self) -> None:
        """Hand on each line of standard input."""
        for line in sys.stdin:
            message = json.loads(line)
            GLib.idle_add(self.receive, message["type"], message["data"])


def main(room: str) -> None:
    """Take part until told to finish."""
    Gst.init(None)
    participant = Participant()
    threading.Thread(target=participant.listen, daemon=True).start()
    GLib.timeout_add(REPORT_INTERVAL_MS, participant.report)
    say("join", roomId=room, userId="gstreamer", name="GStreamer")
    participant.loop.run()
    participant.pipeline.set_state(Gst.State.NULL)


main(sys.argv[1])
