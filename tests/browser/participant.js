// One person in a room, for the browser tests: drives the client library (`/client.js`) and reports what arrives.
// One function expression (so no semicolon at its end) that installs `window.participant` in a page of the server.
async () => {
  const { LocalMedia, Room } = await import("/client.js");

  let connection = null; // the library's RTCPeerConnection, for its statistics
  let codec = ""; // the video codec to send: "" leaves the choice to the browser

  // All participants here have the same microphone. Echo cancellation would take a participant's own beeps for an echo
  // of the others' and silence them for seconds.
  const { mediaDevices } = navigator;
  const getUserMedia = mediaDevices.getUserMedia.bind(mediaDevices);
  const raw = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  mediaDevices.getUserMedia = ({ audio, video }) =>
    getUserMedia({ video, audio: audio ? { ...(audio === true ? {} : audio), ...raw } : false });

  // Firefox has no statistics of a closed connection, for example one that was replaced.
  const statistics = async (source, ...selector) => {
    try {
      return await source.getStats(...selector);
    } catch (error) {
      if (error.name !== "InvalidStateError") throw error;
      return new Map();
    }
  };

  const preferCodec = (transceiver) => {
    const { codecs } = RTCRtpSender.getCapabilities("video");
    const wanted = codecs.filter(({ mimeType }) => mimeType.toLowerCase() === `video/${codec}`);
    if (wanted.length === 0) throw new Error(`this browser does not send ${codec}`);
    transceiver.setCodecPreferences([...wanted, ...codecs.filter(({ mimeType }) => /rtx/i.test(mimeType))]);
  };

  const createConnection = (configuration) => {
    connection = new RTCPeerConnection(configuration);
    connections.push(connection);
    const { addTransceiver } = connection;
    connection.addTransceiver = function (media, init) {
      const transceiver = addTransceiver.call(this, media, init);
      if (codec !== "" && media.kind === "video") preferCodec(transceiver);
      return transceiver;
    };
    return connection;
  };

  // A test may change everything that is sent; the default changes nothing.
  let tamper = (text) => text;
  const createSocket = (url) => {
    const socket = new WebSocket(url);
    const { send } = socket;
    socket.send = (text) => send.call(socket, tamper(text));
    return socket;
  };

  const room = new Room({ createConnection, createSocket });
  const local = new LocalMedia(room);
  const elements = new Map(); // trackId → the element that plays it
  const shown = new Map(); // trackId → the number of its frames that the page has shown
  const errors = [];
  const states = []; // the room's states, in order
  const connections = []; // every RTCPeerConnection so far
  let screen = null; // the publication of the canvas
  let joinedAt = 0; // ms by performance.now(), when join was called
  let firstFrameAt = null; // the same, when the first remote video frame was shown

  room.on("error", (error) => errors.push(`${error.kind}: ${error.message}`));
  room.on("stateChanged", ({ state, error }) => {
    states.push(state);
    if (state === "failed") errors.push(`${error.kind}: ${error.message}`);
  });
  room.on("trackSubscribed", ({ trackId, kind, stream }) => {
    const element = document.createElement(kind);
    element.autoplay = true;
    element.playsInline = true;
    element.srcObject = stream;
    elements.set(trackId, element);
    document.body.append(element);
    if (kind !== "video") return;
    shown.set(trackId, 0);
    const count = (now) => {
      firstFrameAt ??= now;
      shown.set(trackId, shown.get(trackId) + 1);
      element.requestVideoFrameCallback(count);
    };
    element.requestVideoFrameCallback(count);
  });
  room.on("trackUnsubscribed", ({ trackId }) => {
    const element = elements.get(trackId);
    elements.delete(trackId);
    element.srcObject = null;
    element.remove();
  });

  // A stand-in for a shared screen: a track of 1280 x 720 whose picture changes all the time.
  const canvasTrack = () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 1280, height: 720 });
    const context = canvas.getContext("2d");
    let tick = 0;
    const timer = setInterval(() => {
      context.fillStyle = `hsl(${(tick * 7) % 360} 80% 50%)`;
      context.fillRect((tick * 13) % 1280, (tick * 5) % 720, 200, 200);
      tick += 1;
    }, 33);
    const [track] = canvas.captureStream(30).getVideoTracks();
    const { stop } = track;
    track.stop = function () {
      clearInterval(timer);
      stop.call(this);
    };
    return track;
  };

  const publish = async (source) => {
    if (source === "screen") screen = room.publish(canvasTrack(), { source });
    else await local.set(source, true);
  };

  const describe = (remote, stats) => {
    const reports = [...stats.values()];
    const inbound = reports.find((each) => each.type === "inbound-rtp") ?? {};
    const outbound = reports.find((each) => each.type === "remote-outbound-rtp") ?? {};
    return {
      peer: room.peers.get(remote.peerId)?.name ?? remote.peerId,
      source: remote.source,
      track_id: remote.trackId,
      mid: remote.mid,
      codec: stats.get(inbound.codecId)?.mimeType ?? "",
      packets: inbound.packetsReceived ?? 0,
      lost: inbound.packetsLost ?? 0,
      nacks: inbound.nackCount ?? 0,
      plis: inbound.pliCount ?? 0,
      frames: inbound.framesDecoded ?? 0,
      shown: shown.get(remote.trackId) ?? 0,
      width: inbound.frameWidth ?? 0,
      height: inbound.frameHeight ?? 0,
      freezes: inbound.freezeCount ?? -1,
      audio_energy: inbound.totalAudioEnergy ?? 0,
      report_ntp: outbound.remoteTimestamp ?? 0,
      playout_ntp: inbound.estimatedPlayoutTimestamp ?? 0,
    };
  };

  const sending = async () => {
    const result = {};
    for (const { source, transceiver } of room.publications) {
      if (transceiver === null) continue;
      const reports = [...(await statistics(transceiver.sender)).values()];
      result[source] = reports.find((each) => each.type === "outbound-rtp") ?? {};
    }
    return result;
  };

  window.participant = {
    room,
    local,
    publish,
    connection: () => connection,
    tamperWith: (change) => (tamper = change),

    async join(roomId, name, sources, videoCodec, userId) {
      codec = videoCodec;
      const failures = await local.start({ mic: sources.includes("mic"), camera: sources.includes("camera") });
      if (failures.length > 0) throw failures[0].error;
      if (sources.includes("screen")) await publish("screen");
      firstFrameAt = null;
      joinedAt = performance.now();
      await room.join({ roomId, name, ...(userId === "" ? {} : { userId }) });
    },

    unpublish(source) {
      if (source !== "screen") throw new Error("microphone and camera are muted, not unpublished");
      const { track } = screen;
      room.unpublish(screen);
      track.stop();
    },

    async setEnabled(source, enabled) {
      await local.set(source, enabled);
    },

    async unsubscribe(name, source) {
      const peer = [...room.peers.values()].find((each) => each.name === name);
      const track = [...peer.tracks.values()].find((each) => each.source === source);
      await room.unsubscribe(track.trackId);
    },

    async leave() {
      await room.leave();
    },

    async snapshot() {
      const received = await Promise.all(
        room.remoteTracks.map(async (remote) => describe(remote, await statistics(connection, remote.track))),
      );
      const { negotiation } = await room.statistics();
      return {
        state: room.state,
        states,
        session: room.session === null ? null : [room.session.peerId, room.session.sessionId],
        connections: connections.length,
        negotiations: negotiation === null ? 0 : negotiation.offers + negotiation.answers,
        suspended: [...room.peers.values()].filter(({ suspended }) => suspended).map(({ name }) => name),
        connection: connection?.connectionState ?? "none",
        peers: Object.fromEntries([...room.peers.values()].map(({ name, mediaState }) => [name, mediaState])),
        received,
        sending: await sending(),
        m_lines: (connection?.remoteDescription?.sdp.match(/^m=/gm) ?? []).length,
        errors,
        first_frame_ms: firstFrameAt === null ? null : firstFrameAt - joinedAt,
      };
    },
  };
}
