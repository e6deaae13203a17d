/** Draws parts of the page in jsdom, with fakes behind them. */
import { act, render, type RenderResult } from "@testing-library/react";
import type { ReactNode } from "react";
import { ConferenceContext } from "../../src/page/context.js";
import type { ConferenceWorld } from "./conference.js";
import { settle } from "./world.js";

/** Draws `content` for the conference of `world`. */
export function draw(world: ConferenceWorld, content: ReactNode): RenderResult {
  return render(<ConferenceContext value={world.conference}>{content}</ConferenceContext>);
}

/** Does something, lets everything happen that follows at once, and the page be drawn. */
export async function after(action: () => unknown): Promise<void> {
  await act(async () => {
    await action();
    await settle();
  });
}

/** The one element that there must be. */
export function find(selector: string): HTMLElement {
  return findA(HTMLElement, selector);
}

/** The same for one of this kind. */
export function findA<Found extends HTMLElement>(kind: new () => Found, selector: string): Found {
  const elements = document.querySelectorAll(selector);
  const [element] = elements;
  if (elements.length === 1 && element instanceof kind) return element;
  throw new Error(`${elements.length} of ${selector}, or it is no ${kind.name}`);
}
