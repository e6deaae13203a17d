/** One WebSocket to the server: sends and receives messages, and checks that the server still answers. */
import { type ClientMessages, decode, encode, type ServerMessage } from "./protocol.js";

/** Send a ping when nothing has arrived for this long, in ms. */
export const PING_AFTER_MS = 12_000;

/** When nothing has arrived this long after asking, the connection is dead, in ms: within 20 s all in all. */
export const PONG_WITHIN_MS = 8000;

/**
 * How long the answer to a probe may take, in ms. Nearly every working connection is faster, also with one lost packet.
 * A wrong verdict costs one handshake.
 */
export const PROBE_WITHIN_MS = 400;

/** The close code with which the server says that another connection has taken over the session. */
export const REPLACED = 4000;

/** The close code with which the server refuses the client (RFC 6455, section 7.4.1). */
export const POLICY_VIOLATION = 1008;

/** Opens a WebSocket; tests put a fake here. */
export type SocketFactory = (url: string) => WebSocket;

/** Callbacks of a signaling connection. */
export interface SignalingHooks {
  opened(): void;
  message(message: ServerMessage): void;
  /** A message that cannot be understood; it has been dropped. */
  invalid(reason: string): void;
  /** The connection is over, or never came to be; called once, and not after `close`. */
  closed(reason: string, code: number): void;
  /** A probe was not answered; the connection is kept. */
  silent(): void;
}

/** Counters, for tests and for a statistics display. */
export interface SignalingStatistics {
  sent: number;
  received: number;
  /** Messages of types that this library does not know. */
  unknown: number;
  invalid: number;
  /** Time from the last ping to its pong, in ms; null before the first. */
  roundTripMs: number | null;
}

/** A signaling connection; it opens when it is made. */
export class SignalingConnection {
  readonly #socket: WebSocket;
  readonly #hooks: SignalingHooks;
  #over = false;
  #probing = false;
  #liveness: ReturnType<typeof setTimeout> | undefined;
  readonly #counters: SignalingStatistics = {
    sent: 0,
    received: 0,
    unknown: 0,
    invalid: 0,
    roundTripMs: null,
  };

  constructor(url: string, createSocket: SocketFactory, hooks: SignalingHooks) {
    this.#hooks = hooks;
    this.#socket = createSocket(url);
    this.#socket.onopen = () => {
      this.#heard();
      hooks.opened();
    };
    this.#socket.onmessage = (event) => {
      this.#receive(event.data);
    };
    // An error event carries no reason and is always followed by a close event.
    this.#socket.onclose = (event) => {
      this.#end(event.reason === "" ? `WebSocket closed (${event.code})` : event.reason, event.code);
    };
  }

  statistics(): Readonly<SignalingStatistics> {
    return { ...this.#counters };
  }

  /** Sends a message. What is sent before the connection is open or after its end is dropped. */
  send<Type extends keyof ClientMessages>(type: Type, data: ClientMessages[Type]): void {
    if (this.#socket.readyState !== WebSocketState.open) return;
    this.#counters.sent += 1;
    this.#socket.send(encode(type, data));
  }

  /** Closes the connection after what was sent; resolves when the server has closed its side too. */
  async close(): Promise<void> {
    this.#over = true;
    clearTimeout(this.#liveness);
    if (this.#socket.readyState === WebSocketState.closed) return;
    await new Promise<void>((resolve) => {
      this.#socket.onclose = () => {
        resolve();
      };
      this.#socket.close(1000);
    });
  }

  #receive(text: unknown): void {
    if (this.#over) return;
    this.#heard();
    this.#counters.received += 1;
    const received = decode(text);
    switch (received.outcome) {
      case "unknown":
        this.#counters.unknown += 1;
        break;
      case "invalid":
        this.#counters.invalid += 1;
        this.#hooks.invalid(received.reason);
        break;
      case "message":
        this.#handle(received.message);
        break;
    }
  }

  #handle(message: ServerMessage): void {
    if (message.type === "ping") {
      this.send("pong", message.data);
    } else if (message.type === "pong") {
      const { sentAt } = message.data;
      if (typeof sentAt === "number") this.#counters.roundTripMs = performance.now() - sentAt;
    } else {
      this.#hooks.message(message);
    }
  }

  /** Sends a ping now, because the connection may be broken. */
  probe(): void {
    if (this.#over || this.#probing || this.#socket.readyState !== WebSocketState.open) return;
    this.#probing = true;
    this.#ask(PROBE_WITHIN_MS, () => {
      this.#probing = false;
      this.#ask(PONG_WITHIN_MS, this.#die);
      this.#hooks.silent();
    });
  }

  /** Something arrived: restarts the wait for the next message. */
  #heard(): void {
    this.#probing = false;
    clearTimeout(this.#liveness);
    this.#liveness = setTimeout(() => {
      this.#ask(PONG_WITHIN_MS, this.#die);
    }, PING_AFTER_MS);
  }

  #ask(withinMs: number, unanswered: () => void): void {
    clearTimeout(this.#liveness);
    this.send("ping", { sentAt: performance.now() });
    this.#liveness = setTimeout(unanswered, withinMs);
  }

  readonly #die = (): void => {
    this.#end("the server does not answer", ABNORMAL);
    this.#socket.close();
  };

  #end(reason: string, code: number): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#liveness);
    this.#hooks.closed(reason, code);
  }
}

/** What browsers report as the close code of a connection that was cut (RFC 6455, section 7.4.1). */
const ABNORMAL = 1006;

/** WebSocket.readyState by name, also where there is no global WebSocket. */
const WebSocketState = { open: 1, closed: 3 } as const;
