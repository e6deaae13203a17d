/** The page: a lobby with name, room and preview, and the call. */
import { LocalMedia, Room, type RoomError, type Source } from "../client/index.js";
import { CallView } from "./call-view.js";
import {
  interruptedCall,
  linkTo,
  readRequest,
  rememberCall,
  rememberDevices,
  rememberName,
  userIdOfThisTab,
} from "./preferences.js";
import { TileGrid } from "./tiles.js";
import { captureInWords, endInWords, roomErrorInWords } from "./words.js";

/** Where people meet who open the page without a link: two tabs on the same address are in one call. */
const DEFAULT_ROOM = "lobby";

const UNSTABLE = "Your connection is unstable: trying to get it back…";
const RECONNECTING = "The connection to the server is lost: trying to get it back…";

const lobby = element("lobby");
const call = element("call");
const form = element("join") as HTMLFormElement;
const nameInput = element("name") as HTMLInputElement;
const roomInput = element("room") as HTMLInputElement;
const joinButton = element("join-button") as HTMLButtonElement;
const preview = element("preview") as HTMLVideoElement;
const playSound = element("play-sound") as HTMLButtonElement;
const copyButton = element("copy") as HTMLButtonElement;

const room = new Room();
const media = new LocalMedia(room);
const grid = new TileGrid(element("tiles"), element("tile") as HTMLTemplateElement, () => {
  playSound.hidden = false;
});
const view = new CallView(room, media, grid);

/** Shows a message above everything else; null takes it away. */
function notify(message: string | null): void {
  element("notice-text").textContent = message;
  element("notice").hidden = message === null;
}

/** Says something to those who hear the page instead of seeing it. */
function say(message: string): void {
  element("status").textContent = message;
}

/** Makes buttons, preview and lists agree with what is the case. */
function refresh(): void {
  for (const button of document.querySelectorAll<HTMLButtonElement>("button[data-source]")) {
    button.setAttribute("aria-pressed", String(media.isOn(button.dataset.source as Source)));
  }
  const camera = media.track("camera");
  if ((preview.srcObject as MediaStream | null)?.getVideoTracks()[0] !== (camera ?? undefined)) {
    preview.srcObject = camera === null ? null : new MediaStream([camera]);
  }
  element("preview-off").hidden = camera !== null;
  element("alone").hidden = room.peers.size > 0;
}

/** Switches a device, and says in words why it does not work when it does not. */
async function toggle(source: Source): Promise<void> {
  notify(null);
  try {
    await media.set(source, !media.isOn(source));
  } catch (error) {
    notify(captureInWords({ source, error }));
  }
  if (source !== "screen") rememberDevices({ mic: media.isOn("mic"), camera: media.isOn("camera") });
}

async function join(): Promise<void> {
  const name = nameInput.value.trim();
  const roomId = roomInput.value.trim();
  if (name === "" || roomId === "") return;
  notify(null);
  rememberName(name);
  history.replaceState(null, "", linkTo(roomId));
  try {
    await room.join({ roomId, name, userId: userIdOfThisTab() });
  } catch {
    // The change of the state tells the person.
    return;
  }
  rememberCall(roomId);
  document.title = `${roomId} – trio-sfu`;
  element("room-name").textContent = roomId;
  view.start(name);
  // The button that had the focus is gone; this also tells those who hear the page where they are.
  element("call-title").focus();
}

function showState(error: RoomError | null): void {
  const { state } = room;
  const { inRoom: inCall } = room;
  call.hidden = !inCall;
  lobby.hidden = inCall;
  joinButton.disabled = state === "connecting" || state === "joining";
  joinButton.textContent = joinButton.disabled ? "Joining…" : "Join";
  if (!inCall) {
    view.stop();
    document.title = "trio-sfu";
    playSound.hidden = true;
    if (state === "leaving" || state === "failed") rememberCall("");
    if (state === "closed" || state === "failed") joinButton.focus();
  }
  if (state === "reconnecting") notify(RECONNECTING);
  else if (error !== null) notify(roomErrorInWords(error));
  else if (state === "joined") settle(RECONNECTING);
  refresh();
}

/** Takes a message away if it is the one that is shown. */
function settle(message: string): void {
  if (element("notice-text").textContent === message) notify(null);
}

room.on("stateChanged", ({ error }) => {
  showState(error);
});
room.on("transportChanged", (state) => {
  if (state === "disconnected") notify(UNSTABLE);
  else if (state === "connected") settle(UNSTABLE);
});
room.on("peerJoined", (peer) => {
  say(`${peer.name} is here`);
  refresh();
});
room.on("peerLeft", (peer) => {
  if (room.inRoom) say(`${peer.name} has left`);
  refresh();
});
room.on("peerSuspended", (peer) => {
  say(`${peer.name} is reconnecting`);
});
room.on("peerResumed", (peer) => {
  say(`${peer.name} is back`);
});
room.on("publicationEnded", ({ publication, reason }) => {
  const words = endInWords(publication.source, reason);
  if (words !== null) notify(words);
});
room.on("error", (error) => {
  console.warn(error);
});
media.on("changed", refresh);

form.addEventListener("submit", (event) => {
  event.preventDefault();
  void join();
});
for (const button of document.querySelectorAll<HTMLButtonElement>("button[data-source]")) {
  const source = button.dataset.source as Source;
  button.addEventListener("click", () => void toggle(source));
  // Phones have no screen to share.
  if (source === "screen")
    button.hidden = !("getDisplayMedia" in ((navigator.mediaDevices as object | undefined) ?? {}));
}
element("leave").addEventListener("click", () => {
  void room.leave();
});
copyButton.addEventListener("click", () => {
  void navigator.clipboard.writeText(linkTo(roomInput.value.trim())).then(
    () => {
      say("The link is copied");
      copyButton.classList.add("done");
      setTimeout(() => {
        copyButton.classList.remove("done");
      }, 1500);
    },
    () => {
      notify(`Copy this address: ${linkTo(roomInput.value.trim())}`);
    },
  );
});
element("notice-close").addEventListener("click", () => {
  notify(null);
});
playSound.addEventListener("click", () => {
  playSound.hidden = true;
  grid.play();
});

async function start(): Promise<void> {
  const request = readRequest(location.search);
  nameInput.value = request.name;
  roomInput.value = request.room === "" ? DEFAULT_ROOM : request.room;
  (request.name === "" ? nameInput : joinButton).focus();
  refresh();
  const capturing = media.start(request);
  if (request.autojoin || (request.room !== "" && request.room === interruptedCall())) await join();
  const words = (await capturing).map(captureInWords).filter((each) => each !== null);
  if (words.length > 0) notify(words.join(" "));
}

function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found;
}

void start();
