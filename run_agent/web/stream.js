/**
 * The live end of one conversation. Goes on behind the last id it has seen, whatever happened meanwhile:
 * the server restarted, the network went, the laptop slept. So nothing is missed, and nothing comes twice.
 */

import { stream } from "./api.js";

/** @typedef {import("./types.js").Bus} Bus */
/** @typedef {import("./types.js").Message} Message */
/** @typedef {"connecting" | "live" | "offline" | "paused"} State */

const SILENCE = 75_000; // milliseconds without even a heartbeat: the connection is dead, and nobody said so
const LONGEST_WAIT = 10_000;
const HIDDEN = 60_000; // a page that nobody sees gives its connection back: browsers allow six to a server
const BATCH = 100; // milliseconds in which messages are gathered

export class Stream {
  /** @type {EventSource | null} */ #source = null;
  /** @type {Message[]} */ #gathered = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #retry;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #watch;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #batch;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #hiding;
  #failures = 0;
  #isClosed = false;

  /**
   * @param {Bus} bus
   * @param {string | undefined} after
   * @param {{messages: (messages: Message[]) => void, state: (state: State, seconds?: number) => void, reset: () => void,
   *   refused: () => void}} listener  `refused`: it fails again and again; ask why by other means
   */
  constructor(bus, after, listener) {
    this.bus = bus;
    this.after = after;
    this.listener = listener;
    this.onVisible = () => this.#visible();
    this.onOnline = () => this.#open();
    document.addEventListener("visibilitychange", this.onVisible);
    window.addEventListener("online", this.onOnline);
    this.#open();
  }

  close() {
    this.#isClosed = true;
    document.removeEventListener("visibilitychange", this.onVisible);
    window.removeEventListener("online", this.onOnline);
    clearTimeout(this.#batch);
    clearTimeout(this.#hiding);
    this.#drop();
  }

  #open() {
    this.#drop();
    if (this.#isClosed) return;
    this.listener.state(this.#failures ? "offline" : "connecting");
    const source = stream(this.bus, this.after);
    this.#source = source;
    source.onopen = () => {
      this.#failures = 0;
      this.#heard();
      this.listener.state("live");
    };
    source.onerror = () => this.#failed();
    source.addEventListener("heartbeat", () => this.#heard());
    source.addEventListener("reset", () => this.listener.reset());
    source.addEventListener("message", (event) => this.#message(event));
    this.#heard();
  }

  #drop() {
    this.#source?.close();
    this.#source = null;
    clearTimeout(this.#retry);
    clearTimeout(this.#watch);
  }

  #failed() {
    this.#drop();
    this.#failures += 1;
    const wait = Math.min(LONGEST_WAIT, 500 * 2 ** Math.min(this.#failures, 6));
    this.listener.state("offline", Math.ceil(wait / 1000));
    if (this.#failures > 1) this.listener.refused();
    this.#retry = setTimeout(() => this.#open(), wait);
  }

  #heard() {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => this.#failed(), SILENCE);
  }

  /** @param {MessageEvent<string>} event */
  #message(event) {
    this.#heard();
    if (event.lastEventId) this.after = event.lastEventId;
    this.#gathered.push(JSON.parse(event.data));
    this.#batch ??= setTimeout(() => {
      this.#batch = undefined;
      this.listener.messages(this.#gathered.splice(0));
    }, BATCH);
  }

  #visible() {
    clearTimeout(this.#hiding);
    if (document.hidden) {
      this.#hiding = setTimeout(() => {
        this.#drop();
        this.listener.state("paused");
      }, HIDDEN);
    } else if (!this.#source) {
      this.#open();
    }
  }
}
