/** A WebSocket; the test plays the server. */

/** The sent messages, parsed. */
export interface SentMessage {
  type: string;
  data: Record<string, unknown>;
}

export class FakeSocket {
  readonly url: string;
  readyState = 0;
  readonly sent: SentMessage[] = [];
  closeCode: number | undefined;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;

  constructor(url: string) {
    this.url = url;
  }

  send(text: string): void {
    if (this.readyState !== 1) throw new Error("sent on a socket that is not open");
    this.sent.push(JSON.parse(text) as SentMessage);
  }

  close(code?: number): void {
    if (this.readyState >= 2) return;
    this.readyState = 2;
    this.closeCode = code;
  }

  /** The server accepts. */
  open(): void {
    this.readyState = 1;
    this.onopen?.();
  }

  /** The server sends one message. */
  deliver(type: string, data: unknown): void {
    this.deliverText(JSON.stringify({ type, data, timestamp: "2026-01-01T00:00:00Z" }));
  }

  deliverText(text: unknown): void {
    this.onmessage?.({ data: text });
  }

  /** The connection closes, on either side. */
  end(code = 1006, reason = ""): void {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }

  /** The sent messages of one type. */
  of(type: string): Record<string, unknown>[] {
    return this.sent.filter((message) => message.type === type).map(({ data }) => data);
  }
}
