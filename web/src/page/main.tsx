/** Starts the page. */
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { LocalMedia, Room } from "../client/index.js";
import { App } from "./app.js";
import { createConference } from "./conference.js";
import { ConferenceContext } from "./context.js";
import * as preferences from "./preferences.js";

const container = document.getElementById("page");
if (container === null) throw new Error("index.html has no #page");

const room = new Room();
const conference = createConference(room, new LocalMedia(room), preferences);
// Before the page is drawn, so that the form shows the values of the address and of the last visit.
void conference.actions.start(preferences.readRequest(location));
createRoot(container).render(
  <StrictMode>
    <ConferenceContext value={conference}>
      <App />
    </ConferenceContext>
  </StrictMode>,
);
