/** Gives components access to the conference. */
import { createContext, useContext } from "react";
import { useStore } from "zustand";
import type { Actions } from "./actions.js";
import type { Conference } from "./conference.js";
import type { State } from "./state.js";

/** The conference of the components below. */
export const ConferenceContext = createContext<Conference | null>(null);

function useConference(): Conference {
  const conference = useContext(ConferenceContext);
  if (conference === null) throw new Error("a component outside a ConferenceContext");
  return conference;
}

/** A part of the state; the component is drawn again when `select` gives another value (`Object.is`). */
export function useShown<T>(select: (state: State) => T): T {
  return useStore(useConference().store, select);
}

/** The person's actions. */
export function useActions(): Actions {
  return useConference().actions;
}
