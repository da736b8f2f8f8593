/** Posts that are on their way. One that fails stays, over reloads too, and is sent again under the same key: never twice. */

import { post, Refused } from "./api.js";
import { kept, make } from "./dom.js";
import { nameOf } from "./filter.js";
import { excerpt } from "./markdown.js";

/** @typedef {import("./types.js").Post} Post */

export class Outbox {
  /** @type {Post[]} */ posts = kept
    .get("outbox", /** @type {Post[]} */ ([]))
    .map((one) => ({ ...one, state: "failed" }));

  /**
   * @param {HTMLElement} element
   * @param {(error: Refused) => void} refused
   */
  constructor(element, refused) {
    this.element = element;
    this.refused = refused;
    this.#show();
  }

  /** @param {Pick<Post, "bus" | "body" | "type" | "parents">} message */
  add(message) {
    /** @type {Post} */
    const one = { ...message, key: newKey(), error: "", state: "sending" };
    this.posts.push(one);
    return this.#send(one);
  }

  /** @param {Post} one */
  async #send(one) {
    one.state = "sending";
    this.#show();
    try {
      await post(one);
      this.#drop(one);
      return true;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.stored) this.#drop(one);
      Object.assign(one, { state: "failed", error: error.message });
      this.refused(error);
      this.#show();
      return error.stored;
    }
  }

  /** @param {Post} one */
  #drop(one) {
    this.posts = this.posts.filter((other) => other !== one);
    this.#show();
  }

  #show() {
    kept.set("outbox", this.posts);
    this.element.replaceChildren(...this.posts.map((one) => this.#row(one)));
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
