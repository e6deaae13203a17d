/** Draws parts of the page in jsdom, with fakes behind them. */
import { act, render, type RenderResult } from "@testing-library/react";
import type { ReactNode } from "react";
import { ConferenceContext } from "../../src/page/context.js";
import type { ConferenceHarness } from "./conference.js";
import { settle } from "./harness.js";

/** Draws `content` for the conference of `harness`. */
export function draw(harness: ConferenceHarness, content: ReactNode): RenderResult {
  return render(<ConferenceContext value={harness.conference}>{content}</ConferenceContext>);
}

/** Runs `action` and the microtasks that follow, and draws the page. */
export async function after(action: () => unknown): Promise<void> {
  await act(async () => {
    await action();
    await settle();
  });
}

/** The only element that matches; there must be one. */
export function find(selector: string): HTMLElement {
  return findA(HTMLElement, selector);
}

/** The same for an element of this type. */
export function findA<Found extends HTMLElement>(kind: new () => Found, selector: string): Found {
  const elements = document.querySelectorAll(selector);
  const [element] = elements;
  if (elements.length === 1 && element instanceof kind) return element;
  throw new Error(`${elements.length} of ${selector}, or it is no ${kind.name}`);
}
