// A participant made of node-datachannel, which is libdatachannel, in the protocol of `interop.caller`.
//
// libdatachannel carries RTP packets and leaves it to the application what is in them: this program packs the clip's
// frames and Opus silence, and counts what arrives, a packet with the marker bit as a frame.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import ndc from "node-datachannel";

const REPORT_INTERVAL_MS = 100;
const GOODBYE_MS = 3000;
const OPUS_SILENCE = Buffer.from([0xf8, 0xff, 0xfe]);
const IVF_HEADER = 32;
const IVF_FRAME_HEADER = 12;
const VP8_DESCRIPTOR = Buffer.from([0x10]); // RFC 7741: a partition begins here
const AUDIO = { mid: "audio", ssrc: 1001, payloadType: 111, clockRate: 48000, intervalMs: 20 };
const VIDEO = { mid: "video", ssrc: 2001, payloadType: 96, clockRate: 90000, intervalMs: 40 };

const [room, clip] = process.argv.slice(2);
const received = { audio: 0, video: 0 };
const tracks = []; // a track without a reference is garbage-collected, and then silent
const timers = [];
let connection = "new";
let whenClosed = () => {};

function say(type, data = {}) {
  process.stdout.write(JSON.stringify({ type, data }) + "\n");
}

function frames() {
  const file = readFileSync(clip);
  const all = [];
  for (let at = IVF_HEADER; at < file.length; ) {
    const size = file.readUInt32LE(at);
    at += IVF_FRAME_HEADER;
    all.push(Buffer.concat([VP8_DESCRIPTOR, file.subarray(at, at + size)]));
    at += size;
  }
  return all;
}

function rtp(stream, number, payload) {
  const header = Buffer.alloc(12);
  header[0] = 0x80;
  header[1] = 0x80 | stream.payloadType;
  header.writeUInt16BE(number & 0xffff, 2);
  header.writeUInt32BE((number * stream.clockRate * stream.intervalMs) / 1000, 4);
  header.writeUInt32BE(stream.ssrc, 8);
  return Buffer.concat([header, payload]);
}

function send(stream, media, payloads) {
  media.addSSRC(stream.ssrc, "ndc", "ndc", stream.mid);
  const track = pc.addTrack(media);
  const chain = new ndc.RtcpSrReporter(
    new ndc.RtpPacketizationConfig(stream.ssrc, "ndc", stream.payloadType, stream.clockRate),
  );
  chain.addToChain(new ndc.RtcpNackResponder());
  track.setMediaHandler(chain);
  tracks.push(track);
  let number = 0;
  let next = 0;
  track.onMessage((message) => {
    // Picture loss (RFC 4585 section 6.3.1): begin the clip again.
    if (message[1] === 206 && (message[0] & 31) === 1) next = 0;
  });
  timers.push(
    setInterval(() => {
      if (!track.isOpen()) return;
      track.sendMessageBinary(rtp(stream, number++, payloads[next++ % payloads.length]));
    }, stream.intervalMs),
  );
}

function watch(track) {
  tracks.push(track);
  track.setMediaHandler(new ndc.RtcpReceivingSession());
  const kind = track.type();
  track.onMessage((message) => {
    const isRtcp = message[1] >= 192 && message[1] <= 223;
    if (!isRtcp && message[1] & 0x80) received[kind]++;
  });
}

function publish() {
  const audio = new ndc.Audio(AUDIO.mid, "SendOnly");
  audio.addOpusCodec(AUDIO.payloadType);
  const video = new ndc.Video(VIDEO.mid, "SendOnly");
  video.addVP8Codec(VIDEO.payloadType);
  send(AUDIO, audio, [OPUS_SILENCE]);
  send(VIDEO, video, frames());
  pc.setLocalDescription("offer");
}

const pc = new ndc.PeerConnection("client", { iceServers: [], disableAutoNegotiation: true });
pc.onLocalDescription((sdp, type) => say(type, { sdp, type }));
pc.onStateChange((state) => {
  connection = state;
  if (["closed", "failed", "disconnected"].includes(state)) whenClosed();
});
pc.onTrack(watch);

function exit() {
  process.stdout.write("", () => process.exit(0));
}

function finish(first) {
  timers.forEach(clearInterval);
  if (first === "close") {
    pc.close();
    say("leave");
    exit();
  } else {
    const late = setTimeout(() => process.exit(1), GOODBYE_MS);
    whenClosed = () => {
      clearTimeout(late);
      exit();
    };
    say("leave");
  }
}

createInterface({ input: process.stdin }).on("line", (line) => {
  const { type, data } = JSON.parse(line);
  if (type === "publish") publish();
  else if (type === "finish") finish(data.first);
  else if (type === "offer") {
    pc.setRemoteDescription(data.sdp, "offer");
    pc.setLocalDescription("answer");
  } else if (type === "answer") pc.setRemoteDescription(data.sdp, "answer");
});

say("join", { roomId: room, userId: "node-datachannel", name: "node-datachannel" });
timers.push(setInterval(() => say("report", { connection, received }), REPORT_INTERVAL_MS));
