/** Keeps the session token over a page reload, in this tab's sessionStorage. */

/** The data that resumes a session. */
export interface StoredSession {
  readonly userId: string;
  readonly sessionId: string;
  readonly sessionToken: string;
}

const PREFIX = "trio-sfu.session ";

/**
 * The sessions of this tab, one for each place: a server, a room, and a user.
 *
 * A place belongs to one `Room` of the page at a time; another `Room` that joins as the same user neither
 * takes over the session nor overwrites it.
 */
export class SessionStore {
  readonly #storage: () => Storage;
  readonly #claimed = new Set<string>();

  /** `storage` may throw where the person forbids storage: then nothing is remembered. */
  constructor(storage: () => Storage) {
    this.#storage = storage;
  }

  /** Opens a place for one stay in a room; null if another stay uses it. Without a userId it matches any user. */
  claim(url: string, roomId: string, userId: string | undefined): StoredPlace | null {
    const key = PREFIX + JSON.stringify([url, roomId, userId ?? null]);
    if (this.#claimed.has(key)) return null;
    this.#claimed.add(key);
    return {
      recall: () => this.#recall(key),
      remember: (session) => {
        this.#try((storage) => {
          storage.setItem(key, JSON.stringify(session));
        });
      },
      forget: () => {
        this.#try((storage) => {
          storage.removeItem(key);
        });
      },
      release: () => {
        this.#claimed.delete(key);
      },
    };
  }

  #recall(key: string): StoredSession | null {
    const stored = this.#try((storage) => JSON.parse(storage.getItem(key) ?? "{}") as Partial<StoredSession>);
    const { userId, sessionId, sessionToken } = stored ?? {};
    if (!isText(userId) || !isText(sessionId) || !isText(sessionToken)) return null;
    return { userId, sessionId, sessionToken };
  }

  /** Storage that is forbidden, full, or holds text of another program counts as empty. */
  #try<T>(use: (storage: Storage) => T): T | undefined {
    try {
      return use(this.#storage());
    } catch {
      return undefined;
    }
  }
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

/** One place of a `SessionStore`. */
export interface StoredPlace {
  recall(): StoredSession | null;
  remember(session: StoredSession): void;
  forget(): void;
  /** The stay is over; the stored session remains. */
  release(): void;
}
