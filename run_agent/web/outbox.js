/** Posts that are on their way. One that fails stays, over reloads too, and is sent again under the same key: never twice. */

import { post, Refused } from "./api.js";
import { make } from "./dom.js";
import { nameOf } from "./filter.js";
import { Shelf } from "./kept.js";
import { excerpt } from "./markdown.js";

/** @typedef {import("./types.js").Post} Post */

export class Outbox {
  /** By their keys. @type {Shelf<Post>} */ #posts = new Shelf("outbox", () => this.#show());
  /** Those that this window sends; what another window sends is not shown here. @type {Set<string>} */ #sending =
    new Set();

  /**
   * @param {HTMLElement} element
   * @param {(error: Refused) => void} refused
   */
  constructor(element, refused) {
    this.element = element;
    this.refused = refused;
    for (const [key, one] of this.#posts.entries()) this.#posts.set(key, { ...one, state: "failed" });
    this.#show();
  }

  /** @param {Pick<Post, "bus" | "body" | "type" | "parents">} message */
  add(message) {
    return this.#send({ ...message, key: newKey(), at: Date.now(), error: "", state: "sending" });
  }

  /** @param {Post} one */
  async #send(one) {
    this.#sending.add(one.key);
    this.#keep({ ...one, state: "sending" });
    try {
      await post(one);
      this.#drop(one);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.stored) this.#drop(one);
      else this.#keep({ ...one, state: "failed", error: error.message });
      this.refused(error);
    } finally {
      this.#sending.delete(one.key);
    }
  }

  /** @param {Post} one */
  #keep(one) {
    this.#posts.set(one.key, one);
    this.#show();
  }

  /** @param {Post} one */
  #drop({ key }) {
    this.#posts.delete(key);
    this.#show();
  }

  #show() {
    const posts = this.#posts.entries().map(([, one]) => one);
    const shown = posts.filter(({ key, state }) => state === "failed" || this.#sending.has(key));
    this.element.replaceChildren(...shown.sort((one, other) => one.at - other.at).map((one) => this.#row(one)));
  }

  /** @param {Post} one */
  #row(one) {
    const isFailed = one.state === "failed";
    const words = isFailed
      ? `Not posted to ${nameOf(one.bus)}: ${one.error || "the page was closed"}`
      : `Posting to ${nameOf(one.bus)}…`;
    return make(
      isFailed ? "div.post.failed" : "div.post",
      { role: isFailed ? "alert" : "status" },
      make("span.words", {}, words, make("span.said", {}, excerpt(one.body))),
      isFailed && make("button", { type: "button", onclick: () => this.#send(one) }, "Retry"),
      isFailed && make("button.quiet", { type: "button", onclick: () => this.#drop(one) }, "Discard"),
    );
  }
}

/** Random; randomUUID is there only on secure origins. */
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
