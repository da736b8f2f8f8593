/**
 * The new messages of one conversation, as server-sent events. After a restart of the server, a lost network or a
 * sleeping laptop it reconnects and resumes after the last id that it has received, so no message is lost or repeated.
 */

import { openEventSource } from "../lib/api.js";

/** @typedef {import("../types.js").Bus} Bus */
/** @typedef {import("../types.js").Message} Message */
/** @typedef {"connecting" | "live" | "offline" | "paused"} State */

const SILENCE = 75_000; // milliseconds without even a heartbeat, after which the connection counts as dead
const MAX_WAIT = 10_000; // milliseconds between two attempts to connect
const HIDDEN = 60_000; // milliseconds after which a hidden page disconnects: browsers allow six connections to a server
const BATCH = 100; // milliseconds during which messages are collected

export class MessageStream {
  /** @type {EventSource | null} */ #source = null;
  /** @type {Message[]} */ #pending = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #retryTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #silenceTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #batchTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #hiddenTimer;
  #failures = 0;
  #isClosed = false;

  /**
   * @param {Bus} bus
   * @param {string | undefined} after
   * @param {{onMessages: (messages: Message[]) => void, onState: (state: State, seconds?: number) => void,
   *   onReset: () => void, onRepeatedFailure: () => void}} listener
   *   `onReset`: the server no longer has the last id, so messages may have been missed. `onRepeatedFailure`: an
   *   EventSource does not say why it failed; another request will.
   */
  constructor(bus, after, listener) {
    this.bus = bus;
    this.after = after;
    this.listener = listener;
    this.onVisibilityChange = () => this.#visibilityChanged();
    this.onOnline = () => this.#open();
    document.addEventListener("visibilitychange", this.onVisibilityChange);
    window.addEventListener("online", this.onOnline);
    this.#open();
  }

  // API

  close() {
    this.#isClosed = true;
    document.removeEventListener("visibilitychange", this.onVisibilityChange);
    window.removeEventListener("online", this.onOnline);
    clearTimeout(this.#batchTimer);
    clearTimeout(this.#hiddenTimer);
    this.#disconnect();
  }

  // Internal

  #open() {
    this.#disconnect();
    if (this.#isClosed) return;
    this.listener.onState(this.#failures ? "offline" : "connecting");
    const source = openEventSource(this.bus, this.after);
    this.#source = source;
    source.onopen = () => {
      this.#failures = 0;
      this.#restartSilenceTimer();
      this.listener.onState("live");
    };
    source.onerror = () => this.#failed();
    source.addEventListener("heartbeat", () => this.#restartSilenceTimer());
    source.addEventListener("reset", () => this.listener.onReset());
    source.addEventListener("message", (event) => this.#received(event));
    this.#restartSilenceTimer();
  }

  #disconnect() {
    this.#source?.close();
    this.#source = null;
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#silenceTimer);
  }

  #failed() {
    this.#disconnect();
    this.#failures += 1;
    const wait = Math.min(MAX_WAIT, 500 * 2 ** Math.min(this.#failures, 6));
    this.listener.onState("offline", Math.ceil(wait / 1000));
    if (this.#failures > 1) this.listener.onRepeatedFailure();
    this.#retryTimer = setTimeout(() => this.#open(), wait);
  }

  #restartSilenceTimer() {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => this.#failed(), SILENCE);
  }

  /** @param {MessageEvent<string>} event */
  #received(event) {
    this.#restartSilenceTimer();
    if (event.lastEventId) this.after = event.lastEventId;
    this.#pending.push(JSON.parse(event.data));
    this.#batchTimer ??= setTimeout(() => {
      this.#batchTimer = undefined;
      this.listener.onMessages(this.#pending.splice(0));
    }, BATCH);
  }

  #visibilityChanged() {
    clearTimeout(this.#hiddenTimer);
    if (document.hidden) {
      this.#hiddenTimer = setTimeout(() => {
        this.#disconnect();
        this.listener.onState("paused");
      }, HIDDEN);
    } else if (!this.#source) {
      this.#open();
    }
  }
}
