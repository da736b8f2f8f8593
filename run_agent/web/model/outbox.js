/**
 * Messages that are being posted. A failed one stays, across reloads too, and a retry sends it with the same
 * idempotency key, so it is never stored twice.
 */

import { ApiError, postMessage } from "../lib/api.js";
import { StoredMap } from "../lib/storage.js";

/** @typedef {import("../types.js").Post} Post */

export class Outbox {
  /** By their idempotency keys. @type {StoredMap<Post>} */ #posts;
  /** The posts that this window is sending. @type {Set<string>} */ #sending = new Set();

  /**
   * @param {() => void} onChange here, or in another window
   * @param {(error: ApiError) => void} onError
   */
  constructor(onChange, onError) {
    this.onChange = onChange;
    this.onError = onError;
    this.#posts = new StoredMap("outbox", onChange);
    for (const [key, post] of this.#posts.entries()) this.#posts.set(key, { ...post, state: "failed" });
  }

  // API

  /** The posts to show, oldest first: not those that another window is sending. */
  get posts() {
    const posts = this.#posts.entries().map(([, post]) => post);
    const shown = posts.filter(({ key, state }) => state === "failed" || this.#sending.has(key));
    return shown.sort((one, other) => one.at - other.at);
  }

  /** @param {import("../types.js").NewMessage} message */
  add(message) {
    return this.send({ ...message, key: newKey(), at: Date.now(), error: "", state: "sending" });
  }

  /** Send a post, for the first time or again. @param {Post} post */
  async send(post) {
    this.#sending.add(post.key);
    this.#set({ ...post, state: "sending" });
    try {
      await postMessage(post);
      this.discard(post);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.isStored) this.discard(post);
      else this.#set({ ...post, state: "failed", error: error.message });
      this.onError(error);
    } finally {
      this.#sending.delete(post.key);
    }
  }

  /** @param {Post} post */
  discard({ key }) {
    this.#posts.delete(key);
    this.onChange();
  }

  // Internal

  /** @param {Post} post */
  #set(post) {
    this.#posts.set(post.key, post);
    this.onChange();
  }
}

/** A random key. (crypto.randomUUID exists on secure origins only.) */
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
